# SPDX-License-Identifier: Apache-2.0
"""Every encrypted column, for the rotation of keys."""

from collections.abc import Callable

import sqlalchemy as sa

from headwater.db.connection import Database, retried
from headwater.db.models import metadata
from headwater.db.types import Encrypted

COLUMNS: tuple[sa.Column[str], ...] = tuple(
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if column.type is Encrypted
)

_PAGE = 200


def rewrite(database: Database, renew: Callable[[str], str]) -> int:
    """Replace every encrypted value by `renew(value)`, page by page; returns how many."""
    number = 0
    for column in COLUMNS:
        last = 0
        while True:
            page = _rewrite_page(database, column, last, renew)
            if not page:
                break
            number, last = number + len(page), page[-1]
    return number


@retried
def _rewrite_page(
    database: Database, column: sa.Column[str], last: int, renew: Callable[[str], str]
) -> list[int]:
    """Rewrite the values behind the row id `last`; returns the ids of the rows."""
    table = column.table
    with database.write() as connection:
        rows = connection.execute(
            sa.select(table.c.id, column)
            .where(table.c.id > last, column.is_not(None))
            .order_by(table.c.id)
            .limit(_PAGE)
            .with_for_update()
        ).all()
        for row_id, value in rows:
            connection.execute(
                sa.update(column.table).where(table.c.id == row_id).values({column: renew(value)})
            )
    return [row_id for row_id, _ in rows]

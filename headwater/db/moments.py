# SPDX-License-Identifier: Apache-2.0
"""Time by the database's clock: the only clock that all hosts share.

Leases and back-offs are compared across hosts, whose own clocks may differ by more than a lease.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.db.connection import Database
from headwater.db.types import UtcDateTime


def after(
    database: Database | str, seconds: float | sa.ColumnElement[Any]
) -> sa.ColumnElement[datetime]:
    """The moment `seconds` from the start of the statement that this stands in.

    `database` may be the name of its dialect, for statements that are built once.
    """
    dialect = database if isinstance(database, str) else database.dialect
    shift = sa.literal(seconds, sa.Float()) if isinstance(seconds, (int, float)) else seconds
    moment: sa.ColumnElement[Any]
    if dialect == "sqlite":
        # Milliseconds, written as SQLAlchemy writes times.
        shifted = sa.func.printf("%.6f seconds", shift)
        moment = sa.func.strftime("%Y-%m-%d %H:%M:%f", "now", shifted) + "000"
    elif dialect == "postgresql":
        moment = _start(dialect) + sa.func.make_interval(0, 0, 0, 0, 0, 0, shift)
    else:
        microseconds = sa.func.round(shift * 1_000_000)
        moment = sa.func.timestampadd(sa.text("MICROSECOND"), microseconds, _start(dialect))
    return sa.type_coerce(moment, UtcDateTime())


def read(database: Database) -> datetime:
    """The present moment by the database's clock."""
    with database.read() as connection:
        moment: datetime = connection.execute(sa.select(now(database))).scalar_one()
    return moment


def now(database: Database | str) -> sa.ColumnElement[datetime]:
    """The moment at which the statement that this stands in starts."""
    dialect = database if isinstance(database, str) else database.dialect
    return after(dialect, 0) if dialect == "sqlite" else _start(dialect)


def _start(dialect: str) -> sa.ColumnElement[datetime]:
    if dialect == "postgresql":
        start: sa.ColumnElement[Any] = sa.func.timezone("utc", sa.func.statement_timestamp())
    else:
        start = sa.func.utc_timestamp(6)
    return sa.type_coerce(start, UtcDateTime())

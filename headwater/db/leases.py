# SPDX-License-Identifier: Apache-2.0
"""Rows that are worked on under a lease: by one holder at a time, for as long as it says it lives.

Lanes and tasks are such rows. Their tables share the columns that `models.leased` makes:
`sync_request` (requested: due; in-progress: held), `requested_at`, `next_try_at`, `generation`,
`lease_owner`, `lease_until` and `failures`.
"""

from collections.abc import Collection
from typing import Any, Protocol

import sqlalchemy as sa

from headwater.common.errors import LeaseLost
from headwater.common.states import SyncRequest
from headwater.db import moments
from headwater.db.connection import Database, retried

# Locks are FOR NO KEY UPDATE (key_share) on PostgreSQL: a fan-out that is not committed yet holds
# FOR KEY SHARE on every lane, for its foreign keys, and must not hide them from claims.


class Held(Protocol):
    """A row that its reader holds until its lease ends; as a text, its name for people."""

    @property
    def id(self) -> int:
        """The row's id."""

    @property
    def generation(self) -> int:
        """Raised by every claim."""


def due(database: Database, table: sa.Table) -> list[sa.ColumnElement[bool]]:
    """The conditions for a row that may be taken: asked for, and past its back-off."""
    return [
        table.c.sync_request == SyncRequest.REQUESTED,
        sa.or_(table.c.next_try_at.is_(None), table.c.next_try_at <= moments.now(database)),
    ]


def take(
    database: Database,
    connection: sa.Connection,
    which: sa.Select[Any],
    table: sa.Table,
    owner: str,
    lease: float,
) -> list[dict[str, Any]]:
    """Take the rows of a statement that locks them; its columns, with the new `generation`."""
    take_them = table.update().values(
        sync_request=SyncRequest.IN_PROGRESS,
        generation=table.c.generation + 1,
        lease_owner=owner,
        lease_until=moments.after(database, lease),
        requested_at=None,
    )
    if database.dialect in ("mysql", "mariadb"):
        rows = connection.execute(which).all()
        if rows:
            connection.execute(take_them.where(table.c.id.in_([row.id for row in rows])))
        return [{**row._mapping, "generation": row.generation + 1} for row in rows]
    # A named expression, not a subquery: PostgreSQL may run a subquery with LIMIT more than once,
    # and would then take more than the limit. One that locks rows is run once.
    ids = which.cte("due")
    columns = [table.c[column.name] for column in which.selected_columns]
    statement = take_them.where(table.c.id.in_(sa.select(ids.c.id))).returning(*columns)
    return [dict(row._mapping) for row in connection.execute(statement)]


@retried
def rescue(
    database: Database,
    table: sa.Table,
    *conditions: sa.ColumnElement[bool],
    change: Collection[tuple[sa.Column[Any], Any]] = (),
) -> int:
    """Ask again for rows whose holders let their leases end; returns how many.

    They keep their place by the end of their leases. `change` is written with it.
    """
    ended = (
        sa.select(table.c.id)
        .where(
            *conditions,
            table.c.sync_request == SyncRequest.IN_PROGRESS,
            table.c.lease_until < moments.now(database),
        )
        .with_for_update(skip_locked=True, key_share=True)
    )
    with database.write() as connection:
        ids = connection.execute(ended).scalars().all()
        if ids:
            connection.execute(
                table.update()
                .where(table.c.id.in_(ids))
                # MariaDB assigns from left to right.
                .ordered_values(
                    (table.c.requested_at, table.c.lease_until),
                    (table.c.sync_request, SyncRequest.REQUESTED),
                    (table.c.lease_owner, None),
                    (table.c.lease_until, None),
                    *change,
                )
            )
    return len(ids)


@retried
def renew(
    database: Database, table: sa.Table, owner: str, ids: Collection[int], lease: float
) -> set[tuple[int, int]]:
    """The heartbeat: keep rows for another `lease` seconds.

    Returns the ids and generations that are still held. A lease that has ended is not renewed, even
    where nobody has taken the row over yet.
    """
    still = sa.and_(
        table.c.id.in_(sorted(ids)),
        table.c.lease_owner == owner,
        table.c.sync_request == SyncRequest.IN_PROGRESS,
        table.c.lease_until >= moments.now(database),
    )
    with database.write() as connection:
        # In the order of ids, as claims lock them, so that the two never wait for each other.
        kept = connection.execute(
            sa.select(table.c.id, table.c.generation)
            .where(still)
            .order_by(table.c.id)
            .with_for_update(key_share=True)
        ).all()
        if kept:
            connection.execute(
                table.update()
                .where(table.c.id.in_([row.id for row in kept]))
                .values(lease_until=moments.after(database, lease))
            )
    return {(row.id, row.generation) for row in kept}


def due_at(table: sa.Table, next_try_at: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """When a row that is asked for or held may be taken: past its back-off or its lease."""
    return sa.func.coalesce(
        sa.case(
            (table.c.sync_request == SyncRequest.IN_PROGRESS, table.c.lease_until),
            else_=next_try_at,
        ),
        # Requested and without any wait: since then, and left by claims that found it locked.
        table.c.requested_at,
    )


def held(table: sa.Table, dialect: str) -> sa.ColumnElement[bool]:
    """The condition under which a holder may still write; `key` gives its parameters.

    For statements that are built once per dialect: building them costs more than running them.
    """
    return sa.and_(
        table.c.id == sa.bindparam("p_held"),
        table.c.generation == sa.bindparam("p_generation"),
        table.c.sync_request == SyncRequest.IN_PROGRESS,
        table.c.lease_until >= moments.now(dialect),
    )


def key(row: Held) -> dict[str, int]:
    """The parameters of `held`."""
    return {"p_held": row.id, "p_generation": row.generation}


def lost(row: Held) -> LeaseLost:
    """The error for a write that `held` refused."""
    return LeaseLost(f"{row}: its lease has ended, another worker holds it, or it was deleted.")

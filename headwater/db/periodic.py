# SPDX-License-Identifier: Apache-2.0
"""Periodic work: whichever engine claims it when it is due runs it, and no other at that time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from headwater.common.errors import LeaseLost
from headwater.common.redact import storable
from headwater.db import moments
from headwater.db.connection import Database, retried, upsert
from headwater.db.models import periodic_work

_WORK = periodic_work.c

#: Characters of an error that are kept.
_LONGEST_ERROR = 1000


@dataclass(frozen=True)
class PeriodicWork:
    """A kind of work and how its last run went."""

    name: str
    next_run_at: datetime
    lease_owner: str | None
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class Turn:
    """The answer to a claim: a generation where it is one's turn, else seconds until it may be."""

    generation: int | None
    due_in: float = 0.0


@retried
def claim(database: Database, name: str, owner: str, lease: float) -> Turn:
    """Take a kind of work for `lease` seconds if it is due; one that nobody ever did is due."""
    now = moments.now(database)
    free = sa.or_(_WORK.lease_until.is_(None), _WORK.lease_until < now)
    with database.write() as connection:
        connection.execute(
            upsert(database, periodic_work, ("name",), ()).values(
                name=name, next_run_at=now, generation=0
            )
        )
        row = connection.execute(
            sa.select(
                _WORK.generation,
                sa.case((free, _WORK.next_run_at), else_=_WORK.lease_until).label("due"),
                now.label("now"),
            )
            .where(_WORK.name == name)
            .with_for_update()
        ).one()
        if row.due > row.now:
            return Turn(None, (row.due - row.now).total_seconds())
        generation: int = row.generation + 1
        connection.execute(
            periodic_work.update()
            .where(_WORK.name == name)
            .values(
                generation=generation,
                lease_owner=owner,
                lease_until=moments.after(database, lease),
                last_started_at=now,
            )
        )
    return Turn(generation)


@retried
def renew(database: Database, name: str, generation: int, lease: float) -> None:
    """The heartbeat: keep it for another `lease` seconds. Raises LeaseLost."""
    with database.write() as connection:
        renewed = connection.execute(
            periodic_work.update()
            .where(_WORK.name == name, _WORK.generation == generation)
            .where(_WORK.lease_until >= moments.now(database))
            .values(lease_until=moments.after(database, lease))
        )
    if renewed.rowcount != 1:
        raise LeaseLost(f"{name}: its lease has ended.")


@retried
def finish(
    database: Database, name: str, generation: int, interval: float, error: str | None
) -> None:
    """Give it back, due again in `interval` seconds. Does nothing when another engine has it."""
    with database.write() as connection:
        connection.execute(
            periodic_work.update()
            .where(_WORK.name == name, _WORK.generation == generation)
            .values(
                lease_owner=None,
                lease_until=None,
                next_run_at=moments.after(database, interval),
                last_finished_at=moments.now(database),
                last_error=None if error is None else storable(error)[:_LONGEST_ERROR],
            )
        )


def list_all(database: Database) -> Sequence[PeriodicWork]:
    """All kinds of work by name."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                _WORK.name,
                _WORK.next_run_at,
                _WORK.lease_owner,
                _WORK.last_started_at,
                _WORK.last_finished_at,
                _WORK.last_error,
            ).order_by(_WORK.name)
        ).all()
    return [PeriodicWork(**row._asdict()) for row in rows]

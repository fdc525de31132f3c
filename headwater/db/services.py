# SPDX-License-Identifier: Apache-2.0
"""Which processes live: each says so again and again."""

from collections.abc import Sequence

import sqlalchemy as sa

from headwater.db import moments
from headwater.db.connection import Database, retried, upsert
from headwater.db.models import service, subcloud_sync, task
from headwater.db.records import Service

#: Seconds from one sign of life to the next.
INTERVAL = 10.0

#: Seconds of silence after which a process counts as dead, and after which it is forgotten.
_DEAD = 3.5 * INTERVAL
_FORGOTTEN = 86400.0


@retried
def note(database: Database, name: str, kind: str, host: str, pid: int, version: str) -> None:
    """A process lives. What is silent for a day is forgotten."""
    with database.write() as connection:
        now = connection.execute(sa.select(moments.now(database))).scalar_one()
        connection.execute(
            upsert(database, service, ("name",), ("last_seen_at",)),
            {
                "name": name,
                "kind": kind,
                "host": host,
                "pid": pid,
                "version": version,
                "started_at": now,
                "last_seen_at": now,
            },
        )
        connection.execute(
            service.delete().where(service.c.last_seen_at < moments.after(database, -_FORGOTTEN))
        )


@retried
def forget(database: Database, name: str) -> None:
    """A process ends. The second time does nothing."""
    with database.write() as connection:
        connection.execute(service.delete().where(service.c.name == name))


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Service]:
    """Processes by their names, those behind the name `marker`."""
    held = {
        name: sa.select(sa.func.count())
        .where(table.c.lease_owner == service.c.name)
        .scalar_subquery()
        .label(name)
        for name, table in (("lanes", subcloud_sync), ("tasks", task))
    }
    alive = service.c.last_seen_at >= moments.after(database, -_DEAD)
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*service.c, alive.label("alive"), *held.values())
            .where(service.c.name > marker)
            .order_by(service.c.name)
            .limit(limit)
        ).all()
    return [Service(**{**row._asdict(), "alive": bool(row.alive)}) for row in rows]

# SPDX-License-Identifier: Apache-2.0
"""What happened to pods and machines."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.redact import fitting, storable
from headwater.common.states import EventSource, Severity
from headwater.db import moments
from headwater.db.connection import Database, retried
from headwater.db.inventory import hash_of_uri
from headwater.db.models import machine, pod, pod_event
from headwater.db.telemetry_records import NewEvent, PodEvent

#: Events that a pod as a whole may send within a minute: a rack without power tells it at once, and
#: the table must not be filled. Who receives them bounds each address besides.
_MOST_PER_MINUTE = 6000

#: Characters of a kind and of a message that are kept.
_LONGEST_KIND, _LONGEST_MESSAGE = 127, 1000


def write(connection: sa.Connection, pod_id: int, events: Sequence[NewEvent]) -> None:
    """Write events within a transaction of the caller."""
    if not events:
        return
    now = clock.now()
    connection.execute(
        pod_event.insert(),
        [
            {
                "pod_id": pod_id,
                "machine_id": each.machine_id,
                "kind": (fitting(each.kind) or "")[:_LONGEST_KIND],
                "severity": each.severity,
                "message": storable(each.message)[:_LONGEST_MESSAGE],
                "source": each.source,
                "created_at": now,
            }
            for each in events
        ],
    )


@retried
def receive(database: Database, pod_id: int, events: Sequence[NewEvent]) -> int:
    """Write what a pod sent, as far as it may send so much; how many were written."""
    with database.write() as connection:
        there = connection.execute(
            sa.select(pod.c.id).where(pod.c.id == pod_id).with_for_update(key_share=True)
        ).scalar_one_or_none()
        if there is None:
            return 0
        lately = connection.execute(
            sa.select(sa.func.count()).where(
                pod_event.c.pod_id == pod_id,
                pod_event.c.created_at > clock.after(-60),
                pod_event.c.source == EventSource.REDFISH,
            )
        ).scalar_one()
        taken = list(events)[: max(0, _MOST_PER_MINUTE - lately)]
        write(connection, pod_id, taken)
    return len(taken)


def machines_of(
    database: Database, pod_id: int, address: str, paths: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Row id and uuid of the machine that each path of an address is about, as far as one is.

    That is the machine at the path or above it; where an address has only one machine, that one.
    """
    above = {path: [hash_of_uri(address + each) for each in _and_above(path)] for path in paths}
    wanted = sorted({each for hashes in above.values() for each in hashes})
    columns = (machine.c.id, machine.c.uuid, machine.c.uri_hash)
    with database.read() as connection:
        of_hashes = {
            row.uri_hash: (row.id, row.uuid)
            for row in connection.execute(
                sa.select(*columns).where(
                    machine.c.pod_id == pod_id, machine.c.uri_hash.in_(wanted)
                )
            )
        }
        behind = connection.execute(
            sa.select(*columns)
            .where(
                machine.c.pod_id == pod_id, machine.c.uri.startswith(f"{address}/", autoescape=True)
            )
            .limit(2)
        ).all()
    only = (behind[0].id, behind[0].uuid) if len(behind) == 1 else None
    found: dict[str, tuple[int, str]] = {}
    for path, hashes in above.items():
        known = next((of_hashes[each] for each in hashes if each in of_hashes), only)
        if known is not None:
            found[path] = known
    return found


def _and_above(path: str) -> list[str]:
    """A path, and those above it; the deepest first."""
    parts = path.rstrip("/").split("/")[:16]
    return ["/".join(parts[:end]) for end in range(len(parts), 1, -1)]


def list_page(
    database: Database,
    *,
    limit: int,
    before: int | None = None,
    pod_name: str | None = None,
    machine_uuid: str | None = None,
    severity: Severity | None = None,
) -> Sequence[PodEvent]:
    """Events, the newest first, those older than the event `before`."""
    conditions: list[sa.ColumnElement[bool]] = []
    if before is not None:
        conditions.append(pod_event.c.id < before)
    if pod_name is not None:
        conditions.append(pod.c.name == pod_name)
    if machine_uuid is not None:
        conditions.append(machine.c.uuid == machine_uuid)
    if severity is not None:
        conditions.append(pod_event.c.severity == severity)
    with database.read() as connection:
        rows = connection.execute(
            sa.select(pod_event, pod.c.name.label("pod_name"), machine.c.uuid.label("machine"))
            .join(pod, pod.c.id == pod_event.c.pod_id)
            .outerjoin(machine, machine.c.id == pod_event.c.machine_id)
            .where(*conditions)
            .order_by(pod_event.c.id.desc())
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> PodEvent:
    return PodEvent(
        row.id,
        row.pod_name,
        row.machine,
        row.kind,
        Severity(row.severity),
        row.message,
        EventSource(row.source),
        row.created_at,
    )


@retried
def purge(database: Database, age: float, *, limit: int) -> int:
    """Delete up to `limit` events that are older than `age` seconds; returns how many."""
    with database.write() as connection:
        ids = (
            connection.execute(
                sa.select(pod_event.c.id)
                .where(pod_event.c.created_at < moments.after(database, -age))
                .order_by(pod_event.c.id)
                .limit(limit)
            )
            .scalars()
            .all()
        )
        if ids:
            connection.execute(pod_event.delete().where(pod_event.c.id.in_(ids)))
    return len(ids)

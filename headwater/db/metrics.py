# SPDX-License-Identifier: Apache-2.0
"""What polls saw of machines: the latest values, a history of some of them, and alarms."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.states import Severity
from headwater.db import moments, pod_events
from headwater.db.connection import Database, retried, upsert
from headwater.db.models import (
    machine,
    machine_alarm,
    machine_metric,
    machine_metric_history,
    node,
    pod,
    telemetry_policy,
)
from headwater.db.telemetry_records import Alarm, Metric, Observation, Watched

#: Seconds for which a value is shown in the exposition where no policy says how often it is read.
_FRESH = 600.0

_KEY = ("machine_id", "metric", "sensor")


def watched(database: Database, pod_id: int, machine_uuid: str | None = None) -> Sequence[Watched]:
    """The machines that a pod's inventory has, or the one of them, with their alarms."""
    which = sa.and_(machine.c.pod_id == pod_id, machine.c.missing_since.is_(None))
    if machine_uuid is not None:
        which = sa.and_(which, machine.c.uuid == machine_uuid)
    columns = ("id", "uuid", "uri", "name", "power_state", "health")
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*(machine.c[name] for name in columns)).where(which).order_by(machine.c.id)
        ).all()
        alarms: dict[int, dict[str, Severity]] = {}
        for row in connection.execute(
            sa.select(machine_alarm)
            .join(machine, machine.c.id == machine_alarm.c.machine_id)
            .where(which)
        ):
            alarms.setdefault(row.machine_id, {})[row.name] = Severity(row.severity)
    return [Watched(**row._asdict(), alarms=alarms.get(row.id, {})) for row in rows]


def store(
    database: Database,
    pod_id: int,
    observations: Sequence[Observation],
    history_interval: float | None,
) -> None:
    """Write what a poll saw of some machines; of those that are gone by now nothing.

    A value goes into the history where that has none yet that is younger than `history_interval`
    seconds; with None none does. Of the same observations twice only the events are there twice.
    """
    if observations:
        _store(database, pod_id, observations, history_interval)


@retried
def _store(
    database: Database,
    pod_id: int,
    observations: Sequence[Observation],
    history_interval: float | None,
) -> None:
    now = clock.now()
    with database.write() as connection:
        if any(each.events for each in observations):
            # In the order in which events of pods are written: the pod, then its machines.
            connection.execute(
                sa.select(pod.c.id).where(pod.c.id == pod_id).with_for_update(key_share=True)
            )
        there = _lock(connection, [each.machine.id for each in observations])
        present = [each for each in observations if each.machine.id in there]
        seen = _as_they_are(connection, present)
        _note_machines(connection, [each for each in seen if each.seen is not None], now)
        _note_values(database, connection, seen, now)
        if history_interval is not None:
            read = [each.machine.id for each in seen if each.readings]
            _note_history(connection, read, now, history_interval)
        _note_alarms(database, connection, seen, now)
        events = [event for each in seen for event in each.events]
        pod_events.write(connection, pod_id, events)


def _as_they_are(
    connection: sa.Connection, observations: Sequence[Observation]
) -> Sequence[Observation]:
    """Without news of machines whose alarms another poll has changed since they were looked up.

    An event comes once; what is wrong or over is told by the next poll.
    """
    ids = [each.machine.id for each in observations if each.raised or each.cleared]
    now: dict[int, dict[str, Severity]] = {}
    if ids:
        for row in connection.execute(
            sa.select(machine_alarm).where(machine_alarm.c.machine_id.in_(sorted(ids)))
        ):
            now.setdefault(row.machine_id, {})[row.name] = Severity(row.severity)
    return [
        each
        if each.machine.id not in ids or now.get(each.machine.id, {}) == dict(each.machine.alarms)
        else replace(each, raised={}, cleared=(), events=())
        for each in observations
    ]


def _lock(connection: sa.Connection, machine_ids: Collection[int]) -> frozenset[int]:
    """Those that are there, and stay until the end of the transaction."""
    return frozenset(
        connection.execute(
            sa.select(machine.c.id)
            .where(machine.c.id.in_(sorted(machine_ids)))
            .order_by(machine.c.id)
            .with_for_update(key_share=True)
        ).scalars()
    )


def _note_machines(
    connection: sa.Connection, answered: Sequence[Observation], now: datetime
) -> None:
    """One statement for those of which nothing changed, which are nearly all."""
    changed, same = [], []
    for each in answered:
        known, seen = each.machine, each.seen
        if seen is None:
            continue
        if (known.power_state, known.health) == (seen.power_state, seen.health):
            same.append(known.id)
        else:
            values = {"p_power_state": seen.power_state, "p_health": seen.health}
            changed.append({"p_id": known.id, **values})
    if same:
        connection.execute(machine.update().where(machine.c.id.in_(same)).values(seen_at=now))
    if changed:
        connection.execute(
            machine.update()
            .where(machine.c.id == sa.bindparam("p_id"))
            .values(
                power_state=sa.bindparam("p_power_state"),
                health=sa.bindparam("p_health"),
                seen_at=now,
            ),
            changed,
        )


def _note_values(
    database: Database, connection: sa.Connection, seen: Sequence[Observation], now: datetime
) -> None:
    rows = [
        {
            "machine_id": each.machine.id,
            "metric": reading.metric,
            "sensor": reading.sensor,
            "value": reading.value,
            "read_at": now,
        }
        for each in seen
        for reading in each.readings
    ]
    if rows:
        connection.execute(upsert(database, machine_metric, _KEY, ("value", "read_at")), rows)


def _note_history(
    connection: sa.Connection, machine_ids: Collection[int], now: datetime, interval: float
) -> None:
    """Copy those values of now whose history is old enough."""
    if not machine_ids:
        return
    columns = machine_metric.c
    due = sa.and_(
        columns.machine_id.in_(sorted(machine_ids)),
        columns.read_at == now,
        sa.or_(
            columns.noted_at.is_(None),
            columns.noted_at <= now - timedelta(seconds=interval),
        ),
    )
    connection.execute(
        machine_metric_history.insert().from_select(
            ["metric_id", "value", "read_at"],
            sa.select(columns.id, columns.value, columns.read_at).where(due),
        )
    )
    connection.execute(machine_metric.update().where(due).values(noted_at=now))


def _note_alarms(
    database: Database, connection: sa.Connection, seen: Sequence[Observation], now: datetime
) -> None:
    cleared = [
        {"p_machine": each.machine.id, "p_name": name} for each in seen for name in each.cleared
    ]
    if cleared:
        connection.execute(
            machine_alarm.delete().where(
                machine_alarm.c.machine_id == sa.bindparam("p_machine"),
                machine_alarm.c.name == sa.bindparam("p_name"),
            ),
            cleared,
        )
    raised = [
        {"machine_id": each.machine.id, "name": name, "severity": severity, "raised_at": now}
        for each in seen
        for name, severity in each.raised.items()
    ]
    if raised:
        keys = ("machine_id", "name")
        connection.execute(upsert(database, machine_alarm, keys, ("severity", "raised_at")), raised)


def latest(
    database: Database,
    machine_uuid: str,
    *,
    limit: int,
    after: int = 0,
    metric: str | None = None,
) -> Sequence[Metric]:
    """The last values of a machine's sensors, those behind the row id `after`."""
    columns = machine_metric.c
    conditions = [machine.c.uuid == machine_uuid, columns.id > after]
    if metric is not None:
        conditions.append(columns.metric == metric)
    with database.read() as connection:
        rows = connection.execute(
            sa.select(columns.id, columns.metric, columns.sensor, columns.value, columns.read_at)
            .join(machine, machine.c.id == columns.machine_id)
            .where(*conditions)
            .order_by(columns.id)
            .limit(limit)
        ).all()
    return [Metric(**row._asdict()) for row in rows]


def history(
    database: Database,
    machine_uuid: str,
    since: datetime,
    *,
    limit: int,
    after: int = 0,
    metric: str | None = None,
) -> Sequence[Metric]:
    """What a machine's sensors showed since a moment, the oldest first, behind the row `after`."""
    columns, old = machine_metric.c, machine_metric_history.c
    conditions = [machine.c.uuid == machine_uuid, old.read_at >= since, old.id > after]
    if metric is not None:
        conditions.append(columns.metric == metric)
    with database.read() as connection:
        rows = connection.execute(
            sa.select(old.id, columns.metric, columns.sensor, old.value, old.read_at)
            .join(machine_metric, columns.id == old.metric_id)
            .join(machine, machine.c.id == columns.machine_id)
            .where(*conditions)
            .order_by(old.id)
            .limit(limit)
        ).all()
    return [Metric(**row._asdict()) for row in rows]


def alarms(database: Database, machine_uuid: str) -> Sequence[Alarm]:
    """What is wrong with a machine now, by name."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(machine_alarm.c.name, machine_alarm.c.severity, machine_alarm.c.raised_at)
            .join(machine, machine.c.id == machine_alarm.c.machine_id)
            .where(machine.c.uuid == machine_uuid)
            .order_by(machine_alarm.c.name)
        ).all()
    return [Alarm(row.name, Severity(row.severity), row.raised_at) for row in rows]


@dataclass(frozen=True)
class Exposed:
    """A machine as the exposition shows it."""

    id: int
    uuid: str
    name: str
    pod_name: str
    node_name: str | None
    power_state: str | None
    health: str | None
    seen_at: datetime


def exposed(database: Database, *, limit: int, after: int = 0) -> Sequence[Exposed]:
    """Machines that inventories have, those behind the row id `after`."""
    columns = ("id", "uuid", "name", "power_state", "health", "seen_at")
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                *(machine.c[name] for name in columns),
                pod.c.name.label("pod_name"),
                node.c.name.label("node_name"),
            )
            .join(pod, pod.c.id == machine.c.pod_id)
            .outerjoin(node, node.c.machine_id == machine.c.id)
            .where(machine.c.missing_since.is_(None), machine.c.id > after)
            .order_by(machine.c.id)
            .limit(limit)
        ).all()
    return [Exposed(**row._asdict()) for row in rows]


def names(database: Database) -> Sequence[str]:
    """All metrics that any machine has."""
    with database.read() as connection:
        return (
            connection.execute(
                sa.select(machine_metric.c.metric).distinct().order_by(machine_metric.c.metric)
            )
            .scalars()
            .all()
        )


def fresh_since(database: Database) -> datetime:
    """Since when a value must have been read to be shown as one of now.

    Two intervals of the policy that polls least often: a sensor that has gone, or a machine that
    does not answer, must not look alive.
    """
    with database.read() as connection:
        longest = connection.execute(
            sa.select(sa.func.max(telemetry_policy.c.poll_interval))
        ).scalar_one()
    return clock.after(-max(_FRESH, 2 * (longest or 0)))


def values_of(
    database: Database, metric: str, since: datetime, *, limit: int, after: int = 0
) -> Sequence[tuple[int, int, str, float]]:
    """Row id, machine's row id, sensor and value of a metric, those behind the row id `after`."""
    columns = machine_metric.c
    with database.read() as connection:
        rows = connection.execute(
            sa.select(columns.id, columns.machine_id, columns.sensor, columns.value)
            .where(columns.metric == metric, columns.id > after, columns.read_at >= since)
            .order_by(columns.id)
            .limit(limit)
        ).all()
    return [(row.id, row.machine_id, row.sensor, row.value) for row in rows]


def purge(database: Database, age: float, *, limit: int) -> int:
    """Delete up to `limit` values of each kind that are older than `age` seconds; how many.

    Also the last values of sensors that have not been read since then.
    """
    tables = (machine_metric_history, machine_metric)
    return sum(_purge(database, table, age, limit) for table in tables)


@retried
def _purge(database: Database, table: sa.Table, age: float, limit: int) -> int:
    columns: Any = table.c
    with database.write() as connection:
        ids = (
            connection.execute(
                sa.select(columns.id)
                .where(columns.read_at < moments.after(database, -age))
                .order_by(columns.id)
                .limit(limit)
            )
            .scalars()
            .all()
        )
        if ids:
            connection.execute(table.delete().where(columns.id.in_(ids)))
    return len(ids)

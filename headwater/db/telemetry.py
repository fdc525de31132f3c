# SPDX-License-Identifier: Apache-2.0
"""Telemetry policies, and the tasks that are due because of them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import PodService, Severity, TaskState
from headwater.db import moments, pods, tasks
from headwater.db.connection import Database, retried
from headwater.db.models import (
    machine,
    machine_alarm,
    pod,
    pod_label,
    pod_subscription,
    task,
    telemetry_policy,
)
from headwater.db.pod_records import NewTask
from headwater.db.telemetry_records import TelemetryPolicy, Threshold

#: What tasks of telemetry have as their target: lanes of their own, so that neither what is done to
#: a pod or a machine waits for them, nor they for it.
POLLS, SUBSCRIPTIONS = "telemetry", "subscriptions"

POLL_POD, POLL_MACHINE, SUBSCRIBE_POD = "poll-pod", "poll-machine", "subscribe-pod"

#: Seconds after which a poll that nobody ran or ended is given up.
_DEADLINE = 600.0

#: Seconds after which subscriptions are looked at again, unless the task that looks at them says
#: otherwise in the end.
_SUBSCRIBE_AGAIN = 600.0

#: Seconds between two polls that events of pods ask for.
_ASKED_AGAIN = 10.0

#: Policies that count: a bound, not a limit that anybody should meet.
_MOST_POLICIES = 1000

_OPEN = task.c.finished_at.is_(None)


def add(database: Database, new: TelemetryPolicy) -> TelemetryPolicy:
    """Add a policy; the pods that it is about are polled at once. Conflict for a name in use."""
    try:
        _insert(database, new)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a telemetry policy {new.name!r}.") from error
    return get(database, new.name)


@retried
def _insert(database: Database, new: TelemetryPolicy) -> None:
    with database.write() as connection:
        connection.execute(
            telemetry_policy.insert().values(
                name=new.name, created_at=clock.now(), **_columns(asdict(new))
            )
        )
        _hurry(connection, new.labels)


def update(database: Database, name: str, values: Mapping[str, Any]) -> TelemetryPolicy:
    """Change fields of a policy; the pods that it is about now are polled at once. NotFound."""
    known = get(database, name)
    _update(database, name, values, values.get("labels", known.labels))
    return get(database, name)


@retried
def _update(
    database: Database, name: str, values: Mapping[str, Any], labels: Mapping[str, str]
) -> None:
    with database.write() as connection:
        connection.execute(
            telemetry_policy.update()
            .where(telemetry_policy.c.name == name)
            .values(_columns(values))
        )
        _hurry(connection, labels)


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns for those fields that are given."""
    found: dict[str, Any] = {}
    if "description" in values:
        found["description"] = values["description"]
    if "labels" in values:
        found["labels"] = json.dumps(dict(values["labels"]))
    if "interval" in values:
        found["poll_interval"] = values["interval"]
    if "thresholds" in values:
        thresholds = [
            asdict(each) if isinstance(each, Threshold) else dict(each)
            for each in values["thresholds"]
        ]
        found["thresholds"] = json.dumps(thresholds)
    return found


def _hurry(connection: sa.Connection, labels: Mapping[str, str]) -> None:
    connection.execute(pod.update().where(*pods.labelled(labels)).values(next_poll_at=None))


def get(database: Database, name: str) -> TelemetryPolicy:
    """One policy by its name; raises NotFound."""
    found = _select(database, telemetry_policy.c.name == name, limit=1)
    if not found:
        raise NotFound(
            f"There is no telemetry policy {name!r}; 'pod telemetry policy list' shows all."
        )
    return found[0]


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[TelemetryPolicy]:
    """Policies by name, those behind the name `marker`."""
    return _select(database, telemetry_policy.c.name > marker, limit=limit)


def all_policies(database: Database) -> Sequence[TelemetryPolicy]:
    """All of them."""
    return _select(database, limit=_MOST_POLICIES)


def policies_of(database: Database, pod_id: int) -> Sequence[TelemetryPolicy]:
    """Those that a pod's labels match."""
    with database.read() as connection:
        labels = {
            row.name: row.value
            for row in connection.execute(sa.select(pod_label).where(pod_label.c.pod_id == pod_id))
        }
    return [each for each in all_policies(database) if each.labels.items() <= labels.items()]


@retried
def delete(database: Database, name: str) -> None:
    """Forget a policy; what was read because of it stays until it is old. Raises NotFound."""
    with database.write() as connection:
        deleted = connection.execute(
            telemetry_policy.delete().where(telemetry_policy.c.name == name)
        ).rowcount
    if not deleted:
        raise NotFound(
            f"There is no telemetry policy {name!r}; 'pod telemetry policy list' shows all."
        )


def _select(
    database: Database, *conditions: sa.ColumnElement[bool], limit: int
) -> Sequence[TelemetryPolicy]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(telemetry_policy)
            .where(*conditions)
            .order_by(telemetry_policy.c.name)
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> TelemetryPolicy:
    thresholds = tuple(
        Threshold(**{**each, "severity": Severity(each["severity"])})
        for each in json.loads(row.thresholds)
    )
    return TelemetryPolicy(
        row.name,
        row.description,
        json.loads(row.labels),
        row.poll_interval,
        thresholds,
        row.created_at,
    )


def end_alarms(database: Database) -> int:
    """Forget what is wrong with machines that nobody polls any more; how many alarms.

    Those are the missing ones, and those of pods that no policy is about: nobody would end them.
    """
    with database.read() as connection:
        pods_with_any = (
            connection.execute(
                sa.select(machine.c.pod_id)
                .join(machine_alarm, machine_alarm.c.machine_id == machine.c.id)
                .distinct()
            )
            .scalars()
            .all()
        )
    unwatched = [each for each in pods_with_any if not policies_of(database, each)]
    return _end_alarms(database, unwatched)


@retried
def _end_alarms(database: Database, pod_ids: Sequence[int]) -> int:
    gone = sa.select(machine.c.id).where(
        sa.or_(machine.c.missing_since.is_not(None), machine.c.pod_id.in_(pod_ids))
    )
    with database.write() as connection:
        return connection.execute(
            machine_alarm.delete().where(machine_alarm.c.machine_id.in_(gone))
        ).rowcount


def submit_polls(database: Database, parameters: str, *, limit: int) -> int:
    """Write a poll of each pod whose time has come, of `limit` pods at most; returns how many.

    A pod is polled as often as the policy with the shortest interval says that matches its labels,
    without any never. While a poll of it is open there is no second one. `parameters` is encrypted
    already.
    """
    intervals: dict[int, int] = {}
    for policy in all_policies(database):
        for pod_id in _due(database, policy.labels, limit):
            intervals[pod_id] = min(policy.interval, intervals.get(pod_id, policy.interval))
    if not intervals:
        return 0
    few = dict(sorted(intervals.items())[:limit])
    return _submit_polls(database, parameters, few)


def _due(database: Database, labels: Mapping[str, str], limit: int) -> Sequence[int]:
    with database.read() as connection:
        return (
            connection.execute(
                sa.select(pod.c.id)
                .where(
                    *pods.labelled(labels),
                    # Before its inventory is read for the first time it has nothing to poll.
                    pod.c.synced_at.is_not(None),
                    *_waits(database, pod.c.next_poll_at, POLLS),
                )
                .order_by(pod.c.id)
                .limit(limit)
            )
            .scalars()
            .all()
        )


def _waits(
    database: Database, column: sa.Column[Any], target: str
) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions for a pod whose time has come, and that has no open task of the kind."""
    return (
        sa.or_(column.is_(None), column <= moments.now(database)),
        ~sa.exists().where(task.c.pod_id == pod.c.id, task.c.target == target, _OPEN),
    )


@retried
def _submit_polls(database: Database, parameters: str, intervals: Mapping[int, int]) -> int:
    with database.write() as connection:
        # Asked again of rows that are locked, or two engines would write two polls.
        due = _locked(database, connection, intervals, pod.c.next_poll_at, POLLS)
        _replace(database, connection, due, POLL_POD, POLLS, parameters)
        for interval in {intervals[each] for each in due}:
            connection.execute(
                pod.update()
                .where(pod.c.id.in_([each for each in due if intervals[each] == interval]))
                .values(next_poll_at=moments.after(database, interval))
            )
    return len(due)


def submit_subscribing(
    database: Database, parameters: str, *, limit: int, wanted: bool = True
) -> int:
    """Write a task for each pod whose event subscriptions have to be looked at; how many.

    With `wanted` false only for those that still have some, which are to be ended.
    """
    kept = sa.exists().where(
        pod_subscription.c.pod_id == pod.c.id, pod_subscription.c.secret_hash.is_not(None)
    )
    which = sa.select(pod.c.id).where(
        *_waits(database, pod.c.next_subscribe_at, SUBSCRIPTIONS), sa.true() if wanted else kept
    )
    with database.read() as connection:
        found = connection.execute(which.order_by(pod.c.id).limit(limit)).scalars().all()
    return _submit_subscribing(database, parameters, found) if found else 0


@retried
def _submit_subscribing(database: Database, parameters: str, pod_ids: Sequence[int]) -> int:
    with database.write() as connection:
        due = _locked(database, connection, pod_ids, pod.c.next_subscribe_at, SUBSCRIPTIONS)
        _replace(database, connection, due, SUBSCRIBE_POD, SUBSCRIPTIONS, parameters)
        connection.execute(
            pod.update()
            .where(pod.c.id.in_(due))
            .values(next_subscribe_at=moments.after(database, _SUBSCRIBE_AGAIN))
        )
    return len(due)


def _locked(
    database: Database,
    connection: sa.Connection,
    pod_ids: Iterable[int],
    column: sa.Column[Any],
    target: str,
) -> Sequence[int]:
    return (
        connection.execute(
            sa.select(pod.c.id)
            .where(pod.c.id.in_(sorted(pod_ids)), *_waits(database, column, target))
            .order_by(pod.c.id)
            .with_for_update(key_share=True, of=pod)
        )
        .scalars()
        .all()
    )


def _replace(
    database: Database,
    connection: sa.Connection,
    pod_ids: Collection[int],
    action: str,
    target: str,
    parameters: str,
) -> None:
    """Write a task for each pod instead of the last one that ended.

    One every few seconds would fill the table, and everybody's list of tasks.
    """
    connection.execute(
        task.delete().where(task.c.pod_id.in_(pod_ids), task.c.target == target, ~_OPEN)
    )
    for pod_id in pod_ids:
        tasks.add(database, connection, _new(pod_id, action, target, parameters), target=target)


def _new(pod_id: int, action: str, target: str, parameters: str) -> NewTask:
    return NewTask(PodService.TELEMETRY, action, pod_id, target, parameters, _DEADLINE, Caller())


@retried
def ask_machine(database: Database, pod_id: int, machine_uuid: str, parameters: str) -> bool:
    """Write a poll of one machine, unless one that nobody has begun is there; whether it did.

    One that has begun may have read the machine before what the new one is about. Nothing where the
    last one ended a moment ago: a machine that sends events because it is polled must not be polled
    because of them for ever.
    """
    target = f"{POLLS}:{machine_uuid}"
    about = sa.and_(task.c.pod_id == pod_id, task.c.target == target)
    with database.write() as connection:
        # In the order in which everybody locks them.
        connection.execute(
            sa.select(pod.c.id).where(pod.c.id == pod_id).with_for_update(key_share=True)
        )
        connection.execute(
            sa.select(machine.c.id)
            .where(machine.c.uuid == machine_uuid)
            .with_for_update(key_share=True)
        )
        waits = connection.execute(
            sa.select(sa.func.count()).where(about, task.c.state == TaskState.PENDING)
        ).scalar_one()
        lately = connection.execute(
            sa.select(sa.func.count()).where(
                about, task.c.finished_at > moments.after(database, -_ASKED_AGAIN)
            )
        ).scalar_one()
        if waits or lately:
            return False
        connection.execute(task.delete().where(about, ~_OPEN))
        new = _new(pod_id, POLL_MACHINE, target, parameters)
        tasks.add(database, connection, new, target=target)
    return True


@retried
def ask_pod(database: Database, pod_id: int) -> None:
    """Let a pod be polled soon, where a policy says that it is polled at all.

    Never at once: one BMC that sends an event every second has not its whole fleet polled for it.
    """
    soon = moments.after(database, _ASKED_AGAIN)
    with database.write() as connection:
        connection.execute(
            pod.update()
            .where(pod.c.id == pod_id, pod.c.next_poll_at > soon)
            .values(next_poll_at=soon)
        )


@retried
def subscribe_later(database: Database, pod_id: int, version: object, seconds: float) -> None:
    """Let a pod's subscriptions be looked at in some seconds.

    Nothing where its access data are not those of `version` any more: it is due because of that.
    """
    with database.write() as connection:
        connection.execute(
            pod.update()
            .where(pod.c.id == pod_id, pod.c.updated_at == version)
            .values(next_subscribe_at=moments.after(database, seconds))
        )

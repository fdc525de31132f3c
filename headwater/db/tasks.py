# SPDX-License-Identifier: Apache-2.0
"""Tasks: submitted, run under leases, watched, ended once."""

import json
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import NotFound
from headwater.common.redact import fitting, storable
from headwater.common.states import ENDED, PodService, SyncRequest, TaskState
from headwater.db import leases, moments
from headwater.db.connection import Database, retried
from headwater.db.models import node, pod, task
from headwater.db.pod_records import ClaimedTask, NewTask, Task, TaskRest

#: Due tasks that a claim looks at for each that it may take: those of one pod may fill the front.
_AHEAD = 4

#: Rows that one statement writes: MariaDB's packets and SQLite's variables have ends.
_SLICE = 500

_OPEN = task.c.finished_at.is_(None)


@dataclass(frozen=True)
class Wanted:
    """What a worker may claim."""

    services: tuple[PodService, ...]
    #: At most so many at a time.
    limit: int
    #: Tasks of one pod and service after which no more of them are taken, whoever runs them. Two
    #: claims at one moment may exceed it together: it protects a pod from floods, and no table from
    #: races.
    per_pod: int


def submit(database: Database, new: NewTask) -> Task:
    """Write a task that is due at once."""
    return get(database, _insert(database, new))


@retried
def _insert(database: Database, new: NewTask) -> str:
    with database.write() as connection:
        return add(database, connection, new, target=new.target)


def add(database: Database, connection: sa.Connection, new: NewTask, *, target: str) -> str:
    """Write a task within a transaction of its caller; its uuid."""
    known = str(uuid.uuid4())
    values = {"uuid": known, "pod_id": new.pod_id, "target": target}
    connection.execute(task.insert().values(**_new(database, new), **values))
    return known


def _new(database: Database, new: NewTask) -> dict[str, Any]:
    """The columns of a new task but for its uuid and what it works on."""
    caller = new.caller
    return {
        "service": new.service,
        "action": new.action,
        "state": TaskState.PENDING,
        "sync_request": SyncRequest.REQUESTED,
        "requested_at": moments.now(database),
        "parameters": new.parameters,
        "user_id": fitting(caller.user_id),
        "user_name": fitting(caller.user_name),
        "project_id": fitting(caller.project_id),
        "request_id": fitting(caller.request_id),
        "created_at": clock.now(),
        "deadline_at": moments.after(database, new.deadline),
        "batch": new.batch,
        "batch_budget": new.batch_budget,
    }


class _Overtaken(Exception):
    """Another task of the same target was taken at the same moment."""


def claim(database: Database, wanted: Wanted, owner: str, lease: float) -> Sequence[ClaimedTask]:
    """Take due tasks for `lease` seconds, the longest waiting first.

    Of one target only the oldest that has not ended: its tasks run in the order of their coming,
    and never two at a time. None where another claim was at one of the targets at the same moment.
    """
    try:
        return _claim(database, wanted, owner, lease)
    except _Overtaken:
        return []


@retried
def _claim(database: Database, wanted: Wanted, owner: str, lease: float) -> Sequence[ClaimedTask]:
    if not wanted.limit:
        return []
    ids = _candidates(database, wanted)
    if not ids:
        return []
    which = (
        sa.select(*(task.c[field.name] for field in fields(ClaimedTask)))
        # Asked again of the rows that are locked: another claim may have had one in between.
        .where(task.c.id.in_(ids), *leases.due(database, task), _is_next_of_target())
        .order_by(task.c.requested_at)
        .with_for_update(skip_locked=True, key_share=True, of=task)
    )
    with database.write() as connection:
        rows = leases.take(database, connection, which, task, owner, lease)
        _check_others(connection, rows)
        started = [row["id"] for row in rows if row["state"] == TaskState.PENDING]
        if started:
            connection.execute(
                task.update()
                .where(task.c.id.in_(started))
                .values(
                    state=TaskState.RUNNING,
                    started_at=sa.func.coalesce(task.c.started_at, moments.now(database)),
                )
            )
    return [ClaimedTask(**row) for row in rows]


def _check_others(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise _Overtaken unless tasks that were just taken are the next of their targets.

    What was taken was chosen by what others had committed. An older task may have been committed
    since, and another claim may have taken one of them: here it is waited for.
    """
    if not rows:
        return
    targets = {(row["pod_id"], row["target"]) for row in rows}
    others = connection.execute(
        sa.select(task.c.id, task.c.pod_id, task.c.target, task.c.started_at, task.c.sync_request)
        .where(
            sa.tuple_(task.c.pod_id, task.c.target).in_(sorted(targets)),
            task.c.id.not_in([row["id"] for row in rows]),
            _OPEN,
        )
        .order_by(task.c.id)
        .with_for_update(key_share=True)
    ).all()
    for row in rows:
        is_new = row["state"] == TaskState.PENDING
        for other in others:
            if (other.pod_id, other.target) != (row["pod_id"], row["target"]):
                continue
            before, has_begun = other.id < row["id"], other.started_at is not None
            is_due = other.sync_request != SyncRequest.NONE
            if (has_begun and (is_new or before)) or (is_new and before and is_due):
                raise _Overtaken


def _candidates(database: Database, wanted: Wanted) -> list[int]:
    """Row ids of due tasks, as many as their pods have room for. Locks nothing."""
    running = task.alias("running")
    busy = (
        sa.select(sa.func.count())
        .where(
            running.c.pod_id == task.c.pod_id,
            # A flood of one kind takes no place from another.
            running.c.service == task.c.service,
            running.c.sync_request == SyncRequest.IN_PROGRESS,
        )
        .scalar_subquery()
    )
    query = (
        sa.select(task.c.id, task.c.pod_id, task.c.service, busy.label("busy"))
        .where(
            task.c.service.in_(wanted.services),
            *leases.due(database, task),
            _is_next_of_target(),
            # Whatever waits at a pod that is full keeps nobody else waiting.
            busy < wanted.per_pod,
        )
        .order_by(task.c.requested_at)
        .limit(_AHEAD * wanted.limit)
    )
    taken: Counter[tuple[int, str]] = Counter()
    found: list[int] = []
    with database.read() as connection:
        for row in connection.execute(query):
            place = (row.pod_id, row.service)
            if len(found) < wanted.limit and row.busy + taken[place] < wanted.per_pod:
                taken[place] += 1
                found.append(row.id)
    return found


def _is_next_of_target() -> sa.ColumnElement[bool]:
    """Whether no other task of its target is open that has begun, or came before it.

    Of two that have begun, which cannot be but for a race, the one that came first goes on. What a
    batch holds back has not come yet.
    """
    other = task.alias("other")
    is_new, before = task.c.started_at.is_(None), other.c.id < task.c.id
    return sa.not_(
        sa.exists().where(
            other.c.pod_id == task.c.pod_id,
            other.c.target == task.c.target,
            other.c.finished_at.is_(None),
            other.c.id != task.c.id,
            sa.or_(
                sa.and_(other.c.started_at.is_not(None), sa.or_(is_new, before)),
                sa.and_(is_new, before, other.c.sync_request != SyncRequest.NONE),
            ),
        )
    )


def rescue(database: Database, services: Collection[PodService]) -> int:
    """Ask again for tasks whose holders let their leases end; returns how many."""
    return leases.rescue(database, task, task.c.service.in_(sorted(services)))


def renew(
    database: Database, owner: str, task_ids: Collection[int], lease: float
) -> set[tuple[int, int]]:
    """The heartbeat: keep tasks for `lease` seconds; the ids and generations still held."""
    return leases.renew(database, task, owner, task_ids, lease)


def next_due(database: Database, services: Collection[PodService]) -> float | None:
    """Seconds until a task may be claimed or a worker's lease ends; None when none waits."""
    with database.read() as connection:
        due, now = connection.execute(
            sa.select(
                sa.func.min(leases.due_at(task, task.c.next_try_at)), moments.now(database)
            ).where(
                task.c.service.in_(sorted(services)),
                task.c.sync_request.in_([SyncRequest.REQUESTED, SyncRequest.IN_PROGRESS]),
                _is_next_of_target(),
            )
        ).one()
    return None if due is None else float((due - now).total_seconds())


@retried
def note(
    database: Database,
    held: ClaimedTask,
    *,
    percent: int | None = None,
    message: str | None = None,
    position: Mapping[str, Any] | None = None,
) -> None:
    """Write how far a held task has come; what is not given stays. Raises LeaseLost."""
    values: dict[str, Any] = {"percent": percent, "message": _text(message)}
    if position is not None:
        values["position"] = json.dumps(dict(position))
    given = {name: value for name, value in values.items() if value is not None}
    with database.write() as connection:
        _write(database, connection, held, given)


@retried
def release(database: Database, held: ClaimedTask, rest: TaskRest) -> None:
    """Give a task back, to be run again or ended. Raises LeaseLost, and then nothing is written."""
    ended = rest.state in ENDED
    values: dict[str, Any] = {
        "state": rest.state,
        "try_count": rest.try_count,
        "failures": rest.failures,
        "error": _text(rest.error),
        "lease_owner": None,
        "lease_until": None,
        "sync_request": SyncRequest.COMPLETED if ended else SyncRequest.REQUESTED,
    }
    for name, value in (("position", rest.position), ("result", rest.result)):
        if value is not None:
            values[name] = json.dumps(dict(value))
    for name, text in (("percent", rest.percent), ("message", _text(rest.message))):
        if text is not None:
            values[name] = text
    if ended:
        values.update(finished_at=moments.now(database), parameters=None)
    else:
        due = moments.after(database, rest.pause)
        values.update(requested_at=due, next_try_at=due)
    with database.write() as connection:
        _write(database, connection, held, values)
        if ended and held.batch is not None:
            _promote(database, connection, held.batch, held.pod_id)


def _promote(database: Database, connection: sa.Connection, batch: str, pod_id: int) -> None:
    """Ask for as many of a batch's tasks on a pod as its budget has room for."""
    of_batch = sa.and_(task.c.batch == batch, task.c.pod_id == pod_id, _OPEN)
    held_back = task.c.sync_request == SyncRequest.NONE
    row = connection.execute(
        sa.select(
            sa.func.max(task.c.batch_budget).label("budget"),
            sa.func.sum(sa.case((held_back, 0), else_=1)).label("asked_for"),
        ).where(of_batch)
    ).one()
    room = 0 if row.budget is None else row.budget - row.asked_for
    if room <= 0:
        return
    ids = (
        connection.execute(
            sa.select(task.c.id)
            .where(of_batch, held_back)
            .order_by(task.c.id)
            .limit(room)
            .with_for_update(skip_locked=True, key_share=True)
        )
        .scalars()
        .all()
    )
    if ids:
        connection.execute(
            task.update()
            .where(task.c.id.in_(ids), held_back)
            .values(sync_request=SyncRequest.REQUESTED, requested_at=moments.now(database))
        )


@retried
def promote(database: Database) -> int:
    """Ask for what batches have room for, wherever a task ended otherwise; how many places."""
    held_back = sa.func.sum(sa.case((task.c.sync_request == SyncRequest.NONE, 1), else_=0))
    with database.read() as connection:
        # Most batches wait for their own tasks, and need nothing.
        places = connection.execute(
            sa.select(task.c.batch, task.c.pod_id)
            .where(task.c.batch.is_not(None), _OPEN)
            .group_by(task.c.batch, task.c.pod_id)
            .having(
                held_back > 0,
                sa.func.count() - held_back < sa.func.max(task.c.batch_budget),
            )
        ).all()
    for place in places:
        with database.write() as connection:
            _promote(database, connection, place.batch, place.pod_id)
    return len(places)


def _write(
    database: Database, connection: sa.Connection, held: ClaimedTask, values: Mapping[str, Any]
) -> None:
    where = leases.held(task, database.dialect)
    done = connection.execute(task.update().where(where).values(values), leases.key(held))
    if done.rowcount != 1:
        raise leases.lost(held)


def cancel(database: Database, task_uuid: str) -> None:
    """Ask a task to end: at once where no worker has begun it, else at its next step.

    Raises NotFound. Does nothing to one that has ended.
    """
    get(database, task_uuid)
    _cancel(database, task.c.uuid == task_uuid)


def cancel_all(database: Database, pod_id: int, targets: Collection[str]) -> None:
    """The same for all tasks on some targets of a pod."""
    _cancel(database, sa.and_(task.c.pod_id == pod_id, task.c.target.in_(sorted(targets))))


@retried
def _cancel(database: Database, which: sa.ColumnElement[bool]) -> None:
    untouched = sa.and_(
        task.c.state == TaskState.PENDING,
        task.c.sync_request.in_([SyncRequest.REQUESTED, SyncRequest.NONE]),
    )
    with database.write() as connection:
        connection.execute(
            task.update()
            .where(which, _OPEN, untouched)
            .values(
                state=TaskState.CANCELLED,
                sync_request=SyncRequest.COMPLETED,
                finished_at=moments.now(database),
                parameters=None,
            )
        )
        # Those that are left.
        connection.execute(
            task.update().where(which, _OPEN).values(cancel_requested=True, next_try_at=None)
        )


@retried
def expire(database: Database) -> int:
    """End tasks whose deadline has passed; whoever holds one writes nothing more. How many."""
    with database.write() as connection:
        return connection.execute(
            task.update()
            .where(_OPEN, task.c.deadline_at < moments.now(database))
            .values(
                state=TaskState.TIMED_OUT,
                sync_request=SyncRequest.COMPLETED,
                generation=task.c.generation + 1,
                lease_owner=None,
                lease_until=None,
                finished_at=moments.now(database),
                parameters=None,
                error=sa.func.coalesce(task.c.error, "Its deadline has passed."),
            )
        ).rowcount


@retried
def purge(database: Database, age: float, *, limit: int) -> int:
    """Delete up to `limit` tasks that ended more than `age` seconds ago; returns how many.

    What composed a node stays as long as the node: how it ended decides what the node leaves.
    """
    composed = sa.exists().where(node.c.uuid == task.c.target)
    with database.write() as connection:
        ids = (
            connection.execute(
                sa.select(task.c.id)
                .where(task.c.finished_at < moments.after(database, -age), ~composed)
                .order_by(task.c.id)
                .limit(limit)
            )
            .scalars()
            .all()
        )
        if ids:
            connection.execute(task.delete().where(task.c.id.in_(ids)))
    return len(ids)


def get(database: Database, task_uuid: str) -> Task:
    """One task by its uuid; raises NotFound."""
    found = _select(database, task.c.uuid == task_uuid, limit=1)
    if not found:
        raise NotFound(f"There is no task {task_uuid!r}.")
    return found[0]


def open_of(database: Database, pod_id: int, target: str, action: str | None = None) -> Task | None:
    """The newest task on a target, or of a kind on it, that has not ended."""
    conditions = [task.c.pod_id == pod_id, task.c.target == target, _OPEN]
    if action is not None:
        conditions.append(task.c.action == action)
    found = _select(database, *conditions, limit=1)
    return found[0] if found else None


def last_position(
    database: Database, pod_id: int, target: str, action: str
) -> Mapping[str, Any] | None:
    """Where the last task of a kind on a target came to; None where it never began."""
    with database.read() as connection:
        position = connection.execute(
            sa.select(task.c.position)
            .where(task.c.pod_id == pod_id, task.c.target == target, task.c.action == action)
            .order_by(task.c.id.desc())
            .limit(1)
        ).scalar_one_or_none()
    found: Mapping[str, Any] | None = None if position is None else json.loads(position)
    return found


def submit_batch(database: Database, new: NewTask, targets: Sequence[tuple[int, str]]) -> None:
    """Write a task like `new` for each pod's row id and target, all of them or none."""
    _insert_all(database, new, targets)


@retried
def _insert_all(database: Database, new: NewTask, targets: Sequence[tuple[int, str]]) -> None:
    values = _new(database, new)
    # Of the database's own clock, which is an expression, once for all.
    with database.write() as connection:
        now, end = connection.execute(
            sa.select(moments.now(database), moments.after(database, new.deadline))
        ).one()
        values.update(requested_at=now, deadline_at=end)
        number: Counter[int] = Counter()
        rows = []
        for pod_id, target in targets:
            number[pod_id] += 1
            # The others are asked for as these end.
            due = new.batch_budget is None or number[pod_id] <= new.batch_budget
            asked = SyncRequest.REQUESTED if due else SyncRequest.NONE
            own = {"uuid": str(uuid.uuid4()), "pod_id": pod_id, "target": target}
            rows.append({**values, **own, "sync_request": asked})
        for start in range(0, len(rows), _SLICE):
            connection.execute(task.insert(), rows[start : start + _SLICE])


def states_of(database: Database, batch: str) -> Mapping[TaskState, int]:
    """How many tasks of a batch are in which state; empty where there is no such batch."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(task.c.state, sa.func.count().label("number"))
            .where(task.c.batch == batch)
            .group_by(task.c.state)
        ).all()
    return {TaskState(row.state): row.number for row in rows}


def of_ids(database: Database, task_ids: Collection[int]) -> Sequence[Task]:
    """Some tasks by their row ids; those that were forgotten are left out."""
    return _select(database, task.c.id.in_(sorted(task_ids)), limit=len(task_ids))


def list_page(
    database: Database,
    *,
    limit: int,
    before: str | None = None,
    state: TaskState | None = None,
    pod_name: str | None = None,
    target: str | None = None,
    batch: str | None = None,
) -> Sequence[Task]:
    """Tasks, the newest first, those older than the task `before`. Raises NotFound for that."""
    conditions: list[sa.ColumnElement[bool]] = []
    if before is not None:
        conditions.append(task.c.id < get(database, before).id)
    if state is not None:
        conditions.append(task.c.state == state)
    if pod_name is not None:
        conditions.append(pod.c.name == pod_name)
    if target is not None:
        conditions.append(task.c.target == target)
    if batch is not None:
        conditions.append(task.c.batch == batch)
    return _select(database, *conditions, limit=limit)


def _select(database: Database, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Task]:
    columns = [task.c[field.name] for field in fields(Task) if field.name != "pod_name"]
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*columns, pod.c.name.label("pod_name"))
            .join(pod, pod.c.id == task.c.pod_id)
            .where(*conditions)
            .order_by(task.c.id.desc())
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Task:
    values = dict(row._mapping)
    values["service"] = PodService(row.service)
    values["state"] = TaskState(row.state)
    values["result"] = None if row.result is None else json.loads(row.result)
    return Task(**values)


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)

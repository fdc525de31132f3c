# SPDX-License-Identifier: Apache-2.0
"""Orch jobs: intents, their acceptance, and what is shown of them."""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import NotFound
from headwater.common.redact import fitting
from headwater.common.states import (
    PENDING,
    SETTLED,
    IntentState,
    JobState,
    Management,
    Operation,
    RequestState,
)
from headwater.db import moments, requests, resources
from headwater.db.connection import Database, retried
from headwater.db.models import orch_job, orch_request, subcloud, subcloud_sync
from headwater.db.records import AcceptedChange, Job, JobFilter, JobSummary, NewIntent

#: The filter that lets all jobs pass.
_ALL = JobFilter()

_JOB = (
    orch_job.c.id,
    orch_job.c.uuid,
    orch_job.c.endpoint_type,
    orch_job.c.resource_type,
    orch_job.c.operation_type,
    orch_job.c.source_resource_id,
    orch_job.c.resource_name,
    orch_job.c.intent_state,
    orch_job.c.user_id,
    orch_job.c.user_name,
    orch_job.c.project_id,
    orch_job.c.request_id,
    orch_job.c.created_at,
    orch_job.c.accepted_at,
    orch_job.c.finished_at,
)


def open_intent(database: Database, intent: NewIntent) -> Job:
    """Write down what is about to be forwarded, and return the open job."""
    job = Job(
        id=0,
        uuid=str(uuid.uuid4()),
        endpoint_type=intent.endpoint_type,
        resource_type=intent.resource_type,
        operation=intent.operation,
        master_id=intent.master_id,
        resource_name=intent.resource_name,
        intent_state=IntentState.OPEN,
        user_id=intent.caller.user_id,
        user_name=intent.caller.user_name,
        project_id=intent.caller.project_id,
        request_id=intent.caller.request_id,
        created_at=clock.now(),
        accepted_at=None,
        finished_at=None,
    )
    return reopen_intent(database, job, intent.resource_info, intent.key_before)


@retried
def reopen_intent(
    database: Database,
    job: Job,
    resource_info: str,
    key_before: Mapping[str, Any] | None = None,
    *,
    overlapped: bool = False,
) -> Job:
    """Write an open job under its uuid, and return it with its new row id.

    With `overlapped` other changes of the resource may have come in between: see `accept`.
    """
    job = replace(
        job,
        resource_name=fitting(job.resource_name),
        user_id=fitting(job.user_id),
        user_name=fitting(job.user_name),
        project_id=fitting(job.project_id),
        request_id=fitting(job.request_id),
    )
    with database.write() as connection:
        result = connection.execute(
            orch_job.insert().values(
                uuid=job.uuid,
                endpoint_type=job.endpoint_type,
                resource_type=job.resource_type,
                operation_type=job.operation,
                source_resource_id=job.master_id,
                resource_name=job.resource_name,
                natural_key_before=None if key_before is None else json.dumps(dict(key_before)),
                has_secrets=False,
                intent_state=IntentState.OPEN,
                overlapped=overlapped,
                resource_info=resource_info,
                user_id=job.user_id,
                user_name=job.user_name,
                project_id=job.project_id,
                request_id=job.request_id,
                created_at=job.created_at,
            )
        )
        key = result.inserted_primary_key
    if key is None:
        raise AssertionError("INSERT of one row returns its key")
    return replace(job, id=key[0])


@retried
def drop_intent(database: Database, job_id: int) -> None:
    """Forget an open job whose change certainly did not happen. The second time does nothing."""
    with database.write() as connection:
        connection.execute(
            orch_job.delete().where(
                orch_job.c.id == job_id, orch_job.c.intent_state == IntentState.OPEN
            )
        )


@retried
def accept(database: Database, job: Job, change: AcceptedChange) -> int:
    """Turn an open job into one request per managed subcloud; returns how many.

    One transaction with a fixed number of statements, whatever the number of subclouds. When
    another change of the same resource was under way at the same time, the order in which the
    central cloud did the two is unknown: the one that is accepted last becomes an `align`, which
    replays the central cloud's final state. Raises NotFound when the job is not open any more.
    """
    now = clock.now()
    same_resource = sa.and_(
        orch_job.c.endpoint_type == job.endpoint_type,
        orch_job.c.resource_type == job.resource_type,
        orch_job.c.source_resource_id == change.master_id,
    )
    with database.write() as connection:
        # Locked in the order of ids, so that two of them never wait for each other.
        open_jobs = connection.execute(
            sa.select(orch_job.c.id, orch_job.c.overlapped)
            .where(
                sa.or_(orch_job.c.id == job.id, same_resource),
                orch_job.c.intent_state == IntentState.OPEN,
            )
            .order_by(orch_job.c.id)
            .with_for_update()
        ).all()
        overlapped = {row.id: row.overlapped for row in open_jobs}
        if job.id not in overlapped:
            raise NotFound(f"Job {job.uuid} is not open.")
        others = [job_id for job_id in overlapped if job_id != job.id]
        if others:
            connection.execute(
                orch_job.update().where(orch_job.c.id.in_(others)).values(overlapped=True)
            )
        # Before the question below: whoever else changes the resource now waits for this lock, or
        # is through and seen.
        resources.store(
            database,
            connection,
            job.endpoint_type,
            job.resource_type,
            change.master_id,
            change.natural_key,
            deleted=change.operation is Operation.DELETE,
        )
        align = overlapped[job.id]
        if change.operation is Operation.CREATE and not align:
            # Somebody found the resource in a list and changed it before its create was recorded.
            align = connection.execute(
                sa.select(
                    sa.exists().where(
                        same_resource, orch_job.c.intent_state == IntentState.ACCEPTED
                    )
                )
            ).scalar_one()
            # A link has no id of its own: it is created and deleted many times.
            align = align and change.natural_key is not None
        connection.execute(
            orch_job.update()
            .where(orch_job.c.id == job.id)
            .values(
                operation_type=Operation.ALIGN if align else change.operation,
                source_resource_id=change.master_id,
                resource_name=fitting(change.resource_name),
                intent_state=IntentState.ACCEPTED,
                resource_info=change.resource_info,
                has_secrets=change.has_secrets,
                request_id=fitting(job.request_id or change.request_id),
                accepted_at=now,
            )
        )
        number = _fan_out(connection, job, now)
        if not number:
            # Nobody will ever need the body.
            connection.execute(
                orch_job.update()
                .where(orch_job.c.id == job.id)
                .values(finished_at=now, resource_info=None)
            )
        return number


def _fan_out(connection: sa.Connection, job: Job, now: datetime) -> int:
    """One request per managed subcloud, written by the database itself."""
    lanes = (
        sa.select(sa.literal(job.id), subcloud_sync.c.subcloud_id, subcloud_sync.c.id)
        .join(subcloud, subcloud.c.id == subcloud_sync.c.subcloud_id)
        .where(
            subcloud_sync.c.endpoint_type == job.endpoint_type,
            subcloud.c.management_state == Management.MANAGED,
        )
    )
    return requests.enqueue(connection, lanes, now)


@retried
def finish(database: Database, job_ids: Collection[int] | None = None) -> int:
    """Mark jobs whose requests are all completed and drop their bodies with all secrets.

    Looks at the given jobs, or at all. Returns how many were finished; the second time does
    nothing.
    """
    unfinished = sa.exists().where(
        orch_request.c.orch_job_id == orch_job.c.id,
        orch_request.c.state.not_in(SETTLED),
    )
    statement = (
        orch_job.update()
        .where(
            orch_job.c.intent_state == IntentState.ACCEPTED,
            orch_job.c.finished_at.is_(None),
            ~unfinished,
        )
        .values(finished_at=clock.now(), resource_info=None)
    )
    if job_ids is not None:
        statement = statement.where(orch_job.c.id.in_(sorted(job_ids)))
    with database.write() as connection:
        return connection.execute(statement).rowcount


@retried
def purge(database: Database, age: float, *, limit: int) -> int:
    """Delete up to `limit` jobs that finished more than `age` seconds ago, with their requests.

    The oldest first; returns how many.
    """
    with database.write() as connection:
        old = connection.execute(
            sa.select(orch_job.c.id)
            .where(
                orch_job.c.intent_state == IntentState.ACCEPTED,
                orch_job.c.finished_at < moments.after(database, -age),
            )
            .order_by(orch_job.c.id)
            .limit(limit)
        ).scalars()
        ids = list(old)
        if ids:
            connection.execute(orch_job.delete().where(orch_job.c.id.in_(ids)))
    return len(ids)


def open_info(database: Database, job_id: int) -> str:
    """The encrypted info of an open job; raises NotFound when it is not open."""
    with database.read() as connection:
        info: str | None = connection.execute(
            sa.select(orch_job.c.resource_info).where(
                orch_job.c.id == job_id, orch_job.c.intent_state == IntentState.OPEN
            )
        ).scalar_one_or_none()
    if info is None:
        raise NotFound("The job is not open.")
    return info


def open_since(
    database: Database, age: float, *, limit: int, after: int = 0
) -> Sequence[tuple[Job, str]]:
    """Open jobs that are older than `age` seconds, oldest first, with their encrypted info.

    Those behind the row id `after`.
    """
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*_JOB, orch_job.c.resource_info)
            .where(
                orch_job.c.intent_state == IntentState.OPEN,
                orch_job.c.created_at < clock.after(-age),
                orch_job.c.id > after,
            )
            .order_by(orch_job.c.id)
            .limit(limit)
        ).all()
    return [(_job(row), row.resource_info) for row in rows]


def get(database: Database, job_uuid: str) -> JobSummary:
    """One job by its uuid; raises NotFound."""
    summaries = _summaries(database, orch_job.c.uuid == job_uuid, limit=1)
    if not summaries:
        raise NotFound(f"There is no job {job_uuid}; 'job list' shows all.")
    return summaries[0]


def find(database: Database, key: str) -> JobSummary:
    """One job by its uuid, or the newest by its caller's own request id; raises NotFound."""
    for condition in (orch_job.c.uuid == key, orch_job.c.request_id == key):
        if summaries := _summaries(database, condition, limit=1):
            return summaries[0]
    raise NotFound(f"There is no job with the id or the request id {key!r}.")


def of_ids(database: Database, job_ids: Collection[int]) -> Sequence[JobSummary]:
    """Some jobs by their row ids; those that were forgotten are left out."""
    return _summaries(database, orch_job.c.id.in_(sorted(job_ids)), limit=len(job_ids))


def list_page(
    database: Database,
    *,
    limit: int,
    marker: str | None = None,
    ascending: bool = False,
    only: JobFilter = _ALL,
) -> Sequence[JobSummary]:
    """Jobs, newest first, that are behind the job `marker`; raises NotFound for a bad one."""
    conditions = _conditions(only)
    if marker is not None:
        at = get(database, marker).job.id
        conditions.append(orch_job.c.id > at if ascending else orch_job.c.id < at)
    return _summaries(database, *conditions, limit=limit, ascending=ascending)


def _conditions(only: JobFilter) -> list[sa.ColumnElement[bool]]:
    values = {
        orch_job.c.endpoint_type: only.endpoint_type,
        orch_job.c.resource_type: only.resource_type,
        orch_job.c.source_resource_id: only.master_id,
        orch_job.c.project_id: only.project_id,
        orch_job.c.request_id: only.request_id,
    }
    conditions = [column == value for column, value in values.items() if value is not None]
    if only.user is not None:
        conditions.append(
            sa.or_(orch_job.c.user_id == only.user, orch_job.c.user_name == only.user)
        )
    if only.since is not None:
        conditions.append(orch_job.c.created_at >= only.since)
    if only.subcloud_id is not None:
        conditions.append(_has_request(orch_request.c.subcloud_id == only.subcloud_id))
    if only.state is not None:
        conditions.extend(_in_state(only.state))
    return conditions


def _in_state(state: JobState) -> list[sa.ColumnElement[bool]]:
    """As `JobSummary.state` tells it, without counting."""
    if state is JobState.OPEN:
        return [orch_job.c.intent_state == IntentState.OPEN]
    accepted = orch_job.c.intent_state == IntentState.ACCEPTED
    if state is JobState.COMPLETED:
        return [accepted, orch_job.c.finished_at.is_not(None)]
    pending = _has_request(orch_request.c.state.in_(PENDING))
    # The index finds the unfinished ones, which are few.
    unfinished = [accepted, orch_job.c.finished_at.is_(None)]
    if state is JobState.IN_PROGRESS:
        return [*unfinished, pending]
    return [*unfinished, ~pending, _has_request(orch_request.c.state == RequestState.FAILED)]


def _has_request(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(orch_request.c.orch_job_id == orch_job.c.id, condition)


def _summaries(
    database: Database,
    *conditions: sa.ColumnElement[bool],
    limit: int,
    ascending: bool = False,
) -> list[JobSummary]:
    order = orch_job.c.id if ascending else orch_job.c.id.desc()
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*_JOB).where(*conditions).order_by(order).limit(limit)
        ).all()
        counts: dict[int, dict[RequestState, int]] = {row.id: {} for row in rows}
        for job_id, state, number in connection.execute(
            sa.select(orch_request.c.orch_job_id, orch_request.c.state, sa.func.count())
            .where(orch_request.c.orch_job_id.in_(list(counts)))
            .group_by(orch_request.c.orch_job_id, orch_request.c.state)
        ):
            counts[job_id][RequestState(state)] = number
    return [JobSummary(_job(row), counts[row.id]) for row in rows]


def _job(row: sa.Row[Any]) -> Job:
    return Job(
        id=row.id,
        uuid=row.uuid,
        endpoint_type=row.endpoint_type,
        resource_type=row.resource_type,
        operation=Operation(row.operation_type),
        master_id=row.source_resource_id,
        resource_name=row.resource_name,
        intent_state=IntentState(row.intent_state),
        user_id=row.user_id,
        user_name=row.user_name,
        project_id=row.project_id,
        request_id=row.request_id,
        created_at=row.created_at,
        accepted_at=row.accepted_at,
        finished_at=row.finished_at,
    )

# SPDX-License-Identifier: Apache-2.0
"""Orch requests: read in the order of acceptance, written only by the holder of the lane."""

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.common.errors import NotFound
from headwater.common.states import (
    AUDIT_WANTED,
    PENDING,
    REQUEST_SOURCES,
    AuditStatus,
    InitialSync,
    Operation,
    RequestState,
)
from headwater.db import claims, leases, moments, resources, subclouds
from headwater.db.connection import Database, retried
from headwater.db.models import orch_job, orch_request, subcloud, subcloud_sync
from headwater.db.records import Batch, ClaimedLane, QueuedRequest, Request, RequestResult


def enqueue(connection: sa.Connection, which: sa.Select[Any], now: datetime) -> int:
    """Write a queued request for each row (job's id, subcloud's id, lane's id) of a statement.

    Within the caller's transaction, by one statement; returns how many.
    """
    values = which.add_columns(
        sa.literal(RequestState.QUEUED.value),
        sa.literal(0),
        sa.false(),
        sa.false(),
        sa.literal(now, type_=orch_request.c.created_at.type),
    )
    columns = [
        "orch_job_id",
        "subcloud_id",
        "subcloud_sync_id",
        "state",
        "try_count",
        "superseded",
        "secrets_superseded",
        "created_at",
    ]
    return connection.execute(
        orch_request.insert().from_select(columns, values, include_defaults=False)
    ).rowcount


def oldest_pending() -> list[sa.Label[Any]]:
    """Columns with the times since when a lane's requests wait and run, for `oldest_of`.

    One per state, each a single step into the index of lanes. A minimum, or one question for both
    states, makes databases read all requests in their order.
    """
    return [
        sa.select(orch_request.c.created_at)
        .where(orch_request.c.subcloud_sync_id == subcloud_sync.c.id, orch_request.c.state == state)
        .order_by(orch_request.c.id)
        .limit(1)
        .scalar_subquery()
        .label(f"oldest_{state.name.lower()}")
        for state in PENDING
    ]


def oldest_of(row: sa.Row[Any]) -> datetime | None:
    """The earlier of the times that `oldest_pending` found, None where nothing waits."""
    found = [row._mapping[f"oldest_{state.name.lower()}"] for state in PENDING]
    return min((moment for moment in found if moment is not None), default=None)


@retried
def next_batch(database: Database, lane: ClaimedLane, limit: int) -> Batch:
    """Take the next pending requests of a lane, oldest first.

    Empty when there are none or the subcloud's lanes may not run any more; with fewer than `limit`
    there are no more. Raises LeaseLost.
    """
    with database.write() as connection:
        state = connection.execute(_held_lane(database.dialect), leases.key(lane)).one_or_none()
        if state is None:
            raise leases.lost(lane)
        rows: Sequence[sa.Row[Any]] = []
        if state.served:
            rows = connection.execute(_PENDING, {"p_lane": lane.id, "p_limit": limit}).all()
        if rows:
            connection.execute(_TAKE, {"p_ids": [row.id for row in rows]})
    return Batch(
        wakeups=state.wakeups,
        subcloud=subclouds.from_row(state),
        audit_wanted=state.served and state.audit_status in AUDIT_WANTED,
        audit_fresh=state.audit_status != AuditStatus.DUE,
        initial_sync=state.initial_sync_state != InitialSync.NONE
        and state.initial_sync_state != InitialSync.COMPLETED,
        requests=tuple(
            QueuedRequest(
                id=row.id,
                job_id=row.job_id,
                job_uuid=row.uuid,
                endpoint_type=row.endpoint_type,
                resource_type=row.resource_type,
                operation=Operation(row.operation_type),
                master_id=row.source_resource_id,
                resource_info=row.resource_info,
                try_count=row.try_count,
                superseded=row.superseded,
                secrets_superseded=row.secrets_superseded,
            )
            for row in rows
        ),
    )


@functools.cache
def _held_lane(dialect: str) -> sa.Select[Any]:
    return (
        sa.select(
            subcloud_sync.c.wakeups,
            subcloud_sync.c.audit_status,
            subcloud_sync.c.initial_sync_state,
            subclouds.served().label("served"),
            *subcloud.c,
        )
        .join(subcloud, subcloud.c.id == subcloud_sync.c.subcloud_id)
        .where(leases.held(subcloud_sync, dialect))
        # Nobody takes the lane over between this look and the write that follows.
        .with_for_update(of=subcloud_sync, key_share=True)
    )


_PENDING = (
    sa.select(
        orch_request.c.id,
        orch_request.c.try_count,
        orch_request.c.superseded,
        orch_request.c.secrets_superseded,
        orch_job.c.id.label("job_id"),
        orch_job.c.uuid,
        orch_job.c.endpoint_type,
        orch_job.c.resource_type,
        orch_job.c.operation_type,
        orch_job.c.source_resource_id,
        orch_job.c.resource_info,
    )
    .join(orch_job, orch_job.c.id == orch_request.c.orch_job_id)
    .where(
        orch_request.c.subcloud_sync_id == sa.bindparam("p_lane"),
        orch_request.c.state.in_(PENDING),
    )
    .order_by(orch_request.c.id)
    .limit(sa.bindparam("p_limit"))
)

_TAKE = (
    orch_request.update()
    .where(
        orch_request.c.id.in_(sa.bindparam("p_ids", expanding=True)),
        orch_request.c.state.in_(REQUEST_SOURCES[RequestState.IN_PROGRESS]),
    )
    .values(state=RequestState.IN_PROGRESS)
)


@retried
def save_results(
    database: Database, lane: ClaimedLane, results: Sequence[RequestResult], lease: float
) -> None:
    """Write what became of some requests and renew the lease for `lease` seconds.

    Raises LeaseLost, and writes nothing, when the lane belongs to another worker by now.
    """
    with database.write() as connection:
        fence(database, connection, lane, lease)
        write_results(database, connection, lane, results)


def write_results(
    database: Database,
    connection: sa.Connection,
    lane: ClaimedLane,
    results: Sequence[RequestResult],
) -> None:
    """Write results within the caller's transaction, which makes sure that the lane is held."""
    for result in results:
        connection.execute(
            _RESULT[result.state],
            {
                "p_request": result.request_id,
                "p_try_count": result.try_count,
                "p_error": result.error,
                "p_started_at": result.started_at,
                "p_finished_at": result.finished_at,
            },
        )
        resources.apply_mappings(database, connection, lane.subcloud_id, result.mappings)
    if any(result.state is RequestState.FAILED for result in results):
        # Nobody knows in what state it left the subcloud.
        connection.execute(
            subcloud_sync.update()
            .where(subcloud_sync.c.id == lane.id)
            .values(next_audit_at=moments.after(database, claims.AUDIT_AFTER_DOUBT))
        )


#: How a request reaches a state.
_RESULT = {
    state: orch_request.update()
    .where(
        orch_request.c.id == sa.bindparam("p_request"),
        orch_request.c.state.in_(REQUEST_SOURCES[state]),
    )
    .values(
        state=state,
        try_count=sa.bindparam("p_try_count"),
        error=sa.bindparam("p_error"),
        started_at=sa.func.coalesce(
            orch_request.c.started_at,
            sa.bindparam("p_started_at", type_=orch_request.c.started_at.type),
        ),
        finished_at=sa.bindparam("p_finished_at"),
    )
    for state in RequestState
}


def queue_again(connection: sa.Connection, lane: ClaimedLane) -> None:
    """Put what was taken from a lane and has no result back, within the caller's transaction."""
    connection.execute(
        orch_request.update()
        .where(
            orch_request.c.subcloud_sync_id == lane.id,
            orch_request.c.state == RequestState.IN_PROGRESS,
        )
        .values(state=RequestState.QUEUED)
    )


def fence(database: Database, connection: sa.Connection, lane: ClaimedLane, lease: float) -> None:
    """Renew a lease within the caller's transaction; raises LeaseLost when it is gone."""
    renewed = connection.execute(_fence(database.dialect), {**leases.key(lane), "p_lease": lease})
    if renewed.rowcount != 1:
        raise leases.lost(lane)


@functools.cache
def _fence(dialect: str) -> sa.Update:
    until = moments.after(dialect, sa.bindparam("p_lease", type_=sa.Float()))
    return (
        subcloud_sync.update().where(leases.held(subcloud_sync, dialect)).values(lease_until=until)
    )


def of_job(
    database: Database,
    job_id: int,
    *,
    limit: int,
    after: str = "",
    state: RequestState | None = None,
) -> Sequence[Request]:
    """The requests of a job by region name, those behind the region `after`."""
    conditions = [orch_request.c.orch_job_id == job_id, subcloud.c.region_name > after]
    if state is not None:
        conditions.append(orch_request.c.state == state)
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                subcloud.c.region_name,
                orch_request.c.state,
                orch_request.c.try_count,
                orch_request.c.error,
                orch_request.c.started_at,
                orch_request.c.finished_at,
            )
            .join(subcloud, subcloud.c.id == orch_request.c.subcloud_id)
            .where(*conditions)
            .order_by(subcloud.c.region_name)
            .limit(limit)
        ).all()
    return [
        Request(
            region_name=row.region_name,
            state=RequestState(row.state),
            try_count=row.try_count,
            error=row.error,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
        for row in rows
    ]


@retried
def retry(database: Database, job_id: int) -> Sequence[int]:
    """Queue the failed requests of a job again with fresh tries; returns their subclouds' ids.

    Where a later change of the same resource has run already, the request is marked superseded: it
    then brings the resource to the central cloud's present state instead of an old one.
    """
    with database.write() as connection:
        job = connection.execute(sa.select(orch_job).where(orch_job.c.id == job_id)).one_or_none()
        if job is None:
            raise NotFound(f"There is no job with id {job_id}.")
        failed = sa.and_(
            orch_request.c.orch_job_id == job_id,
            orch_request.c.state == RequestState.FAILED,
        )
        # Nobody reads these lanes until it is decided which requests were overtaken.
        connection.execute(
            sa.select(subcloud_sync.c.id)
            .where(subcloud_sync.c.id.in_(sa.select(orch_request.c.subcloud_sync_id).where(failed)))
            .order_by(subcloud_sync.c.id)
            .with_for_update(key_share=True)
        ).all()
        subcloud_ids = (
            connection.execute(sa.select(orch_request.c.subcloud_id).where(failed)).scalars().all()
        )
        later = orch_request.alias("later")
        # Later means behind it in the lane, which is the order of acceptance.
        overtaking = connection.execute(
            sa.select(orch_request.c.id, orch_job.c.has_secrets)
            .join(
                later,
                sa.and_(
                    later.c.subcloud_sync_id == orch_request.c.subcloud_sync_id,
                    later.c.id > orch_request.c.id,
                    later.c.state.in_([RequestState.IN_PROGRESS, RequestState.COMPLETED]),
                ),
            )
            .join(orch_job, orch_job.c.id == later.c.orch_job_id)
            .where(
                failed,
                orch_job.c.resource_type == job.resource_type,
                orch_job.c.source_resource_id == job.source_resource_id,
            )
            .distinct()
        ).all()
        for ids, mark in (
            ({row.id for row in overtaking}, {"superseded": True}),
            ({row.id for row in overtaking if row.has_secrets}, {"secrets_superseded": True}),
        ):
            if ids:
                connection.execute(
                    orch_request.update().where(orch_request.c.id.in_(sorted(ids))).values(mark)
                )
        fresh = {"state": RequestState.QUEUED, "try_count": 0, "finished_at": None}
        connection.execute(orch_request.update().where(failed).values(fresh))
    return subcloud_ids


@retried
def cancel(database: Database, job_id: int) -> tuple[Sequence[int], int]:
    """Give up the requests of a job that no worker has read, and those that failed.

    Returns the ids of their subclouds, and how many requests run and end by themselves. The second
    time does nothing.
    """
    of_job = orch_request.c.orch_job_id == job_id
    waiting = sa.and_(of_job, orch_request.c.state.in_(REQUEST_SOURCES[RequestState.CANCELLED]))
    with database.write() as connection:
        # In the order in which `retry` locks; a worker that reads one of these lanes now waits.
        connection.execute(
            sa.select(subcloud_sync.c.id)
            .where(
                subcloud_sync.c.id.in_(sa.select(orch_request.c.subcloud_sync_id).where(waiting))
            )
            .order_by(subcloud_sync.c.id)
            .with_for_update(key_share=True)
        ).all()
        subcloud_ids = (
            connection.execute(sa.select(orch_request.c.subcloud_id).where(waiting)).scalars().all()
        )
        connection.execute(
            orch_request.update()
            .where(waiting)
            .values(state=RequestState.CANCELLED, finished_at=moments.now(database))
        )
        running = connection.execute(
            sa.select(sa.func.count()).where(of_job, orch_request.c.state.in_(PENDING))
        ).scalar_one()
    return subcloud_ids, running


def pending_key(
    database: Database, lane_id: int, resource_type: str, master_id: str
) -> Mapping[str, Any] | None:
    """The natural key before the oldest pending change of a resource, or None without one.

    It is the one by which the subcloud knows the resource now.
    """
    with database.read() as connection:
        text = connection.execute(
            sa.select(orch_job.c.natural_key_before)
            .join(orch_request, orch_request.c.orch_job_id == orch_job.c.id)
            .where(
                orch_request.c.subcloud_sync_id == lane_id,
                orch_request.c.state.in_(PENDING),
                orch_job.c.resource_type == resource_type,
                orch_job.c.source_resource_id == master_id,
                orch_job.c.natural_key_before.is_not(None),
            )
            .order_by(orch_request.c.id)
            .limit(1)
        ).scalar_one_or_none()
    return None if text is None else json.loads(text)

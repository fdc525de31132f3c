# SPDX-License-Identifier: Apache-2.0
"""Orch requests: read in the order of acceptance, written only by the holder of the lane."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import LeaseLost, NotFound
from headwater.common.states import (
    PENDING,
    REQUEST_SOURCES,
    Availability,
    Management,
    Operation,
    RequestState,
    SyncRequest,
)
from headwater.db import resources
from headwater.db.connection import Database, retried
from headwater.db.models import orch_job, orch_request, subcloud, subcloud_sync
from headwater.db.records import Batch, ClaimedLane, QueuedRequest, Request, RequestResult


@retried
def next_batch(database: Database, lane: ClaimedLane, limit: int) -> Batch:
    """Take the next pending requests of a lane, oldest first.

    Empty when there are none or the subcloud is not managed any more. Raises LeaseLost.
    """
    with database.write() as connection:
        state = connection.execute(
            sa.select(
                subcloud_sync.c.wakeups,
                subcloud.c.region_name,
                subcloud.c.management_state,
                subcloud.c.availability_status,
            )
            .join(subcloud, subcloud.c.id == subcloud_sync.c.subcloud_id)
            .where(
                subcloud_sync.c.id == lane.id,
                subcloud_sync.c.generation == lane.generation,
                subcloud_sync.c.sync_request == SyncRequest.IN_PROGRESS,
            )
            # Nobody takes the lane over between this look and the write below.
            .with_for_update(of=subcloud_sync)
        ).one_or_none()
        if state is None:
            raise LeaseLost(f"Lane {lane.id}: another worker holds it, or it was deleted.")
        managed = state.management_state == Management.MANAGED
        rows = _pending(connection, lane, limit) if managed else []
        if rows:
            connection.execute(
                orch_request.update()
                .where(
                    orch_request.c.id.in_([row.id for row in rows]),
                    orch_request.c.state.in_(REQUEST_SOURCES[RequestState.IN_PROGRESS]),
                )
                .values(state=RequestState.IN_PROGRESS)
            )
    return Batch(
        wakeups=state.wakeups,
        region_name=state.region_name,
        availability=Availability(state.availability_status),
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


def _pending(connection: sa.Connection, lane: ClaimedLane, limit: int) -> Sequence[sa.Row[Any]]:
    return connection.execute(
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
            orch_request.c.subcloud_sync_id == lane.id,
            orch_request.c.state.in_(PENDING),
        )
        .order_by(orch_request.c.id)
        .limit(limit)
    ).all()


@retried
def save_results(
    database: Database, lane: ClaimedLane, results: Sequence[RequestResult], lease: float
) -> None:
    """Write what became of some requests and renew the lease for `lease` seconds.

    Raises LeaseLost, and writes nothing, when the lane belongs to another worker by now.
    """
    with database.write() as connection:
        fence(connection, lane, lease)
        for result in results:
            connection.execute(
                orch_request.update()
                .where(
                    orch_request.c.id == result.request_id,
                    orch_request.c.state.in_(REQUEST_SOURCES[result.state]),
                )
                .values(
                    state=result.state,
                    try_count=result.try_count,
                    error=result.error,
                    started_at=sa.func.coalesce(
                        orch_request.c.started_at,
                        sa.literal(result.started_at, type_=orch_request.c.started_at.type),
                    ),
                    finished_at=result.finished_at,
                )
            )
            resources.apply_mappings(database, connection, lane.subcloud_id, result.mappings)


def fence(connection: sa.Connection, lane: ClaimedLane, lease: float) -> None:
    """Renew a lease within the caller's transaction; raises LeaseLost when it is gone."""
    renewed = connection.execute(
        subcloud_sync.update()
        .where(
            subcloud_sync.c.id == lane.id,
            subcloud_sync.c.generation == lane.generation,
            subcloud_sync.c.sync_request == SyncRequest.IN_PROGRESS,
        )
        .values(lease_until=clock.after(lease))
    )
    if renewed.rowcount != 1:
        raise LeaseLost(f"Lane {lane.id}: another worker holds it, or it was deleted.")


def of_job(database: Database, job_id: int, *, limit: int, after: str = "") -> Sequence[Request]:
    """The requests of a job by region name, those behind the region `after`."""
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
            .where(orch_request.c.orch_job_id == job_id, subcloud.c.region_name > after)
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
def retry(database: Database, job_id: int) -> int:
    """Queue the failed requests of a job again with fresh tries; returns how many.

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
        return connection.execute(orch_request.update().where(failed).values(fresh)).rowcount


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

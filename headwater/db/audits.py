# SPDX-License-Identifier: Apache-2.0
"""Audits: asked for, written by the holder of the lane with all that follows, shown."""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.redact import storable
from headwater.common.states import (
    AUDIT_WANTED,
    PENDING,
    AuditStatus,
    Availability,
    DriftAction,
    InitialSync,
    IntentState,
    Management,
    Operation,
    SyncRequest,
)
from headwater.db import drift, moments, requests, resources
from headwater.db.connection import Database, retried
from headwater.db.models import orch_job, orch_request, subcloud, subcloud_sync
from headwater.db.records import ClaimedLane, Finding, LaneAudit, MappingChange

_LANE = subcloud_sync.c

#: Who is shown as the caller of a repair.
_USER = "headwater"

#: Seconds by which the clocks of two hosts may differ.
_SKEW = 5.0


@retried
def request(
    database: Database,
    endpoint_types: Collection[str],
    subcloud_ids: Collection[int],
    *,
    initial: bool = False,
) -> int:
    """Ask for audits of some subclouds' lanes now; returns how many lanes were asked.

    With `initial` for a full alignment, whatever the audit mode is. Those of unmanaged subclouds
    run when they are managed. The second time does nothing.
    """
    with database.write() as connection:
        return _ask(
            database,
            connection,
            sa.and_(
                _LANE.endpoint_type.in_(sorted(endpoint_types)),
                _LANE.subcloud_id.in_(sorted(subcloud_ids)),
            ),
            initial=initial,
        )


@retried
def request_due(database: Database, endpoint_types: Collection[str], limit: int) -> int:
    """Ask for audits that are due, at most `limit`, the longest due first; returns how many.

    Those of subclouds that do not answer wait for their return.
    """
    due = (
        sa.select(_LANE.id)
        .join(subcloud, subcloud.c.id == _LANE.subcloud_id)
        .where(
            _LANE.endpoint_type.in_(sorted(endpoint_types)),
            subcloud.c.management_state == Management.MANAGED,
            # Its return makes its audits due.
            subcloud.c.availability_status != Availability.OFFLINE,
            _LANE.audit_status.not_in(AUDIT_WANTED),
            sa.or_(_LANE.next_audit_at.is_(None), _LANE.next_audit_at <= moments.now(database)),
        )
        .order_by(_LANE.next_audit_at, _LANE.id)
        .limit(limit)
    )
    with database.write() as connection:
        ids = connection.execute(due).scalars().all()
        if not ids:
            return 0
        return _ask(database, connection, _LANE.id.in_(ids), AuditStatus.DUE)


def _ask(
    database: Database,
    connection: sa.Connection,
    which: sa.ColumnElement[bool],
    status: AuditStatus = AuditStatus.REQUESTED,
    *,
    initial: bool = False,
) -> int:
    idle = _LANE.sync_request != SyncRequest.IN_PROGRESS
    # MariaDB assigns from left to right: what depends on a column comes before its change.
    values = [
        (_LANE.wakeups, _LANE.wakeups + 1),
        (_LANE.requested_at, sa.func.coalesce(_LANE.requested_at, moments.now(database))),
        (
            _LANE.sync_request,
            sa.case((idle, SyncRequest.REQUESTED.value), else_=_LANE.sync_request),
        ),
        (_LANE.audit_status, status),
    ]
    if initial:
        values.append((_LANE.initial_sync_state, InitialSync.REQUESTED))
    return connection.execute(subcloud_sync.update().where(which).ordered_values(*values)).rowcount


@retried
def begin(database: Database, lane: ClaimedLane, lease: float) -> None:
    """Say that a lane is being audited; an audit that is asked for from now on is another one.

    Raises LeaseLost.
    """
    with database.write() as connection:
        requests.fence(database, connection, lane, lease)
        connection.execute(
            subcloud_sync.update()
            .where(_LANE.id == lane.id)
            .values(audit_status=AuditStatus.IN_PROGRESS)
        )


def _ended(status: AuditStatus) -> sa.ColumnElement[str]:
    """The status after an audit, unless somebody asked for another one meanwhile."""
    return sa.case(
        (_LANE.audit_status == AuditStatus.IN_PROGRESS, status.value), else_=_LANE.audit_status
    )


def busy(
    database: Database, lane: ClaimedLane, listed_at: datetime | None
) -> frozenset[tuple[str, str]]:
    """Resources whose changes are on their way to a lane, or arrived there after `listed_at`.

    By type and id in the central cloud; changes that are being forwarded count.
    """
    moving: list[sa.ColumnElement[bool]] = [orch_request.c.state.in_(PENDING)]
    if listed_at is not None:
        moving.append(orch_request.c.finished_at >= listed_at - timedelta(seconds=_SKEW))
    on_the_way = (
        sa.select(orch_job.c.resource_type, orch_job.c.source_resource_id)
        .join(orch_request, orch_request.c.orch_job_id == orch_job.c.id)
        .where(orch_request.c.subcloud_sync_id == lane.id, sa.or_(*moving))
    )
    forwarded = sa.select(orch_job.c.resource_type, orch_job.c.source_resource_id).where(
        orch_job.c.endpoint_type == lane.endpoint_type,
        orch_job.c.intent_state == IntentState.OPEN,
        orch_job.c.source_resource_id.is_not(None),
    )
    with database.read() as connection:
        rows = connection.execute(on_the_way.union(forwarded)).all()
    return frozenset((row.resource_type, row.source_resource_id) for row in rows)


@retried
def save(
    database: Database,
    lane: ClaimedLane,
    *,
    findings: Sequence[Finding],
    mappings: Sequence[MappingChange],
    totals: Mapping[str, int],
    next_in: float,
    keep: float,
    again: bool = False,
    undecided: Sequence[int] = (),
    lease: float,
) -> int:
    """Write what an audit found, queue its repairs, and return their number.

    One transaction with a number of statements that does not depend on the number of resources.
    The next audit is due in `next_in` seconds, or follows the repairs with `again`. What was found
    before and is not any more is kept for `keep` seconds; of the `undecided` ones, given by their
    ids, nothing is known. Raises LeaseLost, and then nothing is written.
    """
    repairs = [each for each in findings if each.action is DriftAction.REPAIR]
    with database.write() as connection:
        requests.fence(database, connection, lane, lease)
        resources.learn(database, connection, lane, mappings)
        drift.write(database, connection, lane.id, findings, undecided, keep)
        _queue(connection, lane, repairs)
        unfinished = _LANE.initial_sync_state.in_([InitialSync.REQUESTED, InitialSync.FAILED])
        connection.execute(
            subcloud_sync.update()
            .where(_LANE.id == lane.id)
            .values(
                audit_status=_ended(AuditStatus.REQUESTED if again else AuditStatus.COMPLETED),
                audit_error=None,
                audited_at=moments.now(database),
                next_audit_at=moments.after(database, next_in),
                totals=json.dumps(dict(totals)),
                initial_sync_state=sa.case(
                    (unfinished, InitialSync.IN_PROGRESS.value), else_=_LANE.initial_sync_state
                ),
            )
        )
    return len(repairs)


def _queue(connection: sa.Connection, lane: ClaimedLane, repairs: Sequence[Finding]) -> None:
    """One job with one request per repair, in their order."""
    if not repairs:
        return
    now = clock.now()
    # All jobs of an audit are found again by it.
    request_id = f"audit-{uuid.uuid4()}"
    jobs = [
        {
            "uuid": str(uuid.uuid4()),
            "endpoint_type": lane.endpoint_type,
            "resource_type": each.resource_type,
            "operation_type": Operation.ALIGN,
            "source_resource_id": each.drift_key,
            "resource_name": storable(each.name)[:255],
            "has_secrets": False,
            "intent_state": IntentState.ACCEPTED,
            "overlapped": False,
            "user_name": _USER,
            "request_id": request_id,
            "created_at": now,
            "accepted_at": now,
        }
        for each in repairs
    ]
    connection.execute(orch_job.insert(), jobs)
    of_these = sa.select(orch_job.c.id, sa.literal(lane.subcloud_id), sa.literal(lane.id)).where(
        orch_job.c.uuid.in_([job["uuid"] for job in jobs])
    )
    requests.enqueue(connection, of_these.order_by(orch_job.c.id), now)


@retried
def fail(
    database: Database, lane: ClaimedLane, reason: str, *, next_in: float, lease: float
) -> None:
    """Write that an audit could not compare, and when the next one is due. Raises LeaseLost."""
    with database.write() as connection:
        requests.fence(database, connection, lane, lease)
        connection.execute(
            subcloud_sync.update()
            .where(_LANE.id == lane.id)
            .values(
                audit_status=_ended(AuditStatus.FAILED),
                audit_error=storable(reason),
                next_audit_at=moments.after(database, next_in),
            )
        )


def of_lanes(database: Database, lane_ids: Collection[int]) -> Mapping[int, LaneAudit]:
    """What audits know of some lanes, by the lanes' ids."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                _LANE.id,
                _LANE.audit_status,
                _LANE.audit_error,
                _LANE.audited_at,
                _LANE.next_audit_at,
                _LANE.initial_sync_state,
                _LANE.totals,
            ).where(_LANE.id.in_(sorted(lane_ids)))
        ).all()
    return {
        row.id: LaneAudit(
            status=AuditStatus(row.audit_status),
            error=row.audit_error,
            audited_at=row.audited_at,
            next_audit_at=row.next_audit_at,
            initial_sync=InitialSync(row.initial_sync_state),
            totals={} if row.totals is None else json.loads(row.totals),
        )
        for row in rows
    }


def waiting(database: Database, lane_ids: Collection[int]) -> Mapping[int, Mapping[str, int]]:
    """How many resources of each type still have requests to run, by the lanes' ids."""
    found: dict[int, dict[str, int]] = {lane_id: {} for lane_id in lane_ids}
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                orch_request.c.subcloud_sync_id,
                orch_job.c.resource_type,
                sa.func.count(orch_job.c.source_resource_id.distinct()).label("number"),
            )
            .join(orch_request, orch_request.c.orch_job_id == orch_job.c.id)
            .where(
                orch_request.c.subcloud_sync_id.in_(sorted(found)),
                orch_request.c.state.in_(PENDING),
            )
            .group_by(orch_request.c.subcloud_sync_id, orch_job.c.resource_type)
        ).all()
    for row in rows:
        found[row.subcloud_sync_id][row.resource_type] = row.number
    return found

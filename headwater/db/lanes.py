# SPDX-License-Identifier: Apache-2.0
"""Lanes: asked for, released, shown; `db.claims` has what lies in between."""

import functools
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common.states import (
    AUDIT_WANTED,
    PENDING,
    AuditStatus,
    Availability,
    DriftAction,
    InitialSync,
    Management,
    RequestState,
    SyncRequest,
    SyncStatus,
)
from headwater.db import leases, moments, requests
from headwater.db.connection import Database, retried
from headwater.db.models import drift, orch_request, subcloud, subcloud_sync
from headwater.db.records import ClaimedLane, Lane, RequestResult

_LANE = subcloud_sync.c

#: What an audit may say about a difference that is there against somebody's will.
_OPEN_ACTIONS = (DriftAction.REPAIR, DriftAction.OBSERVE, DriftAction.QUARANTINE)


def ensure(database: Database, endpoint_types: Collection[str]) -> None:
    """Give every subcloud a lane for each endpoint type. The second time does nothing."""
    try:
        _insert_missing(database, endpoint_types)
    except db_exception.DBDuplicateEntry:
        # Another worker that starts now was quicker with some of them.
        _insert_missing(database, endpoint_types)


@retried
def _insert_missing(database: Database, endpoint_types: Collection[str]) -> None:
    with database.write() as connection:
        for endpoint_type in endpoint_types:
            missing = sa.select(
                subcloud.c.id,
                sa.literal(endpoint_type),
                sa.literal(SyncRequest.NONE.value),
                sa.literal(SyncStatus.UNKNOWN.value),
                sa.literal(0),
                sa.literal(0),
                sa.literal(0),
            ).where(
                ~sa.exists().where(
                    _LANE.subcloud_id == subcloud.c.id, _LANE.endpoint_type == endpoint_type
                )
            )
            connection.execute(
                subcloud_sync.insert().from_select(
                    [
                        "subcloud_id",
                        "endpoint_type",
                        "sync_request",
                        "sync_status",
                        "wakeups",
                        "generation",
                        "failures",
                    ],
                    missing,
                    include_defaults=False,
                )
            )


def _has_request(*states: RequestState) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        orch_request.c.subcloud_sync_id == _LANE.id, orch_request.c.state.in_(states)
    )


def _drifted() -> sa.ColumnElement[bool]:
    """The last audit found something, and no later one has seen that it is repaired."""
    return sa.exists().where(
        drift.c.subcloud_sync_id == _LANE.id,
        drift.c.resolved_at.is_(None),
        drift.c.action.in_(_OPEN_ACTIONS),
    )


def _compared() -> sa.ColumnElement[bool]:
    """The last audit could compare, and nothing was missed since."""
    return sa.and_(
        _LANE.audited_at.is_not(None),
        _LANE.audit_status != AuditStatus.FAILED,
        # It was unmanaged meanwhile.
        _LANE.initial_sync_state != InitialSync.REQUESTED,
    )


def _managed() -> sa.ColumnElement[bool]:
    return sa.exists().where(
        subcloud.c.id == _LANE.subcloud_id, subcloud.c.management_state == Management.MANAGED
    )


@retried
def request(
    database: Database,
    endpoint_types: Collection[str],
    *,
    forgotten: bool = False,
    subcloud_ids: Collection[int] | None = None,
    at_once: bool = False,
) -> int:
    """Ask for the lanes that have queued requests; returns how many lanes were asked.

    A lane that runs keeps running, but its wake-up counter is raised: it will not be released as
    done. This is what a notify starts. The poll asks with `forgotten` only for lanes that nobody
    asked for. `subcloud_ids` means only these; `at_once` also ends back-offs and lets the circuit
    breakers of the subclouds pass a probe.
    """
    now = moments.now(database)
    conditions = [
        _LANE.endpoint_type.in_(sorted(endpoint_types)),
        _managed(),
        _has_request(RequestState.QUEUED),
    ]
    if subcloud_ids is not None:
        conditions.append(_LANE.subcloud_id.in_(sorted(subcloud_ids)))
    if forgotten:
        conditions.append(
            _LANE.sync_request.not_in([SyncRequest.REQUESTED, SyncRequest.IN_PROGRESS])
        )
    idle = _LANE.sync_request != SyncRequest.IN_PROGRESS
    newly_behind = _LANE.sync_status != SyncStatus.OUT_OF_SYNC
    values = {
        _LANE.wakeups: _LANE.wakeups + 1,
        _LANE.sync_request: sa.case((idle, SyncRequest.REQUESTED.value), else_=_LANE.sync_request),
        _LANE.requested_at: sa.func.coalesce(_LANE.requested_at, now),
        # MariaDB assigns from left to right: the time must be decided before the status changes.
        _LANE.sync_status_changed_at: sa.case(
            (newly_behind, now), else_=_LANE.sync_status_changed_at
        ),
        _LANE.sync_status: SyncStatus.OUT_OF_SYNC.value,
    }
    if at_once:
        values[_LANE.next_try_at] = sa.null()
    statement = subcloud_sync.update().where(*conditions).ordered_values(*values.items())
    with database.write() as connection:
        if at_once:
            tripped = [subcloud.c.breaker_until > now]
            if subcloud_ids is not None:
                tripped.append(subcloud.c.id.in_(sorted(subcloud_ids)))
            connection.execute(subcloud.update().where(*tripped).values(breaker_until=now))
        return connection.execute(statement).rowcount


def is_asked_for(database: Database, lane: ClaimedLane, since: int) -> bool:
    """Whether somebody asked for a lane since its wake-up counter was `since`."""
    with database.read() as connection:
        wakeups = connection.execute(
            sa.select(_LANE.wakeups).where(_LANE.id == lane.id)
        ).scalar_one_or_none()
    return wakeups is not None and wakeups != since


@retried
def release(
    database: Database,
    lane: ClaimedLane,
    *,
    seen_wakeups: int,
    results: Sequence[RequestResult] = (),
    more: bool = False,
    pause: float | None = None,
    error: str | None = None,
    failures: int | None = None,
) -> None:
    """Write the last results of a lane and give it back.

    With `pause` the lane rests for so many seconds because of `error`, for the `failures`-th time
    in a row (default: one more than when it was claimed), and what was taken is queued again.
    Otherwise it is done, unless there is `more`, or it was asked for again since `seen_wakeups` was
    read. Raises LeaseLost, and then nothing is written.
    """
    parameters = {
        **leases.key(lane),
        "p_wakeups": seen_wakeups,
        "p_pause": pause,
        "p_failures": 0 if pause is None else lane.failures + 1 if failures is None else failures,
        "p_error": error,
    }
    with database.write() as connection:
        # The lane's row is written last, and decides: what is not held rolls everything back.
        requests.write_results(database, connection, lane, results)
        if pause is not None:
            requests.queue_again(connection, lane)
        done = connection.execute(_give_back(database.dialect, pause is not None, more), parameters)
        if done.rowcount != 1:
            raise leases.lost(lane)


@functools.cache
def _give_back(dialect: str, paused: bool, more: bool) -> sa.Update:
    now = moments.now(dialect)
    # What was taken and has no result would be forgotten: only queued requests are asked for.
    again = sa.or_(
        sa.true() if paused or more else _LANE.wakeups != sa.bindparam("p_wakeups"),
        _has_request(RequestState.IN_PROGRESS),
        _LANE.audit_status.in_(AUDIT_WANTED),
    )
    pending = _has_request(*PENDING)
    failed = _has_request(RequestState.FAILED)
    status = sa.case(
        (sa.not_(_managed()), SyncStatus.UNKNOWN.value),
        (sa.or_(pending, failed, _drifted()), SyncStatus.OUT_OF_SYNC.value),
        (_compared(), SyncStatus.IN_SYNC.value),
        else_=SyncStatus.UNKNOWN.value,
    )
    rest = moments.after(dialect, sa.bindparam("p_pause", type_=sa.Float())) if paused else None
    # MariaDB assigns from left to right: what depends on a column comes before its change.
    values: dict[sa.Column[Any], Any] = {
        _LANE.requested_at: sa.case((again, now), else_=sa.null()),
        _LANE.sync_request: sa.case(
            (again, SyncRequest.REQUESTED.value),
            (failed, SyncRequest.FAILED.value),
            else_=SyncRequest.COMPLETED.value,
        ),
        _LANE.sync_status_changed_at: sa.case(
            (_LANE.sync_status != status, now), else_=_LANE.sync_status_changed_at
        ),
        _LANE.sync_status: status,
        _LANE.initial_sync_state: sa.case(
            (
                sa.or_(_LANE.initial_sync_state != InitialSync.IN_PROGRESS, pending),
                _LANE.initial_sync_state,
            ),
            # More differences than one audit repairs.
            (_LANE.audit_status.in_(AUDIT_WANTED), _LANE.initial_sync_state),
            (failed, InitialSync.FAILED.value),
            else_=InitialSync.COMPLETED.value,
        ),
        _LANE.next_try_at: rest,
        _LANE.failures: sa.bindparam("p_failures"),
        _LANE.last_error: sa.bindparam("p_error"),
        _LANE.lease_owner: None,
        _LANE.lease_until: None,
    }
    return (
        subcloud_sync.update()
        .where(leases.held(subcloud_sync, dialect))
        .ordered_values(*values.items())
    )


def of_subclouds(database: Database, subcloud_ids: Collection[int]) -> Sequence[Lane]:
    """The lanes of some subclouds with the sizes of their backlogs, by region name and type."""
    return _shown(
        database,
        _LANE.subcloud_id.in_(sorted(subcloud_ids)),
        order=(subcloud.c.region_name, _LANE.endpoint_type),
    )


def list_page(
    database: Database,
    *,
    limit: int,
    after: int = 0,
    subcloud_id: int | None = None,
    endpoint_type: str | None = None,
    sync_status: SyncStatus | None = None,
) -> Sequence[Lane]:
    """Lanes by row id, those behind the id `after`."""
    conditions = [_LANE.id > after]
    if subcloud_id is not None:
        conditions.append(_LANE.subcloud_id == subcloud_id)
    if endpoint_type is not None:
        conditions.append(_LANE.endpoint_type == endpoint_type)
    if sync_status is not None:
        conditions.append(_LANE.sync_status == sync_status)
    return _shown(database, *conditions, order=(_LANE.id,), limit=limit)


def _shown(
    database: Database,
    *conditions: sa.ColumnElement[bool],
    order: Sequence[sa.ColumnElement[Any]],
    limit: int | None = None,
) -> Sequence[Lane]:
    def number(*states: RequestState) -> sa.ScalarSelect[int]:
        return (
            sa.select(sa.func.count())
            .where(orch_request.c.subcloud_sync_id == _LANE.id, orch_request.c.state.in_(states))
            .scalar_subquery()
        )

    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                _LANE.id,
                _LANE.subcloud_id,
                subcloud.c.region_name,
                subcloud.c.management_state,
                subcloud.c.availability_status,
                _LANE.endpoint_type,
                _LANE.sync_request,
                _LANE.sync_status,
                _LANE.sync_status_changed_at,
                number(*PENDING).label("pending"),
                number(RequestState.FAILED).label("failed"),
                *requests.oldest_pending(),
                _LANE.next_try_at,
                _LANE.lease_owner,
                _LANE.last_error,
            )
            .join(subcloud, subcloud.c.id == _LANE.subcloud_id)
            .where(*conditions)
            .order_by(*order)
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Lane:
    columns = row._mapping
    values: dict[str, Any] = {field.name: columns.get(field.name) for field in fields(Lane)}
    values["management_state"] = Management(row.management_state)
    values["availability_status"] = Availability(row.availability_status)
    values["sync_request"] = SyncRequest(row.sync_request)
    values["sync_status"] = SyncStatus(row.sync_status)
    values["oldest_pending_at"] = requests.oldest_of(row)
    return Lane(**values)

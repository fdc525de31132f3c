# SPDX-License-Identifier: Apache-2.0
"""Lanes: asked for, claimed under a lease, kept, released."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import LeaseLost
from headwater.common.states import PENDING, Management, RequestState, SyncRequest, SyncStatus
from headwater.db.connection import Database, retried
from headwater.db.models import orch_request, subcloud, subcloud_sync
from headwater.db.records import ClaimedLane, Lane

_LANE = subcloud_sync.c


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
    subcloud_id: int | None = None,
    at_once: bool = False,
) -> int:
    """Ask for the lanes that have queued requests; returns how many lanes were asked.

    A lane that runs keeps running, but its wake-up counter is raised: it will not be released as
    done. This is what a notify starts. The poll asks with `forgotten` only for lanes that nobody
    asked for. `subcloud_id` means one subcloud only; `at_once` also ends back-offs.
    """
    now = clock.now()
    conditions = [
        _LANE.endpoint_type.in_(sorted(endpoint_types)),
        _managed(),
        _has_request(RequestState.QUEUED),
    ]
    if subcloud_id is not None:
        conditions.append(_LANE.subcloud_id == subcloud_id)
    if forgotten:
        conditions.append(
            _LANE.sync_request.not_in([SyncRequest.REQUESTED, SyncRequest.IN_PROGRESS])
        )
    idle = _LANE.sync_request != SyncRequest.IN_PROGRESS
    newly_behind = _LANE.sync_status != SyncStatus.OUT_OF_SYNC
    values = {
        _LANE.wakeups: _LANE.wakeups + 1,
        _LANE.sync_request: sa.case((idle, SyncRequest.REQUESTED.value), else_=_LANE.sync_request),
        _LANE.requested_at: sa.func.coalesce(
            _LANE.requested_at, sa.literal(now, type_=_LANE.requested_at.type)
        ),
        # MariaDB assigns from left to right: the time must be decided before the status changes.
        _LANE.sync_status_changed_at: sa.case(
            (newly_behind, sa.literal(now, type_=_LANE.sync_status_changed_at.type)),
            else_=_LANE.sync_status_changed_at,
        ),
        _LANE.sync_status: SyncStatus.OUT_OF_SYNC.value,
    }
    if at_once:
        values[_LANE.next_try_at] = sa.null()
    statement = subcloud_sync.update().where(*conditions).ordered_values(*values.items())
    with database.write() as connection:
        return connection.execute(statement).rowcount


@retried
def claim(
    database: Database, endpoint_types: Collection[str], owner: str, lease: float, limit: int
) -> Sequence[ClaimedLane]:
    """Take up to `limit` due lanes for `lease` seconds, the longest waiting first.

    Due is a lane that is requested and past its back-off, and one whose holder let its lease end.
    """
    now = clock.now()
    due = (
        sa.select(
            _LANE.id, _LANE.subcloud_id, _LANE.endpoint_type, _LANE.generation, _LANE.failures
        )
        .where(
            _LANE.endpoint_type.in_(sorted(endpoint_types)),
            sa.or_(
                sa.and_(
                    _LANE.sync_request == SyncRequest.REQUESTED,
                    sa.or_(_LANE.next_try_at.is_(None), _LANE.next_try_at <= now),
                ),
                sa.and_(_LANE.sync_request == SyncRequest.IN_PROGRESS, _LANE.lease_until < now),
            ),
            _managed(),
        )
        .order_by(sa.func.coalesce(_LANE.requested_at, _LANE.lease_until))
        .limit(limit)
        .with_for_update(skip_locked=True, of=subcloud_sync)
    )
    taken = {
        "sync_request": SyncRequest.IN_PROGRESS,
        "generation": _LANE.generation + 1,
        "lease_owner": owner,
        "lease_until": clock.after(lease),
        "requested_at": None,
    }
    with database.write() as connection:
        # Not one UPDATE with the SELECT inside: PostgreSQL may run that SELECT more than once, and
        # then takes more than the limit.
        rows = connection.execute(due).all()
        if rows:
            connection.execute(
                subcloud_sync.update().where(_LANE.id.in_([row.id for row in rows])).values(taken)
            )
    return [
        ClaimedLane(
            id=row.id,
            subcloud_id=row.subcloud_id,
            endpoint_type=row.endpoint_type,
            generation=row.generation + 1,
            failures=row.failures,
        )
        for row in rows
    ]


def next_due(database: Database, endpoint_types: Collection[str]) -> datetime | None:
    """When the next lane that may be claimed leaves its back-off; None when none waits."""
    with database.read() as connection:
        due: datetime | None = connection.execute(
            sa.select(sa.func.min(_LANE.next_try_at)).where(
                _LANE.endpoint_type.in_(sorted(endpoint_types)),
                _LANE.sync_request == SyncRequest.REQUESTED,
                _managed(),
            )
        ).scalar_one()
    return due


@retried
def renew(database: Database, owner: str, lane_ids: Collection[int], lease: float) -> int:
    """The heartbeat: keep lanes for another `lease` seconds; returns how many are still held."""
    with database.write() as connection:
        return connection.execute(
            subcloud_sync.update()
            .where(
                _LANE.id.in_(sorted(lane_ids)),
                _LANE.lease_owner == owner,
                _LANE.sync_request == SyncRequest.IN_PROGRESS,
            )
            .values(lease_until=clock.after(lease))
        ).rowcount


@retried
def release(
    database: Database,
    lane: ClaimedLane,
    *,
    seen_wakeups: int,
    next_try_at: datetime | None = None,
    error: str | None = None,
    failures: int | None = None,
) -> SyncRequest:
    """Give a lane back; returns what is asked of it now.

    With `next_try_at` the lane is paused until then because of `error`, for the `failures`-th time
    in a row (default: one more than when it was claimed). Otherwise it is done, unless it was asked
    for again since `seen_wakeups` was read. Raises LeaseLost.
    """
    now = clock.now()
    failures = lane.failures + 1 if failures is None else failures
    with database.write() as connection:
        row = connection.execute(
            sa.select(
                _LANE.wakeups,
                _LANE.sync_status,
                _has_request(*PENDING).label("pending"),
                _has_request(RequestState.FAILED).label("failed"),
            )
            .where(_LANE.id == lane.id, _LANE.generation == lane.generation)
            .with_for_update(of=subcloud_sync)
        ).one_or_none()
        if row is None:
            raise LeaseLost(f"Lane {lane.id}: another worker holds it, or it was deleted.")
        behind = row.pending or row.failed
        status = SyncStatus.OUT_OF_SYNC if behind else SyncStatus.IN_SYNC
        if next_try_at is not None or row.wakeups != seen_wakeups:
            asked = SyncRequest.REQUESTED
        else:
            asked = SyncRequest.FAILED if row.failed else SyncRequest.COMPLETED
        values = {
            "sync_request": asked,
            "sync_status": status,
            "requested_at": now if asked is SyncRequest.REQUESTED else None,
            "lease_owner": None,
            "lease_until": None,
            "next_try_at": next_try_at,
            "failures": 0 if next_try_at is None else failures,
            "last_error": error,
        }
        if status != row.sync_status:
            values["sync_status_changed_at"] = now
        connection.execute(
            orch_request.update()
            .where(
                orch_request.c.subcloud_sync_id == lane.id,
                orch_request.c.state == RequestState.IN_PROGRESS,
            )
            .values(state=RequestState.QUEUED)
        )
        connection.execute(subcloud_sync.update().where(_LANE.id == lane.id).values(values))
    return asked


def of_subclouds(database: Database, subcloud_ids: Collection[int]) -> Sequence[Lane]:
    """The lanes of some subclouds with the sizes of their backlogs."""

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
                _LANE.endpoint_type,
                _LANE.sync_request,
                _LANE.sync_status,
                number(*PENDING).label("pending"),
                number(RequestState.FAILED).label("failed"),
                _LANE.next_try_at,
                _LANE.lease_owner,
                _LANE.last_error,
            )
            .join(subcloud, subcloud.c.id == _LANE.subcloud_id)
            .where(_LANE.subcloud_id.in_(sorted(subcloud_ids)))
            .order_by(subcloud.c.region_name, _LANE.endpoint_type)
        ).all()
    return [
        Lane(
            **{
                **row._asdict(),
                "sync_request": SyncRequest(row.sync_request),
                "sync_status": SyncStatus(row.sync_status),
            }
        )
        for row in rows
    ]

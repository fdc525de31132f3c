# SPDX-License-Identifier: Apache-2.0
"""Lanes change hands: which of them a worker may take, and what becomes of a lost worker's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from headwater.common.states import SyncRequest
from headwater.db import leases, moments, subclouds
from headwater.db.connection import Database, retried
from headwater.db.models import subcloud, subcloud_sync
from headwater.db.records import ClaimedLane

_LANE = subcloud_sync.c

#: Seconds from a doubt about what a subcloud has to the audit of the lane: a request failed, or a
#: worker was lost, whose last call may still arrive. Longer than calls take.
AUDIT_AFTER_DOUBT = 60.0

_COLUMNS = (_LANE.id, _LANE.subcloud_id, _LANE.endpoint_type, _LANE.generation, _LANE.failures)


@dataclass(frozen=True)
class Wanted:
    """What a worker may claim."""

    #: Lanes of other endpoint types are left to workers that know them.
    endpoint_types: tuple[str, ...]
    #: At most so many at a time.
    limit: int
    #: Lanes of one subcloud that may run at a time, whoever runs them.
    per_subcloud: int


@retried
def claim(database: Database, wanted: Wanted, owner: str, lease: float) -> Sequence[ClaimedLane]:
    """Take due lanes for `lease` seconds, the longest waiting first.

    Due is a lane that is requested and past its back-off; `rescue` adds those of lost workers.
    Nothing is due while the subcloud's circuit breaker is open; once that has passed, a single lane
    is taken as a probe.
    """
    if not wanted.limit or not wanted.endpoint_types:
        return []
    with database.write() as connection:
        taken = _take(database, connection, wanted, owner, lease)
        kept = taken
        if taken:
            kept = _probes_only(database, connection, taken, lease)
            kept = _within_limit(database, connection, kept, wanted)
            _give_back(database, connection, set(taken) - set(kept))
    return kept


def rescue(database: Database, endpoint_types: Collection[str]) -> int:
    """Ask again for lanes whose holders let their leases end; returns how many.

    What was taken from them is still there. An audit looks at them later: a worker that is slow,
    not dead, may have sent a call that arrives after those of its successor.
    """
    soon = moments.after(database, AUDIT_AFTER_DOUBT)
    # None is due already.
    audit_at = sa.case((_LANE.next_audit_at > soon, soon), else_=_LANE.next_audit_at)
    return leases.rescue(
        database,
        subcloud_sync,
        _LANE.endpoint_type.in_(sorted(endpoint_types)),
        change=[(_LANE.next_audit_at, audit_at)],
    )


def _take(
    database: Database, connection: sa.Connection, wanted: Wanted, owner: str, lease: float
) -> list[ClaimedLane]:
    which = (
        sa.select(*_COLUMNS)
        .where(*_due(database, wanted))
        .order_by(_LANE.requested_at)
        .limit(wanted.limit)
        .with_for_update(skip_locked=True, key_share=True, of=subcloud_sync)
    )
    rows = leases.take(database, connection, which, subcloud_sync, owner, lease)
    return [ClaimedLane(**row) for row in rows]


def _due(database: Database, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    now = moments.now(database)
    conditions = [
        _LANE.endpoint_type.in_(sorted(wanted.endpoint_types)),
        *leases.due(database, subcloud_sync),
        sa.exists().where(
            subcloud.c.id == _LANE.subcloud_id,
            subclouds.served(),
            sa.or_(subcloud.c.breaker_until.is_(None), subcloud.c.breaker_until <= now),
        ),
    ]
    if _may_exceed(wanted):
        # Only so that lanes which would be given back do not fill the limit.
        running = subcloud_sync.alias("running")
        number = (
            sa.select(sa.func.count())
            .where(
                running.c.subcloud_id == _LANE.subcloud_id,
                running.c.sync_request == SyncRequest.IN_PROGRESS,
                running.c.lease_until >= now,
            )
            .scalar_subquery()
        )
        conditions.append(number < wanted.per_subcloud)
    return conditions


def _may_exceed(wanted: Wanted) -> bool:
    """Whether one subcloud has more lanes than may run at a time."""
    return len(wanted.endpoint_types) > wanted.per_subcloud


def _probes_only(
    database: Database, connection: sa.Connection, lanes: list[ClaimedLane], lease: float
) -> list[ClaimedLane]:
    """Leave one lane per subcloud whose breaker is half-open: the first claim to lock it probes."""
    tripped = sa.and_(
        subcloud.c.id.in_(sorted({lane.subcloud_id for lane in lanes})),
        subcloud.c.breaker_until.is_not(None),
    )
    half_open = set(connection.execute(sa.select(subcloud.c.id).where(tripped)).scalars())
    if not half_open:
        return lanes
    _lock(connection, half_open)
    # Read after the locks: another claim may have taken the probe, or a probe closed the breaker.
    rows = connection.execute(
        sa.select(
            subcloud.c.id, (subcloud.c.breaker_until <= moments.now(database)).label("free")
        ).where(tripped)
    ).all()
    probes = {row.id for row in rows if row.free}
    if probes:
        # Without an outcome, because the prober was killed, the next probe comes a lease later.
        connection.execute(
            subcloud.update()
            .where(subcloud.c.id.in_(sorted(probes)))
            .values(breaker_until=moments.after(database, lease))
        )
    shut = {row.id for row in rows} - probes
    kept = []
    for lane in lanes:
        if lane.subcloud_id in shut:
            continue
        if lane.subcloud_id in probes:
            shut.add(lane.subcloud_id)
        kept.append(lane)
    return kept


def _within_limit(
    database: Database, connection: sa.Connection, lanes: list[ClaimedLane], wanted: Wanted
) -> list[ClaimedLane]:
    """Leave as many lanes per subcloud as may run at a time."""
    if not _may_exceed(wanted) or not lanes:
        return lanes
    ids = {lane.subcloud_id for lane in lanes}
    # Claims of one subcloud's lanes take turns here, so that each counts the others'.
    _lock(connection, ids)
    running: dict[int, int] = {
        row[0]: row[1]
        for row in connection.execute(
            sa.select(_LANE.subcloud_id, sa.func.count())
            .where(
                _LANE.subcloud_id.in_(sorted(ids)),
                _LANE.sync_request == SyncRequest.IN_PROGRESS,
                _LANE.lease_until >= moments.now(database),
            )
            .group_by(_LANE.subcloud_id)
        )
    }
    kept = []
    for lane in lanes:
        if running.get(lane.subcloud_id, 0) > wanted.per_subcloud:
            running[lane.subcloud_id] -= 1
        else:
            kept.append(lane)
    return kept


def _lock(connection: sa.Connection, subcloud_ids: Collection[int]) -> None:
    connection.execute(
        sa.select(subcloud.c.id)
        .where(subcloud.c.id.in_(sorted(subcloud_ids)))
        .order_by(subcloud.c.id)
        # Weaker than FOR UPDATE: rows that refer to the subcloud may still be inserted.
        .with_for_update(key_share=True)
    ).all()


def _give_back(
    database: Database, connection: sa.Connection, lanes: Collection[ClaimedLane]
) -> None:
    if lanes:
        connection.execute(
            subcloud_sync.update()
            .where(_LANE.id.in_(sorted(lane.id for lane in lanes)))
            .values(
                sync_request=SyncRequest.REQUESTED,
                requested_at=moments.now(database),
                lease_owner=None,
                lease_until=None,
            )
        )


def next_due(database: Database, endpoint_types: Collection[str]) -> float | None:
    """Seconds until a lane leaves its back-off or a worker's lease ends; None when none waits.

    A lane that waits for its subcloud's circuit breaker is due when that lets it pass. Negative
    where one is due that no claim has taken yet.
    """
    next_try_at = sa.case(
        (
            sa.or_(_LANE.next_try_at.is_(None), _LANE.next_try_at < subcloud.c.breaker_until),
            subcloud.c.breaker_until,
        ),
        else_=_LANE.next_try_at,
    )
    with database.read() as connection:
        due, now = connection.execute(
            sa.select(sa.func.min(leases.due_at(subcloud_sync, next_try_at)), moments.now(database))
            .select_from(subcloud_sync)
            .join(subcloud, subcloud.c.id == _LANE.subcloud_id)
            .where(
                _LANE.endpoint_type.in_(sorted(endpoint_types)),
                _LANE.sync_request.in_([SyncRequest.REQUESTED, SyncRequest.IN_PROGRESS]),
                subclouds.served(),
            )
        ).one()
    return None if due is None else float((due - now).total_seconds())


def renew(
    database: Database, owner: str, lane_ids: Collection[int], lease: float
) -> set[tuple[int, int]]:
    """The heartbeat: keep lanes for `lease` seconds; the ids and generations still held."""
    return leases.renew(database, subcloud_sync, owner, lane_ids, lease)

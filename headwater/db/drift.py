# SPDX-License-Identifier: Apache-2.0
"""Drift: what audits found, since when, how often, and what was done about it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from headwater.common.redact import storable
from headwater.common.states import DriftAction, DriftKind
from headwater.db import moments
from headwater.db.connection import Database, retried, upsert
from headwater.db.models import drift, subcloud, subcloud_sync
from headwater.db.records import Drift, Finding

_DRIFT = drift.c


def of_lane(database: Database, lane_id: int) -> Mapping[tuple[str, str], Drift]:
    """All that is remembered of a lane, resolved or not, by type and drift key."""
    with database.read() as connection:
        rows = connection.execute(_select().where(_DRIFT.subcloud_sync_id == lane_id)).all()
    return {(row.resource_type, row.drift_key): _record(row) for row in rows}


def list_page(
    database: Database,
    *,
    limit: int,
    after: int = 0,
    region_name: str | None = None,
    resolved: bool = False,
    endpoint_type: str | None = None,
    resource_type: str | None = None,
    action: DriftAction | None = None,
) -> Sequence[Drift]:
    """Differences by row id, those behind the id `after`; with `resolved` also former ones."""
    conditions = [_DRIFT.id > after]
    values = {
        subcloud.c.region_name: region_name,
        subcloud_sync.c.endpoint_type: endpoint_type,
        _DRIFT.resource_type: resource_type,
        _DRIFT.action: action,
    }
    conditions.extend(column == value for column, value in values.items() if value is not None)
    if not resolved:
        conditions.append(_DRIFT.resolved_at.is_(None))
    with database.read() as connection:
        rows = connection.execute(
            _select().where(*conditions).order_by(_DRIFT.id).limit(limit)
        ).all()
    return [_record(row) for row in rows]


@retried
def forget(database: Database, subcloud_id: int) -> int:
    """Forget what audits found in a subcloud, and so end its quarantines; returns how many."""
    lanes = sa.select(subcloud_sync.c.id).where(subcloud_sync.c.subcloud_id == subcloud_id)
    with database.write() as connection:
        return connection.execute(drift.delete().where(_DRIFT.subcloud_sync_id.in_(lanes))).rowcount


def write(
    database: Database,
    connection: sa.Connection,
    lane_id: int,
    findings: Sequence[Finding],
    undecided: Sequence[int],
    keep: float,
) -> None:
    """Write an audit's findings within the caller's transaction.

    What was found before and is not any more is resolved, but for the `undecided` ids, and
    forgotten `keep` seconds later.
    """
    now = connection.execute(sa.select(moments.now(database))).scalar_one()
    if findings:
        connection.execute(_upsert(database), [_values(each, lane_id, now) for each in findings])
    connection.execute(
        drift.update()
        .where(
            _DRIFT.subcloud_sync_id == lane_id,
            _DRIFT.resolved_at.is_(None),
            _DRIFT.last_seen_at < now,
            _DRIFT.id.not_in(undecided),
        )
        .values(resolved_at=now)
    )
    connection.execute(
        drift.delete().where(
            _DRIFT.subcloud_sync_id == lane_id, _DRIFT.resolved_at < moments.after(database, -keep)
        )
    )


def _values(finding: Finding, lane_id: int, now: Any) -> dict[str, Any]:
    return {
        "subcloud_sync_id": lane_id,
        "resource_type": finding.resource_type,
        "drift_key": finding.drift_key,
        "name": storable(finding.name)[:255],
        "kind": finding.kind,
        "fields": json.dumps(finding.fields),
        "action": finding.action,
        "first_seen_at": now,
        "last_seen_at": now,
        "times_seen": 1,
        "repairs": int(finding.action is DriftAction.REPAIR),
    }


def _upsert(database: Database) -> sa.Insert:
    """Insert, or count a difference that is known already."""
    return upsert(
        database,
        drift,
        ("subcloud_sync_id", "resource_type", "drift_key"),
        ("name", "kind", "fields", "action", "last_seen_at"),
        lambda new: {
            # No parameter: PyMySQL takes none behind the values of many rows.
            "times_seen": _DRIFT.times_seen + sa.literal_column("1"),
            "repairs": _DRIFT.repairs + new.repairs,
            # It came back: that it was away for a while is no new beginning.
            "resolved_at": sa.null(),
        },
    )


def _select() -> sa.Select[Any]:
    return (
        sa.select(*_DRIFT, subcloud.c.region_name, subcloud_sync.c.endpoint_type)
        .join(subcloud_sync, subcloud_sync.c.id == _DRIFT.subcloud_sync_id)
        .join(subcloud, subcloud.c.id == subcloud_sync.c.subcloud_id)
    )


def _record(row: sa.Row[Any]) -> Drift:
    return Drift(
        id=row.id,
        region_name=row.region_name,
        endpoint_type=row.endpoint_type,
        resource_type=row.resource_type,
        drift_key=row.drift_key,
        name=row.name,
        kind=DriftKind(row.kind),
        fields=tuple(json.loads(row.fields)),
        action=DriftAction(row.action),
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        times_seen=row.times_seen,
        repairs=row.repairs,
        resolved_at=row.resolved_at,
    )

# SPDX-License-Identifier: Apache-2.0
"""The whole fleet at a glance, in a fixed number of statements."""

from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa

from headwater.common.states import (
    PENDING,
    Availability,
    Management,
    RequestState,
    SyncStatus,
)
from headwater.db import moments, requests
from headwater.db.connection import Database
from headwater.db.models import orch_request, subcloud, subcloud_sync
from headwater.db.records import FleetSummary

#: Requests that an operator has to wait for, or to look at.
_LEFT = (*PENDING, RequestState.FAILED)

_Kind = TypeVar("_Kind", bound=StrEnum)

#: Those of unmanaged subclouds wait on purpose.
_MANAGED = subcloud.c.management_state == Management.MANAGED


def read(database: Database) -> FleetSummary:
    """Counts by state, and how long lanes are behind."""
    lanes = subcloud.join(subcloud_sync, subcloud_sync.c.subcloud_id == subcloud.c.id)
    with database.read() as connection:

        def counts(
            kind: type[_Kind], column: sa.Column[Any], of: sa.FromClause, *where: Any
        ) -> dict[_Kind, int]:
            statement = sa.select(column, sa.func.count()).select_from(of).where(*where)
            found = {
                kind(state): number
                for state, number in connection.execute(statement.group_by(column))
            }
            return {state: found.get(state, 0) for state in kind}

        waiting = connection.execute(
            sa.select(*requests.oldest_pending(), moments.now(database).label("now"))
            .select_from(lanes)
            # In-sync lanes have nothing that waits, but for what came a moment ago.
            .where(_MANAGED, subcloud_sync.c.sync_status != SyncStatus.IN_SYNC)
        ).all()
        return FleetSummary(
            management=counts(Management, subcloud.c.management_state, subcloud),
            availability=counts(Availability, subcloud.c.availability_status, subcloud, _MANAGED),
            sync_status=counts(SyncStatus, subcloud_sync.c.sync_status, lanes, _MANAGED),
            requests={
                state: number
                for state, number in counts(
                    RequestState,
                    orch_request.c.state,
                    lanes.join(orch_request, orch_request.c.subcloud_sync_id == subcloud_sync.c.id),
                    # Counting all that was ever done would read the whole table.
                    subcloud_sync.c.sync_status != SyncStatus.IN_SYNC,
                    orch_request.c.state.in_(_LEFT),
                ).items()
                if state in _LEFT
            },
            lags=sorted(
                max(0.0, (row.now - since).total_seconds())
                for row in waiting
                if (since := requests.oldest_of(row)) is not None
            ),
        )

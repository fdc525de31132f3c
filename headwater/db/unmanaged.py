# SPDX-License-Identifier: Apache-2.0
"""Resources that are a subcloud's own affair: audits leave them alone there."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import NotFound
from headwater.db.connection import Database, retried, upsert
from headwater.db.models import subcloud, subcloud_sync, unmanaged_resource
from headwater.db.records import UnmanagedResource

_UNMANAGED = unmanaged_resource.c


def of_lane(database: Database, lane_id: int) -> frozenset[tuple[str, str]]:
    """What audits of a lane leave alone, by type and drift key."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(_UNMANAGED.resource_type, _UNMANAGED.drift_key).where(
                _UNMANAGED.subcloud_sync_id == lane_id
            )
        ).all()
    return frozenset((row.resource_type, row.drift_key) for row in rows)


@retried
def mark(
    database: Database, subcloud_id: int, endpoint_type: str, resource_type: str, drift_key: str
) -> None:
    """Let audits leave a resource of a subcloud alone. The second time does nothing. NotFound."""
    with database.write() as connection:
        lane_id = connection.execute(_lane(subcloud_id, endpoint_type)).scalar_one_or_none()
        if lane_id is None:
            raise NotFound(f"The subcloud has no lane for endpoint type {endpoint_type!r}.")
        key = ("subcloud_sync_id", "resource_type", "drift_key")
        connection.execute(
            upsert(database, unmanaged_resource, key, ()),
            {
                "subcloud_sync_id": lane_id,
                "resource_type": resource_type,
                "drift_key": drift_key,
                "created_at": clock.now(),
            },
        )


@retried
def unmark(
    database: Database, subcloud_id: int, endpoint_type: str, resource_type: str, drift_key: str
) -> None:
    """The inverse of `mark`; raises NotFound for what is not marked."""
    with database.write() as connection:
        number = connection.execute(
            unmanaged_resource.delete().where(
                _UNMANAGED.subcloud_sync_id.in_(_lane(subcloud_id, endpoint_type)),
                _UNMANAGED.resource_type == resource_type,
                _UNMANAGED.drift_key == drift_key,
            )
        ).rowcount
    if not number:
        raise NotFound(f"No {resource_type} {drift_key!r} of the subcloud is marked unmanaged.")


def of_subcloud(database: Database, subcloud_id: int) -> Sequence[UnmanagedResource]:
    """All that is marked in one subcloud."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                subcloud.c.region_name,
                subcloud_sync.c.endpoint_type,
                _UNMANAGED.resource_type,
                _UNMANAGED.drift_key,
                _UNMANAGED.created_at,
            )
            .join(subcloud_sync, subcloud_sync.c.id == _UNMANAGED.subcloud_sync_id)
            .join(subcloud, subcloud.c.id == subcloud_sync.c.subcloud_id)
            .where(subcloud_sync.c.subcloud_id == subcloud_id)
            .order_by(subcloud_sync.c.endpoint_type, _UNMANAGED.resource_type, _UNMANAGED.drift_key)
        ).all()
    return [UnmanagedResource(**row._asdict()) for row in rows]


def _lane(subcloud_id: int, endpoint_type: str) -> sa.Select[Any]:
    return sa.select(subcloud_sync.c.id).where(
        subcloud_sync.c.subcloud_id == subcloud_id,
        subcloud_sync.c.endpoint_type == endpoint_type,
    )

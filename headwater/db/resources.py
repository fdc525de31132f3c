# SPDX-License-Identifier: Apache-2.0
"""Resources of the central cloud and their ids in each subcloud."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.db.connection import Database, upsert
from headwater.db.models import resource, subcloud_resource
from headwater.db.records import ClaimedLane, MappedResource, MappingChange

#: Ids in one statement; SQLite takes 32,766.
_MOST_IDS = 10_000


def store(
    database: Database,
    connection: sa.Connection,
    endpoint_type: str,
    resource_type: str,
    master_id: str,
    natural_key: Mapping[str, Any] | None,
    *,
    deleted: bool,
) -> None:
    """Write a resource within the caller's transaction; an unknown natural key keeps the old."""
    now = clock.now()
    updates = (
        ("deleted", "updated_at")
        if natural_key is None
        else (
            "deleted",
            "updated_at",
            "natural_key",
        )
    )
    connection.execute(
        upsert(database, resource, ("endpoint_type", "resource_type", "master_id"), updates),
        {
            "endpoint_type": endpoint_type,
            "resource_type": resource_type,
            "master_id": master_id,
            "natural_key": None if natural_key is None else json.dumps(dict(natural_key)),
            "deleted": deleted,
            "created_at": now,
            "updated_at": now,
        },
    )


def natural_key(
    database: Database, endpoint_type: str, resource_type: str, master_id: str
) -> Mapping[str, Any] | None:
    """The last known natural key of a resource, or None when headwater has not met it yet."""
    with database.read() as connection:
        text = connection.execute(
            sa.select(resource.c.natural_key).where(
                resource.c.endpoint_type == endpoint_type,
                resource.c.resource_type == resource_type,
                resource.c.master_id == master_id,
            )
        ).scalar_one_or_none()
    return None if text is None else json.loads(text)


def natural_keys(
    database: Database, endpoint_type: str, master_ids: Collection[str]
) -> Mapping[str, Mapping[str, Any]]:
    """The last known natural keys by master id, for showing; unknown ids are left out."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(resource.c.master_id, resource.c.natural_key).where(
                resource.c.endpoint_type == endpoint_type,
                resource.c.master_id.in_(sorted(master_ids)),
                resource.c.natural_key.is_not(None),
            )
        ).all()
    return {row.master_id: json.loads(row.natural_key) for row in rows}


def mapped(
    database: Database, subcloud_id: int, endpoint_type: str, master_ids: Collection[str]
) -> Sequence[MappedResource]:
    """What is known of some resources, by their ids in the central cloud, in one statement."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                resource.c.resource_type,
                resource.c.master_id,
                resource.c.natural_key,
                resource.c.deleted,
                subcloud_resource.c.subcloud_resource_id,
            )
            .outerjoin(
                subcloud_resource,
                sa.and_(
                    subcloud_resource.c.resource_id == resource.c.id,
                    subcloud_resource.c.subcloud_id == subcloud_id,
                ),
            )
            .where(
                resource.c.endpoint_type == endpoint_type,
                resource.c.master_id.in_(sorted(master_ids)),
            )
        ).all()
    return [
        MappedResource(
            resource_type=row.resource_type,
            master_id=row.master_id,
            natural_key=None if row.natural_key is None else json.loads(row.natural_key),
            subcloud_resource_id=row.subcloud_resource_id,
            deleted=row.deleted,
        )
        for row in rows
    ]


def owner(
    database: Database,
    subcloud_id: int,
    endpoint_type: str,
    resource_type: str,
    subcloud_resource_id: str,
) -> MappedResource | None:
    """Which resource of the central cloud a subcloud's resource is the counterpart of."""
    with database.read() as connection:
        row = connection.execute(
            sa.select(resource.c.master_id, resource.c.natural_key, resource.c.deleted)
            .join(subcloud_resource, subcloud_resource.c.resource_id == resource.c.id)
            .where(
                subcloud_resource.c.subcloud_id == subcloud_id,
                subcloud_resource.c.subcloud_resource_id == subcloud_resource_id,
                resource.c.endpoint_type == endpoint_type,
                resource.c.resource_type == resource_type,
            )
            .limit(1)
        ).one_or_none()
    if row is None:
        return None
    key = None if row.natural_key is None else json.loads(row.natural_key)
    return MappedResource(resource_type, row.master_id, key, subcloud_resource_id, row.deleted)


def known_since(
    database: Database, endpoint_type: str, resource_type: str, master_id: str
) -> datetime | None:
    """When headwater first met a resource; None when it has not."""
    with database.read() as connection:
        met: datetime | None = connection.execute(
            sa.select(resource.c.created_at).where(
                resource.c.endpoint_type == endpoint_type,
                resource.c.resource_type == resource_type,
                resource.c.master_id == master_id,
            )
        ).scalar_one_or_none()
    return met


def apply_mappings(
    database: Database,
    connection: sa.Connection,
    subcloud_id: int,
    changes: Sequence[MappingChange],
) -> None:
    """Write what replays found out, within the caller's transaction."""
    for change in changes:
        key = (
            resource.c.endpoint_type == change.endpoint_type,
            resource.c.resource_type == change.resource_type,
            resource.c.master_id == change.master_id,
        )
        resource_id = connection.execute(sa.select(resource.c.id).where(*key)).scalar_one_or_none()
        if resource_id is None and change.subcloud_resource_id is not None:
            store(
                database,
                connection,
                change.endpoint_type,
                change.resource_type,
                change.master_id,
                change.natural_key,
                deleted=False,
            )
            resource_id = connection.execute(sa.select(resource.c.id).where(*key)).scalar_one()
        if change.subcloud_resource_id is None:
            connection.execute(
                subcloud_resource.delete().where(
                    subcloud_resource.c.subcloud_id == subcloud_id,
                    subcloud_resource.c.resource_id == resource_id,
                )
            )
            continue
        # One resource of a subcloud is the counterpart of one resource of the central cloud.
        same_type = sa.select(resource.c.id).where(
            resource.c.endpoint_type == change.endpoint_type,
            resource.c.resource_type == change.resource_type,
        )
        connection.execute(
            subcloud_resource.delete().where(
                subcloud_resource.c.subcloud_id == subcloud_id,
                subcloud_resource.c.subcloud_resource_id == change.subcloud_resource_id,
                subcloud_resource.c.resource_id != resource_id,
                subcloud_resource.c.resource_id.in_(same_type),
            )
        )
        connection.execute(
            upsert(
                database,
                subcloud_resource,
                ("subcloud_id", "resource_id"),
                ("subcloud_resource_id",),
            ),
            {
                "subcloud_id": subcloud_id,
                "resource_id": resource_id,
                "subcloud_resource_id": change.subcloud_resource_id,
                "created_at": clock.now(),
            },
        )


def of_subcloud(
    database: Database, subcloud_id: int, endpoint_type: str
) -> Mapping[tuple[str, str], str]:
    """All ids that are known of a subcloud, by resource type and id in the central cloud."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                resource.c.resource_type,
                resource.c.master_id,
                subcloud_resource.c.subcloud_resource_id,
            )
            .join(subcloud_resource, subcloud_resource.c.resource_id == resource.c.id)
            .where(
                subcloud_resource.c.subcloud_id == subcloud_id,
                resource.c.endpoint_type == endpoint_type,
            )
        ).all()
    return {(row.resource_type, row.master_id): row.subcloud_resource_id for row in rows}


def learn(
    database: Database,
    connection: sa.Connection,
    lane: ClaimedLane,
    changes: Sequence[MappingChange],
) -> None:
    """As `apply_mappings`, for many changes in a fixed number of statements.

    Natural keys that are known are kept: a change that passed the gateway knows better than a list.
    The caller makes sure that no two resources get one counterpart: it forgets the former one.
    """
    if not changes:
        return
    now = clock.now()
    met = [each for each in changes if each.subcloud_resource_id is not None]
    if met:
        connection.execute(
            upsert(
                database,
                resource,
                ("endpoint_type", "resource_type", "master_id"),
                (),
            ),
            [
                {
                    "endpoint_type": lane.endpoint_type,
                    "resource_type": each.resource_type,
                    "master_id": each.master_id,
                    "natural_key": None
                    if each.natural_key is None
                    else json.dumps(dict(each.natural_key)),
                    "deleted": False,
                    "created_at": now,
                    "updated_at": now,
                }
                for each in met
            ],
        )
    ids = _row_ids(connection, lane.endpoint_type)
    lost = [
        ids[key]
        for each in changes
        if each.subcloud_resource_id is None
        and (key := (each.resource_type, each.master_id)) in ids
    ]
    for start in range(0, len(lost), _MOST_IDS):
        connection.execute(
            subcloud_resource.delete().where(
                subcloud_resource.c.subcloud_id == lane.subcloud_id,
                subcloud_resource.c.resource_id.in_(lost[start : start + _MOST_IDS]),
            )
        )
    if met:
        connection.execute(
            upsert(
                database,
                subcloud_resource,
                ("subcloud_id", "resource_id"),
                ("subcloud_resource_id",),
            ),
            [
                {
                    "subcloud_id": lane.subcloud_id,
                    "resource_id": ids[each.resource_type, each.master_id],
                    "subcloud_resource_id": each.subcloud_resource_id,
                    "created_at": now,
                }
                for each in met
            ],
        )


def _row_ids(connection: sa.Connection, endpoint_type: str) -> Mapping[tuple[str, str], int]:
    rows = connection.execute(
        sa.select(resource.c.resource_type, resource.c.master_id, resource.c.id).where(
            resource.c.endpoint_type == endpoint_type
        )
    )
    return {(row.resource_type, row.master_id): row.id for row in rows}

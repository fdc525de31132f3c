# SPDX-License-Identifier: Apache-2.0
"""Subclouds: added, shown, managed, deleted."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Availability, Management, SyncRequest, SyncStatus
from headwater.db.connection import Database, retried
from headwater.db.models import subcloud, subcloud_sync
from headwater.db.records import NewSubcloud, Subcloud


def add(database: Database, new: NewSubcloud, endpoint_types: Collection[str]) -> Subcloud:
    """Add a subcloud, unmanaged, with a lane per endpoint type; Conflict for a name in use."""
    now = clock.now()
    try:
        _insert(database, new, endpoint_types, now)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a subcloud {new.region_name!r}.") from error
    return get(database, new.region_name)


@retried
def _insert(
    database: Database, new: NewSubcloud, endpoint_types: Collection[str], now: Any
) -> None:
    with database.write() as connection:
        result = connection.execute(
            subcloud.insert().values(
                **asdict(new),
                management_state=Management.UNMANAGED,
                availability_status=Availability.UNKNOWN,
                created_at=now,
                updated_at=now,
            )
        )
        key = result.inserted_primary_key
        if key is None:
            raise AssertionError("INSERT of one row returns its key")
        if endpoint_types:
            connection.execute(
                subcloud_sync.insert(),
                [
                    {
                        "subcloud_id": key[0],
                        "endpoint_type": name,
                        "sync_request": SyncRequest.NONE,
                        "sync_status": SyncStatus.UNKNOWN,
                    }
                    for name in endpoint_types
                ],
            )


def refuse_known(database: Database, region_name: str) -> None:
    """Raise Conflict when the name is in use."""
    if _select(database, subcloud.c.region_name == region_name, limit=1):
        raise Conflict(f"There is already a subcloud {region_name!r}.")


def get(database: Database, region_name: str) -> Subcloud:
    """One subcloud by its region name; raises NotFound."""
    found = _select(database, subcloud.c.region_name == region_name, limit=1)
    if not found:
        raise NotFound(f"There is no subcloud {region_name!r}; 'subcloud list' shows all.")
    return found[0]


def by_id(database: Database, subcloud_id: int) -> Subcloud:
    """One subcloud by its row id; raises NotFound when it was deleted."""
    found = _select(database, subcloud.c.id == subcloud_id, limit=1)
    if not found:
        raise NotFound(f"There is no subcloud with id {subcloud_id} any more.")
    return found[0]


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Subcloud]:
    """Subclouds by region name, those behind the name `marker`."""
    return _select(database, subcloud.c.region_name > marker, limit=limit)


def _select(
    database: Database, condition: sa.ColumnElement[bool], limit: int
) -> Sequence[Subcloud]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(subcloud).where(condition).order_by(subcloud.c.region_name).limit(limit)
        ).all()
    return [
        Subcloud(
            **{
                **row._asdict(),
                "management_state": Management(row.management_state),
                "availability_status": Availability(row.availability_status),
            }
        )
        for row in rows
    ]


def update(database: Database, region_name: str, values: dict[str, str | None]) -> Subcloud:
    """Change access data or description of a subcloud; raises NotFound."""
    _update(database, region_name, {**values, "updated_at": clock.now()})
    return get(database, region_name)


def set_management(database: Database, region_name: str, state: Management) -> Subcloud:
    """Manage or unmanage a subcloud; raises NotFound. The second time does nothing."""
    get(database, region_name)
    _update(database, region_name, {"management_state": state})
    return get(database, region_name)


@retried
def set_availability(database: Database, subcloud_id: int, state: Availability) -> None:
    """Write down what was measured; does nothing for a subcloud that was deleted meanwhile."""
    with database.write() as connection:
        connection.execute(
            subcloud.update()
            .where(subcloud.c.id == subcloud_id, subcloud.c.availability_status != state)
            .values(availability_status=state)
        )


@retried
def _update(database: Database, region_name: str, values: dict[str, Any]) -> None:
    with database.write() as connection:
        connection.execute(
            subcloud.update().where(subcloud.c.region_name == region_name).values(values)
        )


@retried
def delete(database: Database, region_name: str) -> None:
    """Delete an unmanaged subcloud with its lanes, requests, mappings and credentials.

    Raises NotFound, and Conflict while it is managed. Nothing in the subcloud itself changes.
    """
    state = get(database, region_name).management_state
    with database.write() as connection:
        deleted = connection.execute(
            subcloud.delete().where(
                subcloud.c.region_name == region_name,
                subcloud.c.management_state == Management.UNMANAGED,
            )
        ).rowcount
    if not deleted:
        raise Conflict(
            f"Subcloud {region_name!r} is {state}; run 'subcloud unmanage {region_name}' first."
        )

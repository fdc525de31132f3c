# SPDX-License-Identifier: Apache-2.0
"""Subclouds: added, shown, managed, deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound, Outdated
from headwater.common.states import (
    SETTLED,
    Availability,
    Management,
    SyncRequest,
    SyncStatus,
)
from headwater.db import moments
from headwater.db.connection import Database, retried
from headwater.db.models import orch_request, subcloud, subcloud_label, subcloud_sync
from headwater.db.records import NewSubcloud, Subcloud


def add(
    database: Database,
    new: NewSubcloud,
    endpoint_types: Collection[str],
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Subcloud:
    """Add a subcloud, unmanaged, with a lane per endpoint type; Conflict for a name in use."""
    now = clock.now()
    try:
        _insert(database, new, endpoint_types, labels, now)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a subcloud {new.region_name!r}.") from error
    return get(database, new.region_name)


@retried
def _insert(
    database: Database,
    new: NewSubcloud,
    endpoint_types: Collection[str],
    labels: Mapping[str, str],
    now: Any,
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
        _set_labels(connection, key[0], labels)
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


#: By what subclouds may be sorted; equal ones by their names.
SORT_KEYS = ("region_name", "created_at", "updated_at", "management_state", "availability_status")


def list_page(
    database: Database,
    *,
    limit: int,
    marker: str = "",
    sort_key: str = "region_name",
    descending: bool = False,
    management: Management | None = None,
    availability: Availability | None = None,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Subcloud]:
    """Subclouds by one of SORT_KEYS, those behind the name `marker`; all `labels` must match.

    Raises NotFound for a marker that does not exist where another key than the name is sorted by.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if management is not None:
        conditions.append(subcloud.c.management_state == management)
    if availability is not None:
        conditions.append(subcloud.c.availability_status == availability)
    conditions.extend(
        sa.exists().where(
            subcloud_label.c.subcloud_id == subcloud.c.id,
            subcloud_label.c.name == name,
            subcloud_label.c.value == value,
        )
        for name, value in labels.items()
    )
    column, by_name = subcloud.c[sort_key], subcloud.c.region_name
    behind, equal = (
        (column < marker, by_name < marker)
        if descending
        else (
            column > marker,
            by_name > marker,
        )
    )
    if marker and column is by_name:
        conditions.append(behind)
    elif marker:
        at = getattr(get(database, marker), sort_key)
        behind = column < at if descending else column > at
        conditions.append(sa.or_(behind, sa.and_(column == at, equal)))
    order = [column.desc(), by_name.desc()] if descending else [column, by_name]
    return _select(database, *conditions, order=order, limit=limit)


def _select(
    database: Database,
    *conditions: sa.ColumnElement[bool],
    order: Sequence[sa.ColumnElement[Any]] = (subcloud.c.region_name,),
    limit: int,
) -> Sequence[Subcloud]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(subcloud).where(*conditions).order_by(*order).limit(limit)
        ).all()
    return [from_row(row) for row in rows]


def labels_of(database: Database, subcloud_ids: Collection[int]) -> Mapping[int, Mapping[str, str]]:
    """The labels of some subclouds by the subclouds' ids, also of those without any."""
    found: dict[int, dict[str, str]] = {subcloud_id: {} for subcloud_id in subcloud_ids}
    with database.read() as connection:
        for row in connection.execute(
            sa.select(subcloud_label)
            .where(subcloud_label.c.subcloud_id.in_(sorted(found)))
            .order_by(subcloud_label.c.name)
        ):
            found[row.subcloud_id][row.name] = row.value
    return found


def from_row(row: sa.Row[Any]) -> Subcloud:
    """The record of a row that has all columns of the table, and perhaps more."""
    columns = row._mapping  # the public name of it, says SQLAlchemy's documentation
    values = {field.name: columns[field.name] for field in fields(Subcloud)}
    values["management_state"] = Management(row.management_state)
    values["availability_status"] = Availability(row.availability_status)
    override = row.availability_override
    values["availability_override"] = None if override is None else Availability(override)
    return Subcloud(**values)


def update(
    database: Database,
    region_name: str,
    values: Mapping[str, str | None],
    *,
    labels: Mapping[str, str] | None = None,
    generation: int | None = None,
) -> Subcloud:
    """Change access data or description of a subcloud, and replace its labels where they are given.

    Raises NotFound, and Outdated where `generation` is given and not the present one any more.
    """
    _update(database, get(database, region_name).id, dict(values), labels, generation)
    return get(database, region_name)


@retried
def _update(
    database: Database,
    subcloud_id: int,
    values: dict[str, Any],
    labels: Mapping[str, str] | None,
    generation: int | None,
) -> None:
    if values:
        values["updated_at"] = clock.now()
    values["generation"] = subcloud.c.generation + 1
    conditions = [subcloud.c.id == subcloud_id]
    if generation is not None:
        conditions.append(subcloud.c.generation == generation)
    with database.write() as connection:
        changed = connection.execute(subcloud.update().where(*conditions).values(values)).rowcount
        if not changed:
            raise Outdated("The subcloud was changed meanwhile; read it again.")
        if labels is not None:
            _set_labels(connection, subcloud_id, labels)


def _set_labels(connection: sa.Connection, subcloud_id: int, labels: Mapping[str, str]) -> None:
    connection.execute(subcloud_label.delete().where(subcloud_label.c.subcloud_id == subcloud_id))
    if labels:
        connection.execute(
            subcloud_label.insert(),
            [
                {"subcloud_id": subcloud_id, "name": name, "value": value}
                for name, value in labels.items()
            ],
        )


def set_management(database: Database, region_name: str, state: Management) -> Subcloud:
    """Manage or unmanage a subcloud; raises NotFound. The second time does nothing."""
    _set_management(database, get(database, region_name).id, state)
    return get(database, region_name)


@retried
def _set_management(database: Database, subcloud_id: int, state: Management) -> None:
    with database.write() as connection:
        changed = connection.execute(
            subcloud.update()
            .where(subcloud.c.id == subcloud_id, subcloud.c.management_state != state)
            .values(management_state=state, generation=subcloud.c.generation + 1)
        ).rowcount
        if changed and state is Management.UNMANAGED:
            connection.execute(
                subcloud_sync.update()
                .where(
                    subcloud_sync.c.subcloud_id == subcloud_id,
                    subcloud_sync.c.sync_status != SyncStatus.UNKNOWN,
                )
                .values(
                    sync_status=SyncStatus.UNKNOWN, sync_status_changed_at=moments.now(database)
                )
            )


def served() -> sa.ColumnElement[bool]:
    """The condition under which a subcloud's lanes may run, for statements that have its table.

    It is managed, and not offline by the operator's word.
    """
    return sa.and_(
        subcloud.c.management_state == Management.MANAGED,
        sa.or_(
            subcloud.c.availability_override.is_(None),
            subcloud.c.availability_override != Availability.OFFLINE,
        ),
    )


def is_served(database: Database, subcloud_id: int) -> bool:
    """Whether a subcloud's lanes may run; False for one that was deleted."""
    with database.read() as connection:
        return (
            connection.execute(
                sa.select(subcloud.c.id).where(subcloud.c.id == subcloud_id, served())
            ).one_or_none()
            is not None
        )


@retried
def drop_backlog(database: Database, subcloud_id: int) -> int:
    """Forget the requests that an unmanaged subcloud has not had; returns how many.

    Those that failed count. Does nothing while it is managed.
    """
    unmanaged = sa.exists().where(
        subcloud.c.id == orch_request.c.subcloud_id,
        subcloud.c.management_state == Management.UNMANAGED,
    )
    with database.write() as connection:
        return connection.execute(
            orch_request.delete().where(
                orch_request.c.subcloud_id == subcloud_id,
                orch_request.c.state.not_in(SETTLED),
                unmanaged,
            )
        ).rowcount


@retried
def override_availability(database: Database, subcloud_id: int, state: Availability) -> None:
    """Say whether a subcloud is online, whatever is measured; UNKNOWN: measure again.

    One that is offline by this word is left alone: nothing is sent to it, not even a probe. One
    that is online by it never rests for long. The second time does nothing.
    """
    measured = state is Availability.UNKNOWN
    with database.write() as connection:
        was = connection.execute(
            sa.select(subcloud.c.availability_status, subcloud.c.availability_override)
            .where(subcloud.c.id == subcloud_id)
            .with_for_update(key_share=True)
        ).one_or_none()
        override = None if measured else state
        if was is None or was.availability_override == override:
            return
        connection.execute(
            subcloud.update()
            .where(subcloud.c.id == subcloud_id)
            .values(
                availability_override=override,
                availability_status=state,
                generation=subcloud.c.generation + 1,
                failures=0,
                breaker_until=None,
                next_probe_at=None,
            )
        )
        if was.availability_status == Availability.OFFLINE:
            _welcome_back(database, connection, subcloud_id)


@retried
def note_answer(database: Database, subcloud_id: int) -> None:
    """A subcloud answered: it is online and its circuit breaker closes.

    Where it was offline, the back-offs of its lanes end too, and their audits are due. The second
    time does nothing, and neither does it change what the operator said.
    """
    known = sa.and_(subcloud.c.id == subcloud_id, subcloud.c.availability_override.is_(None))
    with database.write() as connection:
        offline = connection.execute(
            sa.select(subcloud.c.availability_status == Availability.OFFLINE)
            .where(known)
            .with_for_update(key_share=True)
        ).scalar_one_or_none()
        connection.execute(
            subcloud.update()
            .where(known)
            .values(availability_status=Availability.ONLINE, failures=0, breaker_until=None)
        )
        if offline:
            _welcome_back(database, connection, subcloud_id)


def _welcome_back(database: Database, connection: sa.Connection, subcloud_id: int) -> None:
    """Let what waits for a subcloud run, and have it audited."""
    of_subcloud = subcloud_sync.c.subcloud_id == subcloud_id
    connection.execute(
        subcloud_sync.update().where(of_subcloud).values(next_audit_at=moments.now(database))
    )
    connection.execute(
        subcloud_sync.update()
        .where(of_subcloud, subcloud_sync.c.sync_request == SyncRequest.REQUESTED)
        .values(next_try_at=None)
    )


@retried
def take_probes(
    database: Database, *, limit: int, interval: float, offline_interval: float
) -> Sequence[Subcloud]:
    """Managed subclouds whose next probe is due, at most `limit`; nobody else gets them now.

    The next one is due in `interval` seconds, or `offline_interval` where they do not answer.
    """
    now = moments.now(database)
    due = (
        sa.select(subcloud)
        .where(
            subcloud.c.management_state == Management.MANAGED,
            subcloud.c.availability_override.is_(None),
            sa.or_(subcloud.c.next_probe_at.is_(None), subcloud.c.next_probe_at <= now),
        )
        .order_by(subcloud.c.next_probe_at, subcloud.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    sound = sa.and_(subcloud.c.availability_status == Availability.ONLINE, subcloud.c.failures == 0)
    with database.write() as connection:
        rows = connection.execute(due).all()
        if rows:
            connection.execute(
                subcloud.update()
                .where(subcloud.c.id.in_([row.id for row in rows]))
                .values(
                    next_probe_at=sa.case(
                        (sound, moments.after(database, interval)),
                        else_=moments.after(database, offline_interval),
                    )
                )
            )
    return [from_row(row) for row in rows]


@retried
def note_probe(database: Database, subcloud_id: int) -> None:
    """A subcloud that did not answer before answered a probe.

    Where something waits for it, that decides whether it is online: its back-offs end and a single
    lane may try. A service may greet and still answer no call. Where nothing waits it is online.
    """
    waits = sa.exists().where(
        subcloud_sync.c.subcloud_id == subcloud_id,
        subcloud_sync.c.sync_request.in_([SyncRequest.REQUESTED, SyncRequest.IN_PROGRESS]),
    )
    with database.write() as connection:
        waiting = connection.execute(sa.select(waits)).scalar_one()
        if waiting:
            now = moments.now(database)
            connection.execute(
                subcloud.update()
                .where(subcloud.c.id == subcloud_id, subcloud.c.breaker_until > now)
                .values(breaker_until=now)
            )
            connection.execute(
                subcloud_sync.update()
                .where(
                    subcloud_sync.c.subcloud_id == subcloud_id,
                    subcloud_sync.c.sync_request == SyncRequest.REQUESTED,
                )
                .values(next_try_at=None)
            )
    if not waiting:
        note_answer(database, subcloud_id)


@retried
def note_silence(
    database: Database, subcloud_id: int, *, offline_after: int, breaker_after: int, rest: float
) -> None:
    """A subcloud left a try without an answer.

    At the `offline_after`-th in a row it is offline. From the `breaker_after`-th on, its circuit
    breaker is open for `rest` seconds. Does not change what the operator said.
    """
    failures = subcloud.c.failures + 1
    # MariaDB assigns from left to right: the counter changes last.
    values: dict[sa.Column[Any], Any] = {
        subcloud.c.availability_status: sa.case(
            (failures >= offline_after, Availability.OFFLINE.value),
            else_=subcloud.c.availability_status,
        ),
        subcloud.c.breaker_until: sa.case(
            (failures >= breaker_after, moments.after(database, rest)),
            else_=subcloud.c.breaker_until,
        ),
        subcloud.c.failures: failures,
    }
    with database.write() as connection:
        connection.execute(
            subcloud.update()
            .where(subcloud.c.id == subcloud_id, subcloud.c.availability_override.is_(None))
            .ordered_values(*values.items())
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

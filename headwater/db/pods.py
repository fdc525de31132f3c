# SPDX-License-Identifier: Apache-2.0
"""Pods and the machines that they have."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Availability
from headwater.db import moments
from headwater.db.connection import Database, retried
from headwater.db.models import machine, node, pod, task
from headwater.db.pod_records import Machine, NewPod, Pod, SeenMachine

#: Rows that one statement writes: MariaDB's packets and SQLite's variables have ends.
_SLICE = 500


def add(database: Database, new: NewPod) -> Pod:
    """Add a pod; Conflict for a name in use."""
    try:
        _insert(database, new)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a pod {new.name!r}.") from error
    return get(database, new.name)


@retried
def _insert(database: Database, new: NewPod) -> None:
    now = clock.now()
    values = {field.name: getattr(new, field.name) for field in fields(NewPod)}
    values["addresses"] = json.dumps(list(new.addresses))
    with database.write() as connection:
        connection.execute(
            pod.insert().values(
                **values,
                availability_status=Availability.UNKNOWN,
                created_at=now,
                updated_at=now,
            )
        )


def get(database: Database, name: str) -> Pod:
    """One pod by its name; raises NotFound."""
    found = _select(database, pod.c.name == name, limit=1)
    if not found:
        raise NotFound(f"There is no pod {name!r}; 'pod list' shows all.")
    return found[0]


def by_id(database: Database, pod_id: int) -> Pod:
    """One pod by its row id; raises NotFound when it was deleted."""
    found = _select(database, pod.c.id == pod_id, limit=1)
    if not found:
        raise NotFound(f"There is no pod with id {pod_id} any more.")
    return found[0]


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Pod]:
    """Pods by name, those behind the name `marker`."""
    return _select(database, pod.c.name > marker, limit=limit)


def _select(database: Database, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Pod]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(pod).where(*conditions).order_by(pod.c.name).limit(limit)
        ).all()
    return [_pod(row) for row in rows]


def _pod(row: sa.Row[Any]) -> Pod:
    values = dict(row._mapping)
    values["addresses"] = tuple(json.loads(row.addresses))
    values["availability_status"] = Availability(row.availability_status)
    return Pod(**values)


def update(database: Database, name: str, values: Mapping[str, Any]) -> Pod:
    """Change access data or description of a pod; raises NotFound."""
    _update(database, get(database, name).id, values)
    return get(database, name)


@retried
def _update(database: Database, pod_id: int, values: Mapping[str, Any]) -> None:
    written = {**values, "updated_at": clock.now()}
    if "addresses" in values:
        written["addresses"] = json.dumps(list(values["addresses"]))
    with database.write() as connection:
        connection.execute(pod.update().where(pod.c.id == pod_id).values(written))


@retried
def delete(database: Database, name: str) -> None:
    """Forget a pod with its inventory and its tasks.

    Nothing in the pod itself changes. Raises NotFound, and Conflict while a task has not ended or
    a node has one of its machines.
    """
    known = get(database, name)
    busy = sa.or_(
        sa.exists().where(task.c.pod_id == known.id, task.c.finished_at.is_(None)),
        sa.exists().where(machine.c.pod_id == known.id, node.c.machine_id == machine.c.id),
    )
    with database.write() as connection:
        deleted = connection.execute(pod.delete().where(pod.c.id == known.id, ~busy)).rowcount
    if not deleted:
        raise Conflict(
            f"Pod {name!r} has nodes, or tasks that have not ended: release and cancel them first."
        )


@retried
def note_availability(database: Database, pod_id: int, state: Availability) -> None:
    """Write down whether a pod answers."""
    with database.write() as connection:
        connection.execute(pod.update().where(pod.c.id == pod_id).values(availability_status=state))


@retried
def store_inventory(
    database: Database, pod_id: int, seen: Sequence[SeenMachine], silent: Sequence[str]
) -> None:
    """Write what a pod showed: new machines, changed ones, and those that it has no more.

    Machines behind the addresses in `silent`, which did not answer, are left as they were.
    """
    now = clock.now()
    with database.write() as connection:
        known = {
            row.uri_hash: row
            for row in connection.execute(
                sa.select(machine.c.id, machine.c.uri, machine.c.uri_hash)
                .where(machine.c.pod_id == pod_id)
                .with_for_update()
            )
        }
        by_hash = {_hash(each.uri): each for each in seen}
        new = [(key, each) for key, each in by_hash.items() if key not in known]
        for start in range(0, len(new), _SLICE):
            connection.execute(
                machine.insert(),
                [
                    {
                        **_values(each, now),
                        "uuid": str(uuid.uuid4()),
                        "pod_id": pod_id,
                        "uri": each.uri,
                        "uri_hash": key,
                    }
                    for key, each in new[start : start + _SLICE]
                ],
            )
        changed = [
            {"p_id": known[key].id, **_values(each, now)}
            for key, each in by_hash.items()
            if key in known
        ]
        if changed:
            connection.execute(_CHANGE, changed)
        unheard = frozenset(silent)
        gone = [
            row.id
            for key, row in known.items()
            if key not in by_hash and not _is_behind(row.uri, unheard)
        ]
        for start in range(0, len(gone), _SLICE):
            connection.execute(
                machine.update()
                .where(
                    machine.c.id.in_(gone[start : start + _SLICE]),
                    machine.c.missing_since.is_(None),
                )
                .values(missing_since=now)
            )
        connection.execute(
            pod.update().where(pod.c.id == pod_id).values(synced_at=moments.now(database))
        )


_SEEN = ("name", "power_state", "health", "cpus", "memory_mib", "properties", "seen_at")

_CHANGE = (
    machine.update()
    .where(machine.c.id == sa.bindparam("p_id"))
    .values({**{name: sa.bindparam(name) for name in _SEEN}, "missing_since": None})
)


def _values(seen: SeenMachine, now: Any) -> dict[str, Any]:
    values = {name: getattr(seen, name) for name in _SEEN if name not in ("properties", "seen_at")}
    values["name"] = seen.name[:255]
    return {**values, "properties": json.dumps(dict(seen.properties)), "seen_at": now}


def _is_behind(uri: str, silent: frozenset[str]) -> bool:
    """Whether a machine, or the address before its path, is among what did not answer."""
    scheme, _, rest = uri.partition("://")
    return uri in silent or f"{scheme}://{rest.partition('/')[0]}" in silent


def _hash(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()


@retried
def note_power(database: Database, machine_id: int, power_state: str | None) -> None:
    """Write down a machine's power state, as it was read just now."""
    with database.write() as connection:
        connection.execute(
            machine.update()
            .where(machine.c.id == machine_id)
            .values(power_state=power_state, seen_at=clock.now())
        )


def get_machine(database: Database, machine_uuid: str) -> Machine:
    """One machine by its uuid; raises NotFound."""
    found = _machines(database, machine.c.uuid == machine_uuid, limit=1)
    if not found:
        raise NotFound(f"There is no machine {machine_uuid!r}; 'machine list' shows all.")
    return found[0]


def list_machines(
    database: Database,
    *,
    limit: int,
    after: str | None = None,
    pod_name: str | None = None,
    name: str | None = None,
) -> Sequence[Machine]:
    """Machines in the order in which they were first seen, those behind the machine `after`.

    Raises NotFound for that.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if after is not None:
        conditions.append(machine.c.id > get_machine(database, after).id)
    if pod_name is not None:
        conditions.append(pod.c.name == pod_name)
    if name is not None:
        conditions.append(machine.c.name == name)
    return _machines(database, *conditions, limit=limit)


def _machines(
    database: Database, *conditions: sa.ColumnElement[bool], limit: int
) -> Sequence[Machine]:
    with database.read() as connection:
        rows = connection.execute(
            select_machines().where(*conditions).order_by(machine.c.id).limit(limit)
        ).all()
    return [machine_of(row) for row in rows]


def select_machines() -> sa.Select[Any]:
    """Machines with the names of their pods and nodes, for `machine_of`."""
    named = ("pod_name", "node_name")
    columns = [machine.c[field.name] for field in fields(Machine) if field.name not in named]
    return (
        sa.select(*columns, pod.c.name.label("pod_name"), node.c.name.label("node_name"))
        .join(pod, pod.c.id == machine.c.pod_id)
        .outerjoin(node, node.c.machine_id == machine.c.id)
    )


def machine_of(row: sa.Row[Any]) -> Machine:
    """The record of a row that has the columns of `select_machines`, and perhaps more."""
    values = {field.name: row._mapping[field.name] for field in fields(Machine)}
    return Machine(**{**values, "properties": json.loads(row.properties)})

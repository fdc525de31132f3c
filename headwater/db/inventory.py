# SPDX-License-Identifier: Apache-2.0
"""What pods showed: machines and components, new ones, changed ones, and those that are gone."""

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import NotFound
from headwater.common.states import ComponentKind
from headwater.db import moments
from headwater.db.connection import Database, retried
from headwater.db.models import component, machine, node, pod
from headwater.db.pod_records import Component, Machine, SeenComponent, SeenMachine

#: Rows that one statement writes: MariaDB's packets and SQLite's variables have ends.
_SLICE = 500

#: Components that the inventory of a pod as a whole shows; the others belong to machines.
_OF_PODS = (ComponentKind.CHASSIS, ComponentKind.BLOCK, ComponentKind.ZONE)

_MACHINE = ("name", "power_state", "health", "cpus", "memory_mib", "composed")
_COMPONENT = ("name", "health", "cpus", "memory_mib", "size_gib", "state")


@retried
def store(
    database: Database,
    pod_id: int,
    machines: Sequence[SeenMachine],
    silent: Collection[str],
    components: Sequence[SeenComponent] = (),
) -> None:
    """Write what a pod showed as a whole.

    What is behind the addresses in `silent`, which did not answer, is left as it was.
    """
    with database.write() as connection:
        now = clock.now()
        _store_machines(connection, pod_id, machines, frozenset(silent), now)
        scope = sa.and_(component.c.pod_id == pod_id, component.c.kind.in_(_OF_PODS))
        rows = {hash_of_uri(each.uri): _component(each, now) for each in components}
        _store(connection, component, scope, {"pod_id": pod_id}, rows, frozenset(silent))
        connection.execute(
            pod.update().where(pod.c.id == pod_id).values(synced_at=moments.now(database))
        )


def _store_machines(
    connection: sa.Connection,
    pod_id: int,
    machines: Sequence[SeenMachine],
    silent: frozenset[str],
    now: datetime,
) -> None:
    rows = {hash_of_uri(each.uri): _machine(each, now) for each in machines}
    _store(connection, machine, machine.c.pod_id == pod_id, {"pod_id": pod_id}, rows, silent)


@retried
def store_parts(
    database: Database,
    owner: Machine,
    kinds: Collection[ComponentKind],
    parts: Sequence[SeenComponent],
) -> None:
    """Write the parts of these kinds that a machine showed."""
    now = clock.now()
    scope = sa.and_(component.c.machine_id == owner.id, component.c.kind.in_(sorted(kinds)))
    rows = {hash_of_uri(each.uri): _component(each, now) for each in parts}
    fixed = {"pod_id": owner.pod_id, "machine_id": owner.id}
    with database.write() as connection:
        _store(connection, component, scope, fixed, rows, frozenset())


@retried
def note_machine(database: Database, machine_id: int, seen: SeenMachine) -> None:
    """Write one machine as it was read just now."""
    values = {**_machine(seen, clock.now()), "missing_since": None}
    with database.write() as connection:
        connection.execute(machine.update().where(machine.c.id == machine_id).values(values))


def add_machine(connection: sa.Connection, pod_id: int, seen: SeenMachine, known: str) -> int:
    """Write a machine that was just made, as `known` unless it was seen before; its row id."""
    key = hash_of_uri(seen.uri)
    where = sa.and_(machine.c.pod_id == pod_id, machine.c.uri_hash == key)
    values = _machine(seen, clock.now())
    if not connection.execute(machine.update().where(where).values(values)).rowcount:
        connection.execute(
            machine.insert().values(uuid=known, pod_id=pod_id, uri_hash=key, **values)
        )
    row_id: int = connection.execute(sa.select(machine.c.id).where(where)).scalar_one()
    return row_id


def _store(
    connection: sa.Connection,
    table: sa.Table,
    scope: sa.ColumnElement[bool],
    fixed: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Any]],
    silent: frozenset[str],
) -> None:
    """Bring the rows in `scope` to `rows`, by the hashes of their URIs; others are missing now."""
    known = {
        row.uri_hash: row
        for row in connection.execute(
            sa.select(table.c.id, table.c.uri, table.c.uri_hash).where(scope).with_for_update()
        )
    }
    new = [
        {**fixed, **values, "uuid": str(uuid.uuid4()), "uri_hash": key}
        for key, values in rows.items()
        if key not in known
    ]
    for start in range(0, len(new), _SLICE):
        connection.execute(table.insert(), new[start : start + _SLICE])
    changed = [
        {"p_id": known[key].id, **{f"p_{name}": value for name, value in values.items()}}
        for key, values in rows.items()
        if key in known
    ]
    if changed:
        columns: dict[str, Any] = {
            name: sa.bindparam(f"p_{name}") for name in next(iter(rows.values()))
        }
        connection.execute(
            table.update()
            .where(table.c.id == sa.bindparam("p_id"))
            .values({**columns, "missing_since": None}),
            changed,
        )
    gone = [
        row.id for key, row in known.items() if key not in rows and not _is_behind(row.uri, silent)
    ]
    for start in range(0, len(gone), _SLICE):
        connection.execute(
            table.update()
            .where(table.c.id.in_(gone[start : start + _SLICE]), table.c.missing_since.is_(None))
            .values(missing_since=clock.now())
        )


def _machine(seen: SeenMachine, now: datetime) -> dict[str, Any]:
    values = {name: getattr(seen, name) for name in _MACHINE}
    return {**values, **_common(seen, now)}


def _component(seen: SeenComponent, now: datetime) -> dict[str, Any]:
    values = {name: getattr(seen, name) for name in _COMPONENT}
    return {**values, **_common(seen, now), "kind": seen.kind, "zones": json.dumps(seen.zones)}


def _common(seen: SeenMachine | SeenComponent, now: datetime) -> dict[str, Any]:
    return {
        "uri": seen.uri,
        "name": seen.name[:255],
        "properties": json.dumps(dict(seen.properties)),
        "seen_at": now,
    }


def _is_behind(uri: str, silent: frozenset[str]) -> bool:
    """Whether something, what lists it, or the address before its path did not answer."""
    scheme, _, rest = uri.partition("://")
    address = f"{scheme}://{rest.partition('/')[0]}"
    return uri in silent or uri.rpartition("/")[0] in silent or address in silent


def hash_of_uri(uri: str) -> str:
    """The `uri_hash` of a row."""
    return hashlib.sha256(uri.encode()).hexdigest()


def get_component(database: Database, component_uuid: str) -> Component:
    """One component by its uuid; raises NotFound."""
    found = _components(database, component.c.uuid == component_uuid, limit=1)
    if not found:
        raise NotFound(f"There is no component {component_uuid!r}.")
    return found[0]


def list_components(
    database: Database,
    *,
    limit: int,
    after: str | None = None,
    kind: ComponentKind | None = None,
    pod_name: str | None = None,
    machine_uuid: str | None = None,
    node_name: str | None = None,
) -> Sequence[Component]:
    """Components in the order in which they were first seen, those behind the one `after`.

    Raises NotFound for that.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if after is not None:
        conditions.append(component.c.id > get_component(database, after).id)
    if kind is not None:
        conditions.append(component.c.kind == kind)
    if pod_name is not None:
        conditions.append(pod.c.name == pod_name)
    if machine_uuid is not None:
        conditions.append(machine.c.uuid == machine_uuid)
    if node_name is not None:
        conditions.append(node.c.name == node_name)
    return _components(database, *conditions, limit=limit)


def blocks_of(database: Database, node_id: int) -> Sequence[Component]:
    """The resource blocks that a node has to itself."""
    return _components(database, component.c.node_id == node_id, limit=1000)


def _components(
    database: Database, *conditions: sa.ColumnElement[bool], limit: int
) -> Sequence[Component]:
    named = ("pod_name", "machine", "node_name")
    columns = [component.c[field.name] for field in fields(Component) if field.name not in named]
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                *columns,
                pod.c.name.label("pod_name"),
                machine.c.uuid.label("machine"),
                node.c.name.label("node_name"),
            )
            .join(pod, pod.c.id == component.c.pod_id)
            .outerjoin(machine, machine.c.id == component.c.machine_id)
            .outerjoin(node, node.c.id == component.c.node_id)
            .where(*conditions)
            .order_by(component.c.id)
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Component:
    values = dict(row._mapping)
    values["kind"] = ComponentKind(row.kind)
    values["zones"] = tuple(json.loads(row.zones))
    values["properties"] = json.loads(row.properties)
    return Component(**values)

# SPDX-License-Identifier: Apache-2.0
"""What pods showed: machines and components, new ones, changed ones, and those that are gone."""

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
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
#: What of a machine only an inventory reads.
_LASTING = ("name", "cpus", "memory_mib", "properties")

_COMPONENT = ("name", "health", "cpus", "memory_mib", "size_gib", "state")


@retried
def store(
    database: Database,
    pod_id: int,
    machines: Sequence[SeenMachine],
    silent: Collection[str],
    components: Sequence[SeenComponent] = (),
    began: datetime | None = None,
) -> None:
    """Write what a pod showed as a whole, to reading which it `began` then.

    What is behind the addresses in `silent`, which did not answer, is left as it was; so is what
    was looked at, composed or freed since it began.
    """
    unheard = frozenset(silent)
    with database.write() as connection:
        now = clock.now()
        of_pod = _Scope(machine.c.pod_id == pod_id, {"pod_id": pod_id}, unheard, began)
        _store(
            connection, machine, of_pod, {hash_of_uri(e.uri): _machine(e, now) for e in machines}
        )
        parts = sa.and_(component.c.pod_id == pod_id, component.c.kind.in_(_OF_PODS))
        scope = _Scope(parts, {"pod_id": pod_id}, unheard, began)
        _store(
            connection,
            component,
            scope,
            {hash_of_uri(e.uri): _component(e, now) for e in components},
        )
        connection.execute(
            pod.update().where(pod.c.id == pod_id).values(synced_at=moments.now(database))
        )


@dataclass(frozen=True)
class _Scope:
    """What rows a listing is about."""

    where: sa.ColumnElement[bool]
    #: Columns that all of them have.
    fixed: Mapping[str, Any]
    silent: frozenset[str] = frozenset()
    #: Rows that are younger stay as they are.
    began: datetime | None = None


@retried
def store_parts(
    database: Database,
    owner: Machine,
    kinds: Collection[ComponentKind],
    parts: Sequence[SeenComponent],
) -> None:
    """Write the parts of these kinds that a machine showed, also those that were another's."""
    now = clock.now()
    rows = {hash_of_uri(each.uri): _component(each, now) for each in parts}
    own = sa.and_(component.c.machine_id == owner.id, component.c.kind.in_(sorted(kinds)))
    shown = sa.and_(component.c.pod_id == owner.pod_id, component.c.uri_hash.in_(sorted(rows)))
    fixed = {"pod_id": owner.pod_id, "machine_id": owner.id}
    with database.write() as connection:
        _store(connection, component, _Scope(sa.or_(own, shown), fixed), rows)


@retried
def note_machine(database: Database, machine_id: int, seen: SeenMachine) -> None:
    """Write one machine as it was read just now."""
    with database.write() as connection:
        connection.execute(
            machine.update().where(machine.c.id == machine_id).values(_known_machine(seen))
        )


def _known_machine(seen: SeenMachine) -> dict[str, Any]:
    """The columns of a machine that is known already. One that was composed stays so."""
    values = {**_machine(seen, clock.now()), "missing_since": None}
    if not seen.composed:
        del values["composed"]
    return values


def add_machine(connection: sa.Connection, pod_id: int, seen: SeenMachine, known: str) -> int:
    """Write a machine that was just made, as `known` unless it was seen before; its row id."""
    key = hash_of_uri(seen.uri)
    where = sa.and_(machine.c.pod_id == pod_id, machine.c.uri_hash == key)
    if not connection.execute(machine.update().where(where).values(_known_machine(seen))).rowcount:
        values = _machine(seen, clock.now())
        connection.execute(
            machine.insert().values(uuid=known, pod_id=pod_id, uri_hash=key, **values)
        )
    row_id: int = connection.execute(sa.select(machine.c.id).where(where)).scalar_one()
    return row_id


def _store(
    connection: sa.Connection,
    table: sa.Table,
    scope: _Scope,
    rows: Mapping[str, Mapping[str, Any]],
) -> None:
    """Bring the rows in `scope` to `rows`, by the hashes of their URIs; others are missing now."""
    known = {
        row.uri_hash: row
        for row in connection.execute(
            sa.select(table.c.id, table.c.uri, table.c.uri_hash, table.c.seen_at)
            .where(scope.where)
            .with_for_update()
        )
    }
    younger = {
        key for key, row in known.items() if scope.began is not None and row.seen_at > scope.began
    }
    new = [
        {**scope.fixed, **values, "uuid": str(uuid.uuid4()), "uri_hash": key}
        for key, values in rows.items()
        if key not in known
    ]
    for start in range(0, len(new), _SLICE):
        connection.execute(table.insert(), new[start : start + _SLICE])
    changed = [
        {"p_id": known[key].id, **{f"p_{name}": value for name, value in values.items()}}
        for key, values in rows.items()
        if key in known and key not in younger
    ]
    if table is machine:
        # A poll looked at these since; of their sizes and names it knows nothing.
        polled = [(known[key].id, rows[key]) for key in sorted(younger) if key in rows]
        _note_lasting(connection, polled)
    if changed:
        columns: dict[str, Any] = {
            name: sa.bindparam(f"p_{name}") for name in next(iter(rows.values()))
        }
        if "composed" in columns:
            # One that was composed stays so, whatever its pod says of it later.
            shown = sa.bindparam("p_composed", type_=sa.Boolean)
            columns["composed"] = sa.or_(table.c.composed, shown)
        connection.execute(
            table.update()
            .where(table.c.id == sa.bindparam("p_id"))
            .values({**columns, **scope.fixed, "missing_since": None}),
            changed,
        )
    gone = [
        row.id
        for key, row in known.items()
        if key not in rows and key not in younger and not _is_behind(row.uri, scope.silent)
    ]
    for start in range(0, len(gone), _SLICE):
        connection.execute(
            table.update()
            .where(table.c.id.in_(gone[start : start + _SLICE]), table.c.missing_since.is_(None))
            .values(missing_since=clock.now())
        )


def _note_lasting(
    connection: sa.Connection, machines: Sequence[tuple[int, Mapping[str, Any]]]
) -> None:
    if not machines:
        return
    connection.execute(
        machine.update()
        .where(machine.c.id == sa.bindparam("p_id"))
        .values({name: sa.bindparam(f"p_{name}") for name in _LASTING}),
        [
            {"p_id": row_id, **{f"p_{name}": values[name] for name in _LASTING}}
            for row_id, values in machines
        ],
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

# SPDX-License-Identifier: Apache-2.0
"""Nodes: what they are made of is reserved before a pod is touched, for one of them at a time."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.redact import storable
from headwater.common.states import Availability, ComponentKind, NodeState
from headwater.db import inventory, moments, pods, tasks
from headwater.db.connection import Database, retried
from headwater.db.models import component, machine, node, pod, task
from headwater.db.pod_records import (
    Candidate,
    NewNode,
    NewTask,
    Node,
    Requirements,
    SeenMachine,
)

#: What resource blocks say that nobody uses (DMTF's schema ResourceBlock); some say nothing.
_UNUSED = "Unused"

#: Counted once, and not for each candidate.
_nodes = sa.select(node.c.pod_id, sa.func.count().label("number")).group_by(node.c.pod_id).cte()
_nodes_of_pod = sa.func.coalesce(_nodes.c.number, 0)


#: Resource blocks with processors of which it is looked at whether drives are near.
_LOOKED_AT = 500


class _Taken(Exception):
    """Somebody else was quicker."""


def free_machines(
    database: Database, requirements: Requirements, *, limit: int
) -> Sequence[Candidate]:
    """Free machines that fit, the smallest first.

    Free are those that are there, well as far as they tell, not a node's, and that no task is
    about: what was ordered for a machine of nobody's must not happen to somebody's. A composed
    machine is for who made it: nobody else gets it.
    """
    query = (
        sa.select(
            machine.c.pod_id,
            _nodes_of_pod.label("pod_nodes"),
            machine.c.cpus,
            machine.c.memory_mib,
            machine.c.id.label("machine_id"),
        )
        .join(pod, pod.c.id == machine.c.pod_id)
        .outerjoin(_nodes, _nodes.c.pod_id == pod.c.id)
        .where(*_fits(requirements), _is_well(machine), ~_is_taken(), ~_is_busy())
        .order_by(*_smallest_first(machine))
        .limit(limit)
    )
    with database.read() as connection:
        return [Candidate(**row) for row in connection.execute(query).mappings()]


def free_blocks(
    database: Database, requirements: Requirements, *, limit: int
) -> Sequence[Candidate]:
    """Free resource blocks that fit together, the smallest first.

    One with processors and memory, and, where storage is wanted, those with drives in one of its
    zones: the smallest that is enough, or else the largest ones together.
    """
    named = _of_pod(requirements)
    conditions = [*named, *_at_least(component, requirements), component.c.memory_mib > 0]
    query = (
        sa.select(
            component.c.id,
            component.c.uri,
            component.c.zones,
            component.c.pod_id,
            component.c.cpus,
            component.c.memory_mib,
            _nodes_of_pod.label("pod_nodes"),
        )
        .join(pod, pod.c.id == component.c.pod_id)
        .outerjoin(_nodes, _nodes.c.pod_id == pod.c.id)
        .where(*_free_block(), *conditions)
        .order_by(*_smallest_first(component))
        # Which of them has drives near is known only afterwards.
        .limit(limit if requirements.storage_gib is None else _LOOKED_AT)
    )
    found: list[Candidate] = []
    with database.read() as connection:
        for row in connection.execute(query).all():
            if len(found) == limit:
                break
            storage = _storage(connection, row, requirements.storage_gib)
            if storage is None:
                continue
            found.append(
                Candidate(
                    row.pod_id,
                    row.pod_nodes,
                    row.cpus,
                    row.memory_mib,
                    blocks=(row.id, *(each.id for each in storage)),
                    uris=(row.uri, *(each.uri for each in storage)),
                )
            )
    return found


def free_storage(database: Database, known: Node, size_gib: int) -> tuple[int, str] | None:
    """Row id and URI of the smallest free resource block with drives that fits a composed node."""
    with database.read() as connection:
        zones = {
            zone
            for row in connection.execute(
                sa.select(component.c.zones).where(component.c.node_id == known.id)
            )
            for zone in json.loads(row.zones)
        }
        for row in _drives(connection, known.pod_id):
            if row.size_gib >= size_gib and zones & set(json.loads(row.zones)):
                return row.id, row.uri
    return None


def _storage(
    connection: sa.Connection, compute: sa.Row[Any], size_gib: int | None
) -> Sequence[sa.Row[Any]] | None:
    """Blocks with drives in a zone of `compute`; None where there are not enough."""
    if size_gib is None:
        return []
    zones = set(json.loads(compute.zones))
    near = [
        row
        for row in _drives(connection, compute.pod_id)
        if row.id != compute.id and zones & set(json.loads(row.zones))
    ]
    for row in near:
        if row.size_gib >= size_gib:
            return [row]
    taken, total = [], 0
    for row in reversed(near):
        taken.append(row)
        total += row.size_gib
        if total >= size_gib:
            return taken
    return None


def _drives(connection: sa.Connection, pod_id: int) -> Sequence[sa.Row[Any]]:
    """The free resource blocks of a pod that have nothing but drives, the smallest first."""
    return connection.execute(
        sa.select(component.c.id, component.c.uri, component.c.zones, component.c.size_gib)
        .where(
            *_free_block(),
            component.c.pod_id == pod_id,
            component.c.size_gib > 0,
            sa.func.coalesce(component.c.memory_mib, 0) == 0,
        )
        .order_by(component.c.size_gib, component.c.id)
    ).all()


def _free_block() -> list[sa.ColumnElement[bool]]:
    return [
        component.c.kind == ComponentKind.BLOCK,
        component.c.node_id.is_(None),
        sa.or_(component.c.state.is_(None), component.c.state == _UNUSED),
        _is_well(component),
    ]


def _fits(requirements: Requirements) -> list[sa.ColumnElement[bool]]:
    conditions = [
        *_of_pod(requirements),
        *_at_least(machine, requirements),
        machine.c.composed.is_(sa.false()),
    ]
    if requirements.storage_gib is not None:
        drives = (
            sa.select(sa.func.coalesce(sa.func.sum(component.c.size_gib), 0))
            .where(
                component.c.machine_id == machine.c.id,
                component.c.kind == ComponentKind.DRIVE,
                component.c.missing_since.is_(None),
            )
            .scalar_subquery()
        )
        conditions.append(drives >= requirements.storage_gib)
    return conditions


def _of_pod(requirements: Requirements) -> list[sa.ColumnElement[bool]]:
    conditions = pods.labelled(requirements.labels)
    conditions.append(pod.c.availability_status != Availability.OFFLINE)
    if requirements.pod_name is not None:
        conditions.append(pod.c.name == requirements.pod_name)
    return conditions


def _at_least(table: sa.Table, requirements: Requirements) -> list[sa.ColumnElement[bool]]:
    wanted = {"cpus": requirements.cpus, "memory_mib": requirements.memory_mib}
    return [table.c[name] >= value for name, value in wanted.items() if value is not None]


def _is_well(table: sa.Table) -> sa.ColumnElement[bool]:
    """It is there, and does not say that it is ill."""
    return sa.and_(
        table.c.missing_since.is_(None), sa.or_(table.c.health.is_(None), table.c.health == "OK")
    )


def _is_taken() -> sa.ColumnElement[bool]:
    return sa.exists().where(node.c.machine_id == machine.c.id)


def _is_busy() -> sa.ColumnElement[bool]:
    """A task that has not ended is about it."""
    return sa.exists().where(
        task.c.pod_id == machine.c.pod_id,
        task.c.target == machine.c.uuid,
        task.c.finished_at.is_(None),
    )


def _smallest_first(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """Sizes that nobody knows last: databases differ in where they put them."""
    sizes = (table.c.memory_mib, table.c.cpus)
    unknown = [sa.case((size.is_(None), 1), else_=0) for size in sizes]
    return [unknown[0], sizes[0], unknown[1], sizes[1], table.c.id]


def reserve(
    database: Database, new: NewNode, candidate: Candidate, compose: NewTask | None = None
) -> Node | None:
    """Make a node of what is free; None where somebody was quicker.

    Of a machine it is ready at once. Of resource blocks it is composed by `compose`, which is
    written with it: no reservation is without the task that makes or ends it. Raises Conflict for a
    name in use.
    """
    known = str(uuid.uuid4())
    try:
        _reserve(database, new, candidate, known, compose)
    except _Taken:
        return None
    except db_exception.DBDuplicateEntry:
        # The name, or the machine.
        if _select(database, node.c.name == new.name, limit=1):
            raise Conflict(f"There is already a node {new.name!r}.") from None
        return None
    return get(database, new.name)


@retried
def _reserve(
    database: Database, new: NewNode, candidate: Candidate, known: str, compose: NewTask | None
) -> None:
    state = NodeState.COMPOSING if candidate.machine_id is None else NodeState.READY
    with database.write() as connection:
        result = connection.execute(
            node.insert().values(
                uuid=known,
                name=new.name,
                pod_id=candidate.pod_id,
                machine_id=candidate.machine_id,
                state=state,
                requirements=json.dumps(asdict(new.requirements)),
                user_id=new.caller.user_id,
                project_id=new.caller.project_id,
                created_at=clock.now(),
            )
        )
        key = result.inserted_primary_key
        if key is None:
            raise AssertionError("INSERT of one row returns its key")
        _take_blocks(connection, key[0], candidate.blocks, attaching=False)
        if candidate.machine_id is not None:
            busy = sa.select(machine.c.id).where(machine.c.id == candidate.machine_id, _is_busy())
            if connection.execute(busy).first() is not None:
                # Since it was chosen somebody has ordered something of it.
                raise _Taken
        if compose is not None:
            tasks.add(database, connection, compose, target=known)


def _take_blocks(
    connection: sa.Connection, node_id: int, blocks: Sequence[int], *, attaching: bool
) -> None:
    """Compare and swap; _Taken undoes the whole transaction."""
    if not blocks:
        return
    taken = connection.execute(
        component.update()
        .where(component.c.id.in_(sorted(blocks)), component.c.node_id.is_(None))
        .values(node_id=node_id, attaching=attaching)
    ).rowcount
    if taken != len(blocks):
        raise _Taken


@retried
def take_block(database: Database, node_id: int, block: int, attach: NewTask) -> str | None:
    """Reserve one more resource block for a node; its task's uuid, None where it was taken.

    Raises Conflict where the node is not ready any more: what it has is on its way to others.
    """
    try:
        with database.write() as connection:
            state = connection.execute(
                sa.select(node.c.state).where(node.c.id == node_id).with_for_update()
            ).scalar_one_or_none()
            if state != NodeState.READY:
                raise Conflict(f"The node is {state or 'gone'}.")
            _take_blocks(connection, node_id, [block], attaching=True)
            return tasks.add(database, connection, attach, target=attach.target)
    except _Taken:
        return None


@retried
def keep_block(database: Database, node_id: int, uri: str) -> None:
    """A resource block that was reserved for a node is in its machine now."""
    _change_block(database, node_id, uri, {"attaching": False})


@retried
def give_block(database: Database, node_id: int, uri: str) -> None:
    """Let others have a resource block that a node had. Safe to repeat."""
    _change_block(database, node_id, uri, _given())


def _change_block(database: Database, node_id: int, uri: str, values: Mapping[str, Any]) -> None:
    with database.write() as connection:
        connection.execute(
            component.update()
            .where(component.c.node_id == node_id, component.c.uri == uri)
            .values(values)
        )


def _given() -> dict[str, Any]:
    """How a resource block is that nobody has any more; an older inventory does not change it."""
    return {"node_id": None, "attaching": False, "state": _UNUSED, "seen_at": clock.now()}


def half_attached(database: Database, age: float, *, limit: int) -> Sequence[tuple[Node, str]]:
    """Nodes that are ready, with blocks of theirs whose task ended without a word about them.

    That is `age` seconds ago, and nothing is going on there.
    """
    with database.read() as connection:
        rows = connection.execute(
            sa.select(node.c.name, component.c.uri)
            .join(node, node.c.id == component.c.node_id)
            .join(machine, machine.c.id == node.c.machine_id)
            .where(
                component.c.attaching.is_(sa.true()),
                node.c.state == NodeState.READY,
                ~_was_about(database, age),
            )
            .limit(limit)
        ).all()
    found = {
        each.name: each
        for each in _select(
            database, node.c.name.in_(sorted({row.name for row in rows})), limit=limit
        )
    }
    return [(found[row.name], row.uri) for row in rows if row.name in found]


def why_not(database: Database, requirements: Requirements) -> str:
    """What keeps each machine from being a node's, for a person."""
    fits = sa.and_(sa.true(), *_fits(requirements))

    def number(*conditions: sa.ColumnElement[bool]) -> Any:
        return sa.func.coalesce(sa.func.sum(sa.case((sa.and_(*conditions), 1), else_=0)), 0)

    with database.read() as connection:
        row = connection.execute(
            sa.select(
                sa.func.count().label("total"),
                number(fits).label("fit"),
                number(fits, _is_taken()).label("taken"),
                number(fits, ~_is_taken(), ~_is_well(machine)).label("ill"),
                number(fits, ~_is_taken(), _is_well(machine), _is_busy()).label("busy"),
            )
            .select_from(machine)
            .join(pod, pod.c.id == machine.c.pod_id)
        ).one()
        blocks = connection.execute(
            sa.select(
                sa.func.count().label("total"),
                number(*_free_block()).label("free"),
            ).where(component.c.kind == ComponentKind.BLOCK)
        ).one()
    text = (
        f"No machine is free for this: of {row.total} in the inventory, {row.total - row.fit} do "
        f"not fit, {row.taken} have a node, {row.ill} are missing or not well, {row.busy} have "
        f"tasks that have not ended, and {row.fit - row.taken - row.ill - row.busy} are being "
        "reserved by others."
    )
    if blocks.total:
        text += (
            f" Of {blocks.total} resource blocks {blocks.free} are free, and no zone has enough of "
            "them for this."
        )
    return text


def end_compose(database: Database, known: Node, seen: SeenMachine) -> int:
    """Give a node the machine that was composed for it; the machine's row id. Safe to repeat.

    Raises Conflict where another node has that machine.
    """
    try:
        return _end_compose(database, known, seen)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict("The machine that was composed belongs to another node.") from error


@retried
def _end_compose(database: Database, known: Node, seen: SeenMachine) -> int:
    with database.write() as connection:
        made = replace(seen, composed=True)
        machine_id = inventory.add_machine(connection, known.pod_id, made, known.uuid)
        connection.execute(
            node.update()
            .where(node.c.id == known.id, node.c.state == NodeState.COMPOSING)
            .values(machine_id=machine_id, state=NodeState.READY)
        )
    return machine_id


def get(database: Database, name: str) -> Node:
    """One node by its name; raises NotFound."""
    found = _select(database, node.c.name == name, limit=1)
    if not found:
        raise NotFound(f"There is no node {name!r}; 'node list' shows all.")
    return found[0]


def of_target(database: Database, target: str) -> Node | None:
    """The node that a task's target is about: its own uuid, or that of its machine."""
    # One after the other: no index serves both at once.
    for column in (machine.c.uuid, node.c.uuid):
        if found := _select(database, column == target, limit=1):
            return found[0]
    return None


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Node]:
    """Nodes by name, those behind the name `marker`."""
    return _select(database, node.c.name > marker, limit=limit)


@retried
def begin_release(
    database: Database,
    known: Node,
    task_of_it: NewTask,
    *,
    error: str | None = None,
) -> str | None:
    """Say that a node ends, and write the task that ends it; its uuid, None where one is open."""
    with database.write() as connection:
        row = connection.execute(
            sa.select(node.c.state).where(node.c.id == known.id).with_for_update()
        ).one_or_none()
        open_tasks = sa.select(sa.func.count()).where(
            task.c.pod_id == known.pod_id,
            task.c.target == task_of_it.target,
            task.c.action == task_of_it.action,
            task.c.finished_at.is_(None),
        )
        if row is None or connection.execute(open_tasks).scalar_one():
            return None
        values: dict[str, Any] = {"state": NodeState.RELEASING}
        if error is not None:
            values["error"] = storable(error)
        connection.execute(node.update().where(node.c.id == known.id).values(values))
        return tasks.add(database, connection, task_of_it, target=task_of_it.target)


@retried
def end_release(database: Database, node_id: int, *, untouched: bool = False) -> None:
    """Forget a node that ends: what it had is free, a composed machine is gone. Safe to repeat.

    `untouched`: its resource blocks are in the state that they were in, which nobody knows; the
    pod has refused them.
    """
    with database.write() as connection:
        row = connection.execute(
            sa.select(node.c.machine_id, node.c.uuid).where(
                node.c.id == node_id, node.c.state == NodeState.RELEASING
            )
        ).one_or_none()
        if row is None:
            return
        connection.execute(
            component.update()
            .where(component.c.node_id == node_id)
            .values({"node_id": None, "state": "Refused"} if untouched else _given())
        )
        connection.execute(node.delete().where(node.c.id == node_id))
        connection.execute(
            machine.delete().where(
                # The latter where it came to be when the node was being deleted already.
                sa.or_(machine.c.id == row.machine_id, machine.c.uuid == row.uuid),
                machine.c.composed.is_(sa.true()),
            )
        )


def left_alone(database: Database, age: float, *, limit: int) -> Sequence[Node]:
    """Nodes that are composed or released, and that no task has been about for `age` seconds."""
    waits = node.c.state != NodeState.READY
    return _select(database, waits, ~_was_about(database, age), limit=limit)


def _was_about(database: Database, age: float) -> sa.ColumnElement[bool]:
    """A task is about a node, or was less than `age` seconds ago."""
    return sa.exists().where(
        task.c.pod_id == node.c.pod_id,
        sa.or_(task.c.target == node.c.uuid, task.c.target == machine.c.uuid),
        sa.or_(
            task.c.finished_at.is_(None),
            task.c.finished_at > moments.after(database, -age),
        ),
    )


@retried
def forget(database: Database, known: Node) -> None:
    """Forget a node without asking its pod: what it had counts as free."""
    with database.write() as connection:
        connection.execute(
            node.update().where(node.c.id == known.id).values(state=NodeState.RELEASING)
        )
    end_release(database, known.id)


def is_composing(database: Database, pod_id: int) -> bool:
    """Whether a machine of a pod may be about to become a node's, or to go with one."""
    with database.read() as connection:
        number = connection.execute(
            sa.select(sa.func.count()).where(node.c.pod_id == pod_id, node.c.machine_id.is_(None))
        ).scalar_one()
    return bool(number)


_OWN = ("id", "uuid", "name", "pod_id", "state", "error", "requirements", "user_id", "project_id")


def _select(database: Database, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Node]:
    own = [node.c[name].label(f"own_{name}") for name in (*_OWN, "created_at")]
    home = pod.alias("home")
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*pods.machine_columns(), home.c.name.label("own_pod_name"), *own)
            .select_from(node)
            .join(home, home.c.id == node.c.pod_id)
            .outerjoin(machine, machine.c.id == node.c.machine_id)
            .outerjoin(pod, pod.c.id == machine.c.pod_id)
            .where(*conditions)
            .order_by(node.c.name)
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Node:
    columns = row._mapping
    values = {name: columns[f"own_{name}"] for name in (*_OWN, "created_at", "pod_name")}
    values["state"] = NodeState(values["state"])
    values["requirements"] = Requirements(**json.loads(values["requirements"]))
    has_machine = columns["uuid"] is not None
    return Node(**values, machine=pods.machine_of(row) if has_machine else None)

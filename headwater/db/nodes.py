# SPDX-License-Identifier: Apache-2.0
"""Nodes: machines are reserved before anything is done to them, each for one node at a time."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import NodeState
from headwater.db import pods
from headwater.db.connection import Database, retried
from headwater.db.models import machine, node, pod
from headwater.db.pod_records import Node, Requirements

#: Tries to reserve a machine that somebody else took at the same moment. Each time one of them got
#: it, so as many as there are composes at a time.
_TRIES = 1000


def compose(database: Database, name: str, requirements: Requirements, caller: Caller) -> Node:
    """Reserve the smallest free machine that fits, and return its node.

    Free machines are there, well as far as they tell, and have no node. Raises Conflict, which says
    what the machines lack, and for a name in use.
    """
    for _ in range(_TRIES):
        try:
            if _reserve(database, name, requirements, caller):
                return get(database, name)
            break
        except db_exception.DBDuplicateEntry:
            # The name, or the machine: somebody was quicker.
            if _select(database, node.c.name == name, limit=1):
                raise Conflict(f"There is already a node {name!r}.") from None
    raise Conflict(_why_not(database, requirements))


@retried
def _reserve(
    database: Database, name: str, requirements: Requirements, caller: Caller
) -> int | None:
    """The reserved machine's row id, None where none fits. Raises DBDuplicateEntry."""
    smallest = (
        sa.select(machine.c.id)
        .join(pod, pod.c.id == machine.c.pod_id)
        .where(*_fits(requirements), _is_well(), ~_is_taken())
        .order_by(machine.c.memory_mib, machine.c.cpus, machine.c.id)
        .limit(1)
        # Those that others are reserving now are passed over, not waited for.
        .with_for_update(skip_locked=True, key_share=True, of=machine)
    )
    with database.write() as connection:
        found: int | None = connection.execute(smallest).scalar_one_or_none()
        if found is not None:
            connection.execute(
                node.insert().values(
                    name=name,
                    machine_id=found,
                    state=NodeState.READY,
                    requirements=json.dumps(asdict(requirements)),
                    user_id=caller.user_id,
                    project_id=caller.project_id,
                    created_at=clock.now(),
                )
            )
    return found


def _fits(requirements: Requirements) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if requirements.pod_name is not None:
        conditions.append(pod.c.name == requirements.pod_name)
    if requirements.cpus is not None:
        conditions.append(machine.c.cpus >= requirements.cpus)
    if requirements.memory_mib is not None:
        conditions.append(machine.c.memory_mib >= requirements.memory_mib)
    return conditions


def _is_well() -> sa.ColumnElement[bool]:
    """It is there, and does not say that it is ill."""
    return sa.and_(
        machine.c.missing_since.is_(None),
        sa.or_(machine.c.health.is_(None), machine.c.health == "OK"),
    )


def _is_taken() -> sa.ColumnElement[bool]:
    return sa.exists().where(node.c.machine_id == machine.c.id)


def _why_not(database: Database, requirements: Requirements) -> str:
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
                number(fits, ~_is_taken(), ~_is_well()).label("ill"),
            )
            .select_from(machine)
            .join(pod, pod.c.id == machine.c.pod_id)
        ).one()
    return (
        f"No machine is free for this: of {row.total} in the inventory, {row.total - row.fit} do "
        f"not fit, {row.taken} have a node, {row.ill} are missing or not well, and "
        f"{row.fit - row.taken - row.ill} are being reserved by others."
    )


def get(database: Database, name: str) -> Node:
    """One node by its name; raises NotFound."""
    found = _select(database, node.c.name == name, limit=1)
    if not found:
        raise NotFound(f"There is no node {name!r}; 'node list' shows all.")
    return found[0]


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Node]:
    """Nodes by name, those behind the name `marker`."""
    return _select(database, node.c.name > marker, limit=limit)


@retried
def begin_release(database: Database, name: str) -> bool:
    """Say that a node ends: it gets no new tasks. Whether it had been ready. Raises NotFound."""
    known = get(database, name)
    with database.write() as connection:
        return bool(
            connection.execute(
                node.update()
                .where(node.c.id == known.id, node.c.state == NodeState.READY)
                .values(state=NodeState.RELEASING)
            ).rowcount
        )


@retried
def end_release(database: Database, machine_id: int) -> None:
    """Forget the node that a machine had, if it ends: the machine is free. Safe to repeat."""
    with database.write() as connection:
        connection.execute(
            node.delete().where(
                node.c.machine_id == machine_id, node.c.state == NodeState.RELEASING
            )
        )


def _select(database: Database, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Node]:
    own = [node.c[name].label(f"own_{name}") for name in _OWN]
    with database.read() as connection:
        rows = connection.execute(
            pods.select_machines()
            .add_columns(*own)
            .where(node.c.id.is_not(None), *conditions)
            .order_by(node.c.name)
            .limit(limit)
        ).all()
    return [_record(row) for row in rows]


_OWN = ("id", "name", "state", "requirements", "user_id", "project_id", "created_at")


def _record(row: sa.Row[Any]) -> Node:
    values = {name: row._mapping[f"own_{name}"] for name in _OWN}
    values["state"] = NodeState(values["state"])
    values["requirements"] = Requirements(**json.loads(values["requirements"]))
    return Node(**values, machine=pods.machine_of(row))

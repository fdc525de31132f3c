# SPDX-License-Identifier: Apache-2.0
"""Pods and the machines that they have."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Availability, PodService
from headwater.db.connection import Database, retried
from headwater.db.models import (
    machine,
    machine_metric,
    machine_metric_history,
    node,
    pod,
    pod_label,
    task,
)
from headwater.db.pod_records import Machine, NewPod, Pod

#: Values of a history that one statement deletes.
_HISTORY_SLICE = 5000


def add(database: Database, new: NewPod, labels: Mapping[str, str] = MappingProxyType({})) -> Pod:
    """Add a pod; Conflict for a name in use."""
    try:
        _insert(database, new, labels)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a pod {new.name!r}.") from error
    return get(database, new.name)


@retried
def _insert(database: Database, new: NewPod, labels: Mapping[str, str]) -> None:
    now = clock.now()
    values = {field.name: getattr(new, field.name) for field in fields(NewPod)}
    values["addresses"] = json.dumps(list(new.addresses))
    with database.write() as connection:
        result = connection.execute(
            pod.insert().values(
                **values,
                availability_status=Availability.UNKNOWN,
                created_at=now,
                updated_at=now,
            )
        )
        key = result.inserted_primary_key
        if key is None:
            raise AssertionError("INSERT of one row returns its key")
        _set_labels(connection, key[0], labels)


def _set_labels(connection: sa.Connection, pod_id: int, labels: Mapping[str, str]) -> None:
    """Replace all labels of a pod."""
    connection.execute(pod_label.delete().where(pod_label.c.pod_id == pod_id))
    if labels:
        connection.execute(
            pod_label.insert(),
            [{"pod_id": pod_id, "name": name, "value": labels[name]} for name in labels],
        )


def labels_of(database: Database, pod_ids: Collection[int]) -> Mapping[int, Mapping[str, str]]:
    """The labels of some pods by the pods' ids, also of those without any."""
    found: dict[int, dict[str, str]] = {pod_id: {} for pod_id in pod_ids}
    with database.read() as connection:
        for row in connection.execute(
            sa.select(pod_label)
            .where(pod_label.c.pod_id.in_(sorted(found)))
            .order_by(pod_label.c.name)
        ):
            found[row.pod_id][row.name] = row.value
    return found


def labelled(labels: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    """Conditions that a pod has all of these labels."""
    return [
        sa.exists().where(
            pod_label.c.pod_id == pod.c.id,
            pod_label.c.name == name,
            pod_label.c.value == value,
        )
        for name, value in labels.items()
    ]


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


def list_page(
    database: Database,
    *,
    limit: int,
    marker: str = "",
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Pod]:
    """Pods by name, those behind the name `marker`; all `labels` must match."""
    return _select(database, pod.c.name > marker, *labelled(labels), limit=limit)


def _select(database: Database, *conditions: sa.ColumnElement[bool], limit: int) -> Sequence[Pod]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(*(pod.c[field.name] for field in fields(Pod)))
            .where(*conditions)
            .order_by(pod.c.name)
            .limit(limit)
        ).all()
    return [_pod(row) for row in rows]


def _pod(row: sa.Row[Any]) -> Pod:
    values = dict(row._mapping)
    values["addresses"] = tuple(json.loads(row.addresses))
    values["availability_status"] = Availability(row.availability_status)
    return Pod(**values)


def update(
    database: Database,
    name: str,
    values: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
) -> Pod:
    """Change access data or description of a pod, and replace its labels where they are given.

    Raises NotFound.
    """
    _update(database, get(database, name).id, values, labels)
    return get(database, name)


@retried
def _update(
    database: Database, pod_id: int, values: Mapping[str, Any], labels: Mapping[str, str] | None
) -> None:
    written = {**values, "updated_at": clock.now()}
    if "addresses" in values:
        written["addresses"] = json.dumps(list(values["addresses"]))
    # Telemetry begins anew: what it was due by does not hold any more.
    written.update(next_poll_at=None, next_subscribe_at=None)
    with database.write() as connection:
        connection.execute(pod.update().where(pod.c.id == pod_id).values(written))
        if labels is not None:
            _set_labels(connection, pod_id, labels)


def check_free(database: Database, known: Pod) -> None:
    """Raise Conflict where a pod cannot be deleted now."""
    with database.read() as connection:
        if connection.execute(sa.select(sa.literal(1)).where(_busy(known))).first():
            raise _is_busy(known)


def delete(database: Database, name: str) -> None:
    """Forget a pod with its inventory and its tasks.

    Nothing in the pod itself changes. Raises NotFound, and Conflict while a task has not ended or
    a node has one of its machines. Telemetry, which comes by itself and only reads, is no reason.
    """
    known = get(database, name)
    check_free(database, known)
    # Before: millions of values go with it otherwise, in one statement, and no database likes that.
    while _delete_history(database, known.id):
        pass
    _delete(database, known)


@retried
def _delete_history(database: Database, pod_id: int) -> int:
    """Some of the values that polls read; how many."""
    values = machine_metric_history
    of_pod = (
        sa.select(values.c.id)
        .join(machine_metric, machine_metric.c.id == values.c.metric_id)
        .join(machine, machine.c.id == machine_metric.c.machine_id)
        .where(machine.c.pod_id == pod_id)
        .limit(_HISTORY_SLICE)
    )
    with database.write() as connection:
        ids = connection.execute(of_pod).scalars().all()
        if ids:
            connection.execute(values.delete().where(values.c.id.in_(ids)))
    return len(ids)


def _busy(known: Pod) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.exists().where(
            task.c.pod_id == known.id,
            task.c.finished_at.is_(None),
            task.c.service != PodService.TELEMETRY,
        ),
        sa.exists().where(node.c.pod_id == known.id),
    )


def _is_busy(known: Pod) -> Conflict:
    return Conflict(
        f"Pod {known.name!r} has nodes, or tasks that have not ended: release and cancel them "
        "first."
    )


@retried
def _delete(database: Database, known: Pod) -> None:
    with database.write() as connection:
        # Whoever adds a node or a task to it waits here, or was first and is seen.
        connection.execute(sa.select(pod.c.id).where(pod.c.id == known.id).with_for_update())
        gone = pod.delete().where(pod.c.id == known.id, ~_busy(known))
        deleted = connection.execute(gone).rowcount
    if not deleted:
        raise _is_busy(known)


@retried
def note_availability(database: Database, pod_id: int, state: Availability) -> None:
    """Write down whether a pod answers."""
    with database.write() as connection:
        connection.execute(pod.update().where(pod.c.id == pod_id).values(availability_status=state))


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
            sa.select(*machine_columns())
            .join(pod, pod.c.id == machine.c.pod_id)
            .outerjoin(node, node.c.machine_id == machine.c.id)
            .where(*conditions)
            .order_by(machine.c.id)
            .limit(limit)
        ).all()
    return [machine_of(row) for row in rows]


def targets(
    database: Database, labels: Mapping[str, str], *, machines: bool, nodes: bool
) -> Sequence[tuple[int, str]]:
    """Row ids of the pods that have all labels, each with its machines' uuids or an empty text.

    `nodes`: also the machines that somebody has to himself.
    """
    query = sa.select(pod.c.id, machine.c.uuid if machines else sa.literal("").label("uuid"))
    query = query.where(*labelled(labels)).order_by(pod.c.id)
    if machines:
        query = query.join(machine, machine.c.pod_id == pod.c.id).where(
            machine.c.missing_since.is_(None)
        )
        if not nodes:
            query = query.where(~sa.exists().where(node.c.machine_id == machine.c.id))
    with database.read() as connection:
        return [(row.id, row.uuid) for row in connection.execute(query).all()]


def machine_columns() -> list[sa.ColumnElement[Any]]:
    """What `machine_of` reads: the machine, and the names of its pod and its node."""
    named = ("pod_name", "node_name")
    columns = [machine.c[field.name] for field in fields(Machine) if field.name not in named]
    return [*columns, pod.c.name.label("pod_name"), node.c.name.label("node_name")]


def machine_of(row: sa.Row[Any]) -> Machine:
    """The record of a row that has `machine_columns`, and perhaps more."""
    values = {field.name: row._mapping[field.name] for field in fields(Machine)}
    return Machine(**{**values, "properties": json.loads(row.properties)})

# SPDX-License-Identifier: Apache-2.0
"""Pods, machines and tasks that many tests begin with, written through the product's functions."""

import json
from typing import Any, cast

from headwater.common.context import Caller
from headwater.common.secrets import KeyRing
from headwater.common.states import ComponentKind, PodService
from headwater.db import inventory, nodes, pods, tasks
from headwater.db.connection import Database
from headwater.db.pod_records import (
    ClaimedTask,
    Machine,
    NewPod,
    NewTask,
    Node,
    Pod,
    Requirements,
    SeenComponent,
    SeenMachine,
    Task,
)
from headwater.orchestrator.podm.scheduler import Scheduler, Weights
from tests.support.builders import CIPHER

ALL = tuple(PodService)

URI = "http://bmc.example/redfish/v1/Systems/1"


def add_pod(database: Database, name: str = "one", **changes: Any) -> Pod:
    values = {
        "driver": "fake",
        "addresses": ("http://bmc.example",),
        "username": "admin",
        "credentials": CIPHER,
    }
    return pods.add(database, NewPod(name, **{**values, **changes}))


def seen(uri: str = URI, **changes: Any) -> SeenMachine:
    values = {
        "name": "machine",
        "power_state": "Off",
        "health": "OK",
        "cpus": 8,
        "memory_mib": 4096,
        "properties": {"Model": "x"},
    }
    return SeenMachine(uri, **{**values, **changes})


def add_machine(database: Database, pod: Pod, uri: str = URI) -> Machine:
    inventory.store(database, pod.id, [seen(uri)], [])
    return pods.list_machines(database, limit=1, pod_name=pod.name)[0]


def add_node(
    database: Database,
    name: str = "n1",
    requirements: Requirements = Requirements(),  # noqa: B008 - frozen
    caller: Caller = Caller(),  # noqa: B008 - frozen
) -> Node:
    """Of what the scheduler finds, without a deadline that matters."""
    ring = cast("KeyRing", _PlainKeys())
    return Scheduler(database, ring, Weights()).compose(name, requirements, caller, 600)


class _PlainKeys:
    """Encrypts nothing."""

    def encrypt(self, value: object) -> str:
        return json.dumps(value)


def release_task(node: Node) -> NewTask:
    target = node.uuid if node.machine is None else node.machine.uuid
    return NewTask(PodService.COMPUTE, "release-node", node.pod_id, target, CIPHER, 600, Caller())


def attach_task(node: Node) -> NewTask:
    return NewTask(PodService.STORAGE, "attach-node", node.pod_id, node.uuid, CIPHER, 600, Caller())


def release_node(database: Database, node: Node) -> None:
    """Forget a node at once."""
    task = nodes.begin_release(database, node, release_task(node))
    if task is not None:
        tasks.cancel(database, task)
    nodes.end_release(database, node.id)


def block(name: str, **changes: Any) -> SeenComponent:
    """A free resource block in the zone `z1`."""
    values: dict[str, Any] = {"state": "Unused", "health": "OK", "zones": ("http://pod/z1",)}
    uri = f"http://pod/blocks/{name}"
    return SeenComponent(ComponentKind.BLOCK, uri, name, **{**values, **changes})


def add_task(
    database: Database,
    pod: Pod,
    *,
    target: str = "",
    service: PodService = PodService.COMPUTE,
    action: str = "sync-pod",
    parameters: str = CIPHER,
    deadline: float = 600,
    caller: Caller = Caller(),  # noqa: B008 - frozen
    batch: str | None = None,
    batch_budget: int | None = None,
) -> Task:
    new = NewTask(
        service, action, pod.id, target, parameters, deadline, caller, batch, batch_budget
    )
    return tasks.submit(database, new)


def claim_tasks(
    database: Database,
    *,
    services: tuple[PodService, ...] = ALL,
    limit: int = 10,
    per_pod: int = 10,
    owner: str = "worker",
    lease: float = 600,
) -> list[ClaimedTask]:
    tasks.rescue(database, services)
    return list(tasks.claim(database, tasks.Wanted(services, limit, per_pod), owner, lease))

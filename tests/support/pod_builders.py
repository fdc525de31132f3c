# SPDX-License-Identifier: Apache-2.0
"""Pods, machines and tasks that many tests begin with, written through the product's functions."""

from typing import Any

from headwater.common.context import Caller
from headwater.common.states import PodService
from headwater.db import pods, tasks
from headwater.db.connection import Database
from headwater.db.pod_records import (
    ClaimedTask,
    Machine,
    NewPod,
    NewTask,
    Pod,
    SeenMachine,
    Task,
)
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
    pods.store_inventory(database, pod.id, [seen(uri)], [])
    return pods.list_machines(database, limit=1, pod_name=pod.name)[0]


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
) -> Task:
    new = NewTask(service, action, pod.id, target, parameters, deadline, caller)
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

# SPDX-License-Identifier: Apache-2.0
"""Rows of pods, machines, nodes and tasks as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headwater.common.context import Caller
from headwater.common.states import (
    Availability,
    ComponentKind,
    NodeState,
    PodService,
    TaskState,
)


@dataclass(frozen=True)
class NewPod:
    """What is needed to add a pod; `credentials` is encrypted already."""

    name: str
    #: Which driver speaks to it: a name of the entry points `headwater.pod_drivers`.
    driver: str
    #: One of a pod manager, one per BMC of a fleet: http or https, host, port.
    addresses: tuple[str, ...]
    username: str
    #: Encrypted JSON object with the key `password`.
    credentials: str
    #: PEM; None: the system's authorities.
    ca_certificates: str | None = None
    #: SHA-256 of the one certificate that is trusted instead, in hexadecimal.
    tls_fingerprint: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Pod(NewPod):
    """A pod manager, or a list of BMCs that is used like one."""

    id: int = 0
    availability_status: Availability = Availability.UNKNOWN
    #: When the inventory was last read whole.
    synced_at: datetime | None = None
    created_at: datetime | None = None
    #: Changes with every change of the access data; clients are cached by it.
    updated_at: datetime | None = None


@dataclass(frozen=True)
class SeenMachine:
    """A system as a pod shows it now."""

    uri: str
    name: str
    #: `On`, `Off`, as Redfish says it; None where the pod does not tell.
    power_state: str | None
    health: str | None
    cpus: int | None
    memory_mib: int | None
    properties: Mapping[str, Any]
    #: Made of resource blocks by a pod manager.
    composed: bool = False


@dataclass(frozen=True)
class Machine(SeenMachine):
    """A system of a pod, as it was when it was last looked at."""

    id: int = 0
    uuid: str = ""
    pod_id: int = 0
    pod_name: str = ""
    seen_at: datetime | None = None
    #: None while the pod's inventory has it.
    missing_since: datetime | None = None
    #: The node that has it to itself.
    node_name: str | None = None


@dataclass(frozen=True)
class SeenComponent:
    """A part of a pod or of a machine, as it is seen now."""

    kind: ComponentKind
    uri: str
    name: str
    health: str | None = None
    #: Of a resource block: what it gives to a machine.
    cpus: int | None = None
    memory_mib: int | None = None
    #: Of a drive, a volume or a resource block with drives.
    size_gib: int | None = None
    #: What a resource block says of itself: `Unused` ones are free.
    state: str | None = None
    #: URIs of the zones in which a resource block can be used.
    zones: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Component(SeenComponent):
    """A part of a pod or of a machine, as it was when it was last looked at."""

    id: int = 0
    uuid: str = ""
    pod_name: str = ""
    #: uuid of the machine that it belongs to.
    machine: str | None = None
    seen_at: datetime | None = None
    missing_since: datetime | None = None
    #: Of a resource block: the node that has it to itself.
    node_name: str | None = None


@dataclass(frozen=True)
class Reading:
    """What a sensor shows."""

    #: Such as `power_watts` or `temperature_celsius`.
    metric: str
    #: Which of a machine's sensors, where it has several.
    sensor: str
    value: float


@dataclass(frozen=True)
class Requirements:
    """What a node's machine has to have at least; None: whatever it has."""

    pod_name: str | None = None
    cpus: int | None = None
    memory_mib: int | None = None
    storage_gib: int | None = None
    #: Labels that the pod has to have.
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flavor:
    """A size that nodes are composed in."""

    name: str
    description: str | None
    requirements: Requirements
    created_at: datetime


@dataclass(frozen=True)
class Candidate:
    """Something free of which a node could be: a machine, or resource blocks of one pod."""

    pod_id: int
    #: Nodes that the pod has already.
    pod_nodes: int
    cpus: int | None
    memory_mib: int | None
    machine_id: int | None = None
    #: Row ids, and the URIs that the pod knows them by.
    blocks: tuple[int, ...] = ()
    uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewNode:
    """What a node begins with."""

    name: str
    requirements: Requirements
    caller: Caller


@dataclass(frozen=True)
class Node:
    """A machine that somebody has to himself."""

    id: int
    uuid: str
    name: str
    pod_id: int
    pod_name: str
    state: NodeState
    error: str | None
    #: None while it is composed.
    machine: Machine | None
    requirements: Requirements
    user_id: str | None
    project_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class NewTask:
    """An operation that somebody asked for; `parameters` is encrypted already."""

    service: PodService
    action: str
    pod_id: int
    #: The uuid of a machine, or empty for the pod itself.
    target: str
    parameters: str
    #: Seconds from now after which it is given up.
    deadline: float
    caller: Caller
    #: What was ordered together, and how many of it may be open at a time on one pod.
    batch: str | None = None
    batch_budget: int | None = None


@dataclass(frozen=True)
class Task:
    """A tracked operation."""

    id: int
    uuid: str
    service: PodService
    action: str
    pod_name: str
    target: str
    state: TaskState
    percent: int
    message: str | None
    result: Mapping[str, Any] | None
    error: str | None
    try_count: int
    cancel_requested: bool
    user_id: str | None
    user_name: str | None
    project_id: str | None
    request_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime
    batch: str | None


@dataclass(frozen=True)
class ClaimedTask:
    """A task that the reader of this record holds until its lease ends."""

    id: int
    uuid: str
    generation: int
    failures: int
    service: str
    action: str
    pod_id: int
    target: str
    state: str
    try_count: int
    cancel_requested: bool
    #: Encrypted.
    parameters: str | None
    #: JSON object.
    position: str | None
    batch: str | None = None

    def __str__(self) -> str:
        return f"Task {self.uuid}"


@dataclass(frozen=True)
class TaskRest:
    """In what state a task is left by the worker that held it."""

    state: TaskState
    try_count: int
    #: Seconds until it runs again; of no meaning for one that has ended.
    pause: float = 0.0
    #: Pauses in a row because of errors.
    failures: int = 0
    percent: int | None = None
    message: str | None = None
    position: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    error: str | None = None

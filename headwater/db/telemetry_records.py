# SPDX-License-Identifier: Apache-2.0
"""Rows of telemetry as frozen values: policies, what polls saw, events of pods."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from headwater.common.states import EventSource, Severity
from headwater.db.pod_records import Reading, SeenMachine


@dataclass(frozen=True)
class Threshold:
    """A value above or below which an event is raised; exactly one of both is given."""

    metric: str
    severity: Severity
    above: float | None = None
    below: float | None = None
    #: How far back the value has to be until it is over.
    hysteresis: float = 0.0


@dataclass(frozen=True)
class TelemetryPolicy:
    """What is polled how often, and what of it is worth an event."""

    name: str
    description: str | None
    #: Labels that a pod has to have; empty: all pods.
    labels: Mapping[str, str]
    #: Seconds between two polls.
    interval: int
    thresholds: tuple[Threshold, ...]
    created_at: datetime


@dataclass(frozen=True)
class Watched:
    """A machine as a poll finds it."""

    id: int
    uuid: str
    uri: str
    name: str
    power_state: str | None
    health: str | None
    #: What is wrong with it since an earlier poll, by name.
    alarms: Mapping[str, Severity] = field(default_factory=dict)


@dataclass(frozen=True)
class NewEvent:
    """Something that happened to a machine, or with None as its row id to a pod."""

    machine_id: int | None
    kind: str
    severity: Severity
    message: str
    source: EventSource


@dataclass(frozen=True)
class Observation:
    """What one poll saw of a machine, and what follows from it."""

    machine: Watched
    #: None: it did not answer.
    seen: SeenMachine | None
    readings: Collection[Reading] = ()
    raised: Mapping[str, Severity] = field(default_factory=dict)
    cleared: Collection[str] = ()
    events: Collection[NewEvent] = ()


@dataclass(frozen=True)
class Metric:
    """A value of a sensor."""

    id: int
    metric: str
    sensor: str
    value: float
    read_at: datetime


@dataclass(frozen=True)
class Alarm:
    """What is wrong with a machine now."""

    name: str
    severity: Severity
    raised_at: datetime


@dataclass(frozen=True)
class PodEvent:
    """Something that happened to a pod or one of its machines."""

    id: int
    pod_name: str
    #: uuid; None where it is about the pod as a whole.
    machine: str | None
    kind: str
    severity: Severity
    message: str
    source: EventSource
    created_at: datetime


@dataclass(frozen=True)
class Subscription:
    """Events of one address of a pod, as they were asked for."""

    id: int
    address: str
    #: None while it is being made, and where the address has no events.
    uri: str | None
    #: Whether the address has events at all.
    possible: bool
    created_at: datetime

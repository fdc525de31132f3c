# SPDX-License-Identifier: Apache-2.0
"""What the routes of all nouns work with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headwater.common.endpoints.registry import Registry
from headwater.common.secrets import KeyRing
from headwater.common.states import AuditMode, PodService
from headwater.db.connection import Database
from headwater.engine.fleet import Fleet
from headwater.orchestrator.podm.scheduler import Scheduler
from headwater.orchestrator.watch import JobWatch, TaskWatch


@dataclass(frozen=True)
class Parts:
    """Of one process; safe for many threads."""

    database: Database
    key_ring: KeyRing
    registry: Registry
    #: By endpoint type.
    audit_modes: Mapping[str, AuditMode]
    fleet: Fleet
    watch: JobWatch
    #: Lets workers look for lanes that were asked for; returns at once and raises nothing.
    wake: Callable[[], None]
    tasks: TaskWatch
    #: Lets the workers of a functional service look for tasks; returns at once, raises nothing.
    wake_service: Callable[[PodService], None]
    scheduler: Scheduler
    #: Names of the installed drivers.
    pod_drivers: Sequence[str]

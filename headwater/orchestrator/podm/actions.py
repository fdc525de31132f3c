# SPDX-License-Identifier: Apache-2.0
"""What actions on pods work with."""

from collections.abc import Callable
from dataclasses import dataclass

from headwater.db.connection import Database
from headwater.db.pod_records import Machine, Pod
from headwater.engine.tracked import Result, TaskWork
from headwater.orchestrator.podm.drivers import PodDriver


@dataclass(frozen=True)
class Place:
    """Where a task works."""

    database: Database
    pod: Pod
    driver: PodDriver
    #: None for tasks that are about the pod as a whole.
    machine: Machine | None

    def the_machine(self) -> Machine:
        """For actions that cannot be without one."""
        if self.machine is None:
            raise AssertionError("a task on a machine names it")
        return self.machine


#: Does the next step of a task; raises what drivers raise.
Action = Callable[[TaskWork, Place], Result]

# SPDX-License-Identifier: Apache-2.0
"""What actions on pods work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.common.context import Caller
from headwater.common.states import PodService
from headwater.db import nodes, pods
from headwater.db.connection import Database
from headwater.db.pod_records import Machine, NewTask, Node, Pod
from headwater.engine.tracked import Result, TaskWork
from headwater.orchestrator.podm.drivers import PodDriver

#: Seconds after which an order that nobody gave a deadline is given up.
USUAL_DEADLINE = 600.0


@dataclass(frozen=True)
class Place:
    """Where a task works."""

    database: Database
    pod: Pod
    #: Calls the pod's own addresses only, and raises Foreign for others.
    driver: PodDriver
    #: The uuid of a machine or of a node that is composed; empty for the pod as a whole.
    target: str
    #: Encrypts the parameters of tasks that follow from this one.
    encrypt: Callable[[Mapping[str, Any]], str]

    def the_machine(self) -> Machine:
        """For actions that cannot be without one; raises NotFound."""
        return pods.get_machine(self.database, self.target)

    def the_node(self) -> Node | None:
        """The node that the target is, or has; None where it is gone by now."""
        return nodes.of_target(self.database, self.target)

    def follow_up(self, action: str, parameters: Mapping[str, Any]) -> NewTask:
        """A task on the same target that follows from this one."""
        return follow_up(self.pod.id, self.target, action, self.encrypt(parameters))


def follow_up(
    pod_id: int,
    target: str,
    action: str,
    parameters: str,
    service: PodService = PodService.COMPUTE,
) -> NewTask:
    """A task that nobody asked for; `parameters` is encrypted already."""
    return NewTask(service, action, pod_id, target, parameters, USUAL_DEADLINE, Caller())


#: Does the next step of a task; raises what drivers raise.
Action = Callable[[TaskWork, Place], Result]

# SPDX-License-Identifier: Apache-2.0
"""Wake-ups for the workers of functional services, each service on a topic of its own.

Only hints: a task is in the database, and due, before anybody is told.

Version 1.0: `tasks_waiting`.
"""

from collections.abc import Callable
from typing import Any

import oslo_messaging

from headwater.common import messaging
from headwater.common.states import PodService

VERSION = "1.0"


def topic(service: PodService) -> str:
    """The topic of a functional service."""
    return f"headwater-pod-{service}"


class TaskEndpoint:
    """What the workers of one functional service answer."""

    target = oslo_messaging.Target(version=VERSION)

    def __init__(self, look: Callable[[], None]):
        self._look = look

    def tasks_waiting(self, context: dict[str, Any]) -> None:
        """Somebody wrote a task."""
        self._look()


class TaskClient:
    """The sending side. Make it after a fork. Errors are those of the messaging library."""

    def __init__(self, transport: Any):
        self._services = {
            service: oslo_messaging.get_rpc_client(
                transport,
                oslo_messaging.Target(topic=topic(service), version=VERSION, fanout=True),
                retry=1,  # as in engine.rpc
            )
            for service in PodService
        }

    def tasks_waiting(self, service: str) -> None:
        """Cast to all workers of a service: who has a free thread takes it."""
        self._services[PodService(service)].cast({}, "tasks_waiting")


def server(
    transport: Any, host: str, service: PodService, look: Callable[[], None]
) -> messaging.RpcServer:
    """The receiving side of one process for one functional service."""
    return messaging.rpc_server(transport, topic(service), host, [TaskEndpoint(look)])

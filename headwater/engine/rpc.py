# SPDX-License-Identifier: Apache-2.0
"""RPC to engine workers, over oslo.messaging.

Hints are cast: whatever they start, the poll would start too. What changes a subcloud is called, so
that the caller hears how it went. Payloads hold names and never anything per subcloud of a change;
a password travels encrypted with the installation's keys.

Versions: 1.0 `sync_request`; 1.1 `lanes_waiting`, `sync_subclouds`, `add_subcloud`,
`update_subcloud`, `delete_subcloud`, `update_subcloud_states`; 1.2 `run_sync_audit`,
`initial_sync_subclouds`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import oslo_messaging

from headwater.common import messaging
from headwater.common.errors import Conflict, InvalidInput, NotFound
from headwater.common.states import Availability, Management
from headwater.db.records import NewSubcloud
from headwater.engine.fleet import Fleet, public_view

TOPIC = "headwater-engine-worker"
VERSION = "1.2"

#: Seconds that a caller waits for the result of a call.
_CALL_TIMEOUT = 30

_CHANGEABLE = frozenset(NewSubcloud.__dataclass_fields__) - {"region_name"}

_Method = TypeVar("_Method", bound=Callable[..., object])


def _answers_errors(method: _Method) -> _Method:
    """Let errors that are the caller's own travel back to it, without being logged as ours."""
    answering: _Method = oslo_messaging.expected_exceptions(Conflict, InvalidInput, NotFound)(
        method
    )
    return answering


class Wakeable(Protocol):
    """What a worker offers to those who wake it; neither blocks."""

    def wake(self, endpoint_types: Sequence[str]) -> None:
        """Ask for lanes that have something new."""

    def look(self) -> None:
        """Claim lanes that somebody asked for."""


class EngineWorkerEndpoint:
    """What engine workers answer. No method waits for a lane or a pool."""

    target = oslo_messaging.Target(version=VERSION)

    def __init__(self, worker: Wakeable, fleet: Fleet):
        self._worker, self._fleet = worker, fleet

    def sync_request(self, context: dict[str, Any], endpoint_type: str) -> None:
        """Ask for the lanes of an endpoint type that have queued requests."""
        self._worker.wake([endpoint_type])

    def lanes_waiting(self, context: dict[str, Any]) -> None:
        """Another worker asked for more lanes than it can take."""
        self._worker.look()

    @_answers_errors
    def sync_subclouds(
        self,
        context: dict[str, Any],
        region_names: list[str],
        endpoint_types: list[str] | None = None,
    ) -> int:
        """Let what waits for some subclouds run now; returns how many lanes were asked."""
        number = self._fleet.sync(region_names, endpoint_types)
        self._worker.look()
        return number

    @_answers_errors
    def run_sync_audit(
        self,
        context: dict[str, Any],
        region_names: list[str],
        endpoint_types: list[str] | None = None,
    ) -> int:
        """Have some subclouds compared with the central cloud now; returns how many lanes."""
        number = self._fleet.audit(region_names, endpoint_types)
        self._worker.look()
        return number

    @_answers_errors
    def initial_sync_subclouds(self, context: dict[str, Any], region_names: list[str]) -> int:
        """Have some subclouds brought to the central cloud's state; returns how many lanes."""
        number = self._fleet.initial_sync(region_names)
        self._worker.look()
        return number

    @_answers_errors
    def add_subcloud(self, context: dict[str, Any], subcloud: dict[str, Any]) -> dict[str, Any]:
        """Add a subcloud from the fields of NewSubcloud; returns what may be shown of it."""
        try:
            new = NewSubcloud(**subcloud)
        except TypeError as error:
            raise InvalidInput(f"Not the fields of a subcloud: {error}.") from error
        return public_view(self._fleet.add(new))

    @_answers_errors
    def update_subcloud(
        self, context: dict[str, Any], region_name: str, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Change access data or description of a subcloud."""
        if unknown := set(values) - _CHANGEABLE:
            raise InvalidInput(f"Cannot be changed: {', '.join(sorted(unknown))}.")
        changed = self._fleet.update(region_name, values)
        self._worker.look()
        return public_view(changed)

    @_answers_errors
    def delete_subcloud(self, context: dict[str, Any], region_name: str) -> None:
        """Forget an unmanaged subcloud."""
        self._fleet.delete(region_name)

    @_answers_errors
    def update_subcloud_states(
        self,
        context: dict[str, Any],
        region_name: str,
        management_state: str | None = None,
        availability_status: str | None = None,
    ) -> dict[str, Any]:
        """Manage, unmanage, or say whether a subcloud can be reached."""
        try:
            management = None if management_state is None else Management(management_state)
            availability = (
                None if availability_status is None else Availability(availability_status)
            )
        except ValueError as error:
            raise InvalidInput(f"{error}.") from error
        changed = self._fleet.set_states(region_name, management, availability)
        self._worker.look()
        return public_view(changed)


class EngineWorkerClient:
    """The sending side. Make it after a fork.

    A broker that is away is an error of the messaging library, at once and not after a wait.
    Calls raise NotFound, Conflict and InvalidInput as the methods of `Fleet` do.
    """

    def __init__(self, transport: Any):
        target = oslo_messaging.Target(topic=TOPIC, version="1.0")
        # retry=1: a broker that is away is an error soon, not a wait for ever. With 0 a connection
        # that fell silent would be used again and again: only a second try makes a new one.
        self._any = oslo_messaging.get_rpc_client(
            transport, target, retry=1, version_cap=VERSION, timeout=_CALL_TIMEOUT
        )
        self._all = self._any.prepare(fanout=True, version="1.1")
        self._asked = self._any.prepare(version="1.1")
        self._audited = self._any.prepare(version="1.2")

    def sync_request(self, endpoint_type: str) -> None:
        """Cast to any one worker."""
        self._any.cast({}, "sync_request", endpoint_type=endpoint_type)

    def lanes_waiting(self) -> None:
        """Cast to all workers."""
        self._all.cast({}, "lanes_waiting")

    def sync_subclouds(
        self, region_names: Sequence[str], endpoint_types: Sequence[str] | None = None
    ) -> int:
        """Let what waits for some subclouds run now; returns how many lanes were asked."""
        number: int = self._asked.call(
            {},
            "sync_subclouds",
            region_names=list(region_names),
            endpoint_types=None if endpoint_types is None else list(endpoint_types),
        )
        return number

    def run_sync_audit(
        self, region_names: Sequence[str], endpoint_types: Sequence[str] | None = None
    ) -> int:
        """Have some subclouds compared with the central cloud now; returns how many lanes."""
        number: int = self._audited.call(
            {},
            "run_sync_audit",
            region_names=list(region_names),
            endpoint_types=None if endpoint_types is None else list(endpoint_types),
        )
        return number

    def initial_sync_subclouds(self, region_names: Sequence[str]) -> int:
        """Have some subclouds brought to the central cloud's state; returns how many lanes."""
        number: int = self._audited.call(
            {}, "initial_sync_subclouds", region_names=list(region_names)
        )
        return number

    def add_subcloud(self, new: NewSubcloud) -> dict[str, Any]:
        """Add a subcloud whose credentials are encrypted already."""
        return self._shown("add_subcloud", subcloud=asdict(new))

    def update_subcloud(self, region_name: str, values: Mapping[str, str | None]) -> dict[str, Any]:
        """Change access data or description; credentials encrypted already."""
        return self._shown("update_subcloud", region_name=region_name, values=dict(values))

    def delete_subcloud(self, region_name: str) -> None:
        """Forget an unmanaged subcloud."""
        self._asked.call({}, "delete_subcloud", region_name=region_name)

    def update_subcloud_states(
        self,
        region_name: str,
        management: Management | None = None,
        availability: Availability | None = None,
    ) -> dict[str, Any]:
        """Change what is given."""
        return self._shown(
            "update_subcloud_states",
            region_name=region_name,
            management_state=management,
            availability_status=availability,
        )

    def _shown(self, method: str, **arguments: object) -> dict[str, Any]:
        answer: dict[str, Any] = self._asked.call({}, method, **arguments)
        return answer


def server(transport: Any, host: str, worker: Wakeable, fleet: Fleet) -> messaging.RpcServer:
    """The receiving side of one process.

    All processes of a host share its name: nobody calls a single one, and a broker keeps a queue
    for ever for each name that it has met.
    """
    return messaging.rpc_server(transport, TOPIC, host, [EngineWorkerEndpoint(worker, fleet)])

# SPDX-License-Identifier: Apache-2.0
"""RPC between gateway and engine workers, over oslo.messaging."""

from collections.abc import Callable, Collection
from typing import Any

import oslo_messaging

from headwater.common import messaging

TOPIC = "headwater-engine-worker"
VERSION = "1.0"


class EngineWorkerEndpoint:
    """What engine workers answer. Calls carry hints only: the work itself is in the database."""

    target = oslo_messaging.Target(version=VERSION)

    def __init__(self, wake: Callable[[Collection[str]], None]):
        self._wake = wake

    def sync_request(self, context: dict[str, Any], endpoint_type: str) -> None:
        """Ask for the lanes of an endpoint type that have queued requests (1.0)."""
        self._wake([endpoint_type])


class EngineWorkerClient:
    """The sending side. Make it after a fork."""

    def __init__(self, transport: Any):
        target = oslo_messaging.Target(topic=TOPIC, version=VERSION)
        # retry=0: a broker that is away is an error now, not a wait for ever.
        self._client = oslo_messaging.get_rpc_client(transport, target, retry=0)

    def sync_request(self, endpoint_type: str) -> None:
        """Cast `sync_request` to any one worker."""
        self._client.cast({}, "sync_request", endpoint_type=endpoint_type)


def server(transport: Any, host: str, wake: Callable[[Collection[str]], None]) -> Any:
    """An RPC server for one worker process; the caller starts and stops it."""
    return messaging.rpc_server(transport, TOPIC, host, [EngineWorkerEndpoint(wake)])

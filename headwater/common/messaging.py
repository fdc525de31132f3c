# SPDX-License-Identifier: Apache-2.0
"""The broker, over oslo.messaging. Make transports after a fork, never before."""

import logging
import threading
from collections.abc import Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from headwater.common.concurrency import StoppableThread
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Where brokers listen that `transport_url` gives no port for.
_PORTS = {"rabbit": 5672, "kafka": 9092}

#: Seconds that the end of a process waits for a broker that does not answer.
_STOP_PATIENCE = 1.0

#: Seconds after a start that failed, as where the broker refuses the login.
_AGAIN = 5.0


def transport(conf: cfg.ConfigOpts) -> Any:
    """The RPC transport of `transport_url`; nothing is connected yet."""
    try:
        return oslo_messaging.get_rpc_transport(
            conf, allowed_remote_exmods=["headwater.common.errors"]
        )
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise ConfigurationError(f"[DEFAULT] transport_url: {error}") from error


def check(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError for a `transport_url` that cannot work; connects to nothing."""
    transport(conf).cleanup()


def broker_addresses(conf: cfg.ConfigOpts) -> list[tuple[str, int]]:
    """Host and port of each broker that `transport_url` names; none for `fake://`."""
    url = oslo_messaging.TransportURL.parse(conf)
    kind = url.transport.partition("+")[0]
    if kind == "fake":
        return []
    port = _PORTS.get(kind, _PORTS["rabbit"])
    found = [(host.hostname or "localhost", host.port or port) for host in url.hosts]
    return found or [("localhost", port)]


class RpcServer:
    """Answers RPC whenever the broker is there, and holds nobody up while it is not.

    oslo.messaging's own server waits for the broker in `start` and in `stop`, for ever.
    """

    def __init__(
        self, rpc_transport: Any, target: oslo_messaging.Target, endpoints: Sequence[object]
    ):
        self._transport, self._target, self._endpoints = rpc_transport, target, endpoints
        self._server: Any = None
        self._starter = StoppableThread("rpc-server", self._start, error_delay=_AGAIN)

    def start(self) -> None:
        """Begin to answer as soon as the broker can be reached; returns at once."""
        self._starter.start()

    def listening(self) -> bool:
        """Whether calls arrive."""
        return self._server is not None

    def stop(self, timeout: float = _STOP_PATIENCE) -> None:
        """Answer no more; returns within seconds, however long `timeout` is.

        What a broker still holds goes to others.
        """
        if self._starter.stop(_STOP_PATIENCE) and self._server is not None:
            stopper = threading.Thread(target=self._server.stop, name="rpc-stop", daemon=True)
            stopper.start()
            stopper.join(_STOP_PATIENCE)

    def _start(self) -> float:
        if self._server is None:
            # A new one each time: one that failed to start cannot be started again.
            server = oslo_messaging.get_rpc_server(self._transport, self._target, self._endpoints)
            server.start()
            self._server = server
            LOG.info("Listening for calls on the topic %s", self._target.topic)
        return 3600.0


def rpc_server(rpc_transport: Any, topic: str, host: str, endpoints: Sequence[object]) -> RpcServer:
    """A server for `topic`; those of one `host` share the calls to that host."""
    target = oslo_messaging.Target(topic=topic, server=host)
    return RpcServer(rpc_transport, target, list(endpoints))

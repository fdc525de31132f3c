# SPDX-License-Identifier: Apache-2.0
"""The WSGI server. The only place outside cmd/ that knows eventlet.

oslo.service's own WSGI server is marked for removal and eventlet is in maintenance: the gateway is
a plain WSGI callable, and whoever replaces the server replaces this file.
"""

import logging
import socket
from collections.abc import Callable
from typing import Any

import eventlet
import eventlet.wsgi
from oslo_config import cfg
from oslo_service import service

from headwater.api_proxy.deploy import Listener
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Longest request line in bytes, for filters and pagination markers.
_URL_LIMIT = 16384

_BACKLOG = 1024


def bind(listener: Listener) -> socket.socket:
    """A listening socket; raises ConfigurationError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return eventlet.listen(  # type: ignore[no-any-return]
            (listener.host, listener.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        raise ConfigurationError(
            f"[endpoint_type:{listener.endpoint_type.name}] listen = "
            f"{listener.host}:{listener.port}: cannot be bound: {error.strerror}."
        ) from error


class _StrictProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """Refuses headers that Python's parser gave up on: it drops all that follow, silently."""

    def parse_request(self) -> bool:
        """Parse request line and headers; False when an error was answered."""
        if not super().parse_request():
            return False
        if self.headers.defects:
            self.send_error(400, "A header line cannot be read")
            self.close_connection = True
            return False
        return True


class WsgiService(service.ServiceBase):  # type: ignore[misc]
    """Serves WSGI callables on sockets that were bound before any fork.

    `build` makes the callables, one per socket, in the process that serves them.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        sockets: list[tuple[str, socket.socket]],
        build: Callable[[], list[Any]],
    ):
        self._conf, self._sockets, self._build = conf, sockets, build
        self._servers: list[Any] = []
        self._pools: list[Any] = []

    def start(self) -> None:
        """Begin to serve."""
        settings = self._conf.api_proxy
        for (name, sock), app in zip(self._sockets, self._build(), strict=True):
            pool = eventlet.GreenPool(settings.max_connections)
            self._pools.append(pool)
            self._servers.append(
                eventlet.spawn(
                    eventlet.wsgi.server,
                    sock,
                    app,
                    log=logging.getLogger("eventlet.wsgi"),
                    log_output=False,
                    custom_pool=pool,
                    protocol=_StrictProtocol,
                    keepalive=settings.idle_timeout,
                    socket_timeout=settings.client_timeout,
                    url_length_limit=_URL_LIMIT,
                    capitalize_response_headers=False,
                    debug=False,
                )
            )
            host, port = sock.getsockname()[:2]
            LOG.info("The gateway for %s listens on http://%s:%d", name, host, port)

    def stop(self) -> None:
        """Accept nothing more; exchanges under way go on. Also called where nothing was started."""
        for server in self._servers:
            server.kill()
        self._servers = []

    def wait(self) -> None:
        """Wait until exchanges under way have ended."""
        for pool in self._pools:
            pool.waitall()

    def reset(self) -> None:
        """Nothing to do: a SIGHUP replaces the process."""

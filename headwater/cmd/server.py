# SPDX-License-Identifier: Apache-2.0
"""The WSGI server of all services that answer HTTP.

oslo.service's own WSGI server is marked for removal and eventlet is in maintenance: what is served
are plain WSGI callables, and whoever replaces the server replaces this file.
"""

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import eventlet
import eventlet.wsgi
from eventlet import greenio
from oslo_service import service

from headwater.api_proxy.exchange import body_length
from headwater.api_proxy.faults import Fault
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Longest request line in bytes, for filters and pagination markers.
_URL_LIMIT = 16384

_BACKLOG = 1024

#: Seconds that an idle keep-alive connection stays usable after its process was replaced. A client
#: that is about to send on it gets an answer, and is told to connect anew; closing at once would
#: break a request that is on its way.
_LINGER = 5.0

#: Seconds in which the first request has to come on a connection that was just made when all stops.
_FIRST_REQUEST = 1.0

#: What accept() says when the listening socket was shut down, here or in the supervisor.
_SHUT_DOWN = (errno.EINVAL, errno.EBADF, errno.ENOTCONN, errno.ENOTSOCK)

#: What accept() says when the client went away again.
_CLIENT_GONE = (errno.ECONNABORTED, errno.EPROTO)

#: Seconds until accept() is tried again after other errors, such as too many open files.
_ACCEPT_DELAY = 0.1


@dataclass(frozen=True)
class Listener:
    """A listening socket and what is said about it in the log."""

    name: str
    socket: socket.socket


@dataclass(frozen=True)
class ServerSettings:
    """Limits of one server process; times in seconds."""

    #: Connections at a time on each socket; idle keep-alive connections count.
    max_connections: int
    #: An idle keep-alive connection is closed after it.
    idle_timeout: float
    #: A client that is silent in the middle of a request for longer is given up.
    client_timeout: float


def bind(name: str, host: str, port: int, option: str) -> Listener:
    """A listening socket, made before any fork.

    Raises ConfigurationError, which blames `option`, when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Not with SO_REUSEPORT: a second service would share the port and not be noticed.
        listening = eventlet.listen((host, port), family, _BACKLOG, reuse_port=False)
        return Listener(name, listening)
    except OSError as error:
        raise ConfigurationError(
            f"{option} = {host}:{port}: cannot be bound: {error.strerror}."
        ) from error


class _Connection(list[Any]):
    """What eventlet knows of a connection: address, socket, state; and whether a request came."""

    def __init__(self, address: Any, client: Any):
        super().__init__((address, client, eventlet.wsgi.STATE_IDLE))
        self.used = False

    def leave(self, *, unused_too: bool) -> None:
        """Close it when its request is answered, or now if there is none."""
        if self[2] == eventlet.wsgi.STATE_REQUEST:
            self[2] = eventlet.wsgi.STATE_CLOSE
        elif (self.used or unused_too) and not self._something_came():
            greenio.shutdown_safe(self[1])

    def _something_came(self) -> bool:
        try:
            return bool(self[1].fd.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False
        except OSError:  # broken: whoever reads from it finds out
            return True


class _StrictProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """Serves no second request behind one whose end is in doubt.

    Refuses headers that Python's parser gave up on: it drops all that follow, silently.
    """

    conn_state: _Connection

    def handle_one_request(self) -> None:
        """Answer one request, or find out that there is none."""
        super().handle_one_request()
        self.conn_state.used = True

    def parse_request(self) -> bool:
        """Parse request line and headers; False when an error was answered."""
        if not super().parse_request():
            return False
        if self.headers.defects:
            self.send_error(400, "A header line cannot be read")
            self.close_connection = True
            return False
        try:
            body_length(self.headers.items())
        except Fault:
            # The application refuses it; what follows is a body to one reader, and to another one
            # the next request.
            self.close_connection = True
        return True


class _Server:
    """Serves one callable on one listening socket.

    eventlet.wsgi.server() is not used: its accept loop ends, and its process stays, when the
    system runs out of file descriptors for a moment; it has a traceback for a listening socket that
    is shut down; and it closes connections whose first request is on its way.
    """

    def __init__(self, listener: Listener, app: Any, settings: ServerSettings):
        self._listener = listener.socket
        self._pool = eventlet.GreenPool(settings.max_connections)
        self._room = eventlet.Semaphore(settings.max_connections)
        self._open: dict[int, _Connection] = {}
        self._http = eventlet.wsgi.Server(
            self._listener,
            self._listener.getsockname(),
            app,
            log=logging.getLogger("eventlet.wsgi"),
            log_output=False,
            max_http_version=eventlet.wsgi.DEFAULT_MAX_HTTP_VERSION,
            protocol=_StrictProtocol,
            keepalive=settings.idle_timeout,
            socket_timeout=settings.client_timeout,
            url_length_limit=_URL_LIMIT,
            capitalize_response_headers=False,
            debug=False,
        )
        self._acceptor = eventlet.spawn(self._accept)

    def refuse(self) -> None:
        """Accept nothing more in this process."""
        # From now on every answer says Connection: close.
        self._http.keepalive = False
        self._acceptor.kill()
        self._listener.close()

    def leave(self, *, unused_too: bool) -> None:
        """Close idle connections now, and others with their present answer."""
        for connection in list(self._open.values()):
            connection.leave(unused_too=unused_too)

    def wait(self) -> None:
        """Wait until all connections are closed."""
        self._pool.waitall()

    def _accept(self) -> None:
        while True:
            # Without room in this process the next client is left to the others.
            self._room.acquire()
            try:
                client, address = self._listener.accept()
            except OSError as error:
                self._room.release()
                if error.errno in _SHUT_DOWN:
                    return
                if error.errno not in _CLIENT_GONE:
                    LOG.warning("No connection can be accepted now: %s", error)
                    eventlet.sleep(_ACCEPT_DELAY)
                continue
            client.settimeout(self._http.socket_timeout)
            self._pool.spawn(self._serve, _Connection(address, client))

    def _serve(self, connection: _Connection) -> None:
        self._open[id(connection)] = connection
        try:
            self._http.process_request(connection)
        finally:
            del self._open[id(connection)]
            greenio.shutdown_safe(connection[1])
            connection[1].close()
            self._room.release()


class WsgiService(service.ServiceBase):  # type: ignore[misc]
    """Serves WSGI callables on sockets that were bound before any fork.

    `build` makes the callables, one per listener, in the process that serves them. `settings` may
    be a function too: then workers that start after a SIGHUP have the new values.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        build: Callable[[], Sequence[Any]],
        settings: ServerSettings | Callable[[], ServerSettings],
    ):
        self._listeners, self._build, self._settings = listeners, build, settings
        self._bound_by = os.getpid()
        self._servers: list[_Server] = []

    def start(self) -> None:
        """Begin to serve."""
        settings = (
            self._settings if isinstance(self._settings, ServerSettings) else self._settings()
        )
        for listener, app in zip(self._listeners, self._build(), strict=True):
            self._servers.append(_Server(listener, app, settings))
            host, port = listener.socket.getsockname()[:2]
            LOG.info("%s listens on http://%s:%d", listener.name, host, port)

    def stop(self) -> None:
        """Accept nothing more; exchanges under way go on, idle connections are closed.

        In the process that bound the sockets, whether it has started to serve or not, they are
        closed for all processes: whoever connects is refused.
        """
        for listener in self._listeners:
            if self._bound_by == os.getpid():
                # close() alone would not do: every child's file descriptor keeps it listening.
                greenio.shutdown_safe(listener.socket)
        for server in self._servers:
            server.refuse()
            server.leave(unused_too=False)
        for listener in self._listeners:
            # Also in a child whose supervisor is dead: nobody may wait in a queue that nobody
            # empties.
            listener.socket.close()
        if self._servers:
            eventlet.spawn_after(_FIRST_REQUEST, self._leave_all)

    def wait(self) -> None:
        """Wait until exchanges under way have ended."""
        for server in self._servers:
            server.wait()

    def reset(self) -> None:
        """Another process has taken over: accept nothing more, close idle connections soon."""
        for server in self._servers:
            server.refuse()
        eventlet.spawn_after(_LINGER, self._leave_all)

    def _leave_all(self) -> None:
        for server in self._servers:
            server.leave(unused_too=True)

# SPDX-License-Identifier: Apache-2.0
"""Keep-alive connections to one upstream."""

import http.client
import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from headwater.common.errors import NotSent


@dataclass(frozen=True)
class UpstreamSettings:
    """The values of [api_proxy] that concern the central cloud; times in seconds."""

    connect_timeout: float
    answer_timeout: float
    max_idle: int
    cafile: str | None


class ConnectionPool:
    """Connections of one upstream, the most recently used first. Safe for many threads."""

    def __init__(self, url: str, settings: UpstreamSettings):
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._settings = settings
        self._tls = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=settings.cafile)
        self._port = parts.port or (443 if self._tls else 80)
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._lock = threading.Lock()

    def take(self, *, fresh: bool = False) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it has been used before. Raises NotSent."""
        while not fresh:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _usable(connection.sock):
                # Both: eventlet's TLS sockets take only the first back, plain ones the second.
                connection.sock.setblocking(True)
                connection.sock.settimeout(self._settings.answer_timeout)
                return connection, True
            connection.close()
        return self._connect(), False

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose last answer was read to its end."""
        with self._lock:
            if connection.sock is not None and len(self._idle) < self._settings.max_idle:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _connect(self) -> http.client.HTTPConnection:
        timeout = self._settings.connect_timeout
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(
                f"The central cloud cannot be reached at {self._host}:{self._port}: {error}"
            ) from error
        connection.sock.settimeout(self._settings.answer_timeout)
        return connection


def _usable(sock: socket.socket) -> bool:
    """Whether an idle connection is still silent; anything to read is its end or garbage."""
    try:
        sock.setblocking(False)
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False

# SPDX-License-Identifier: Apache-2.0
"""A network between a client and a server that a test may break in the ways that networks break."""

import contextlib
import socket
import threading
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass

_SLICE = 65536


@dataclass(frozen=True)
class Piece:
    """Some bytes on their way."""

    data: bytes
    #: From the client to the server, or back.
    to_server: bool
    #: The last piece that the client sent on the same connection; for an answer, its question.
    asked: bytes


class Relay:
    """Passes bytes between 127.0.0.1:`port` and a server. Safe for many threads.

    The port stays the same and belongs to nobody else until `close`.
    """

    def __init__(self, server_port: int, server_host: str = "127.0.0.1") -> None:
        self._server = (server_host, server_port)
        # Bound but never listening: refuses whenever the listener is closed.
        self._reservation = self._bound(0)
        self.port: int = self._reservation.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        #: Seconds that each piece takes to the server.
        self.delay = 0.0
        #: Called with each piece before it is passed on; may block, and holds that connection only.
        self.watch: Callable[[Piece], None] | None = None
        #: Gives what is passed on instead of a piece; OSError ends the connection.
        self.change: Callable[[Piece], bytes] | None = None
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener: socket.socket | None = None
        self._links: set[_Link] = set()
        self.heal()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def cut(self) -> None:
        """Close all connections and refuse new ones, as a host does whose server has ended."""
        with self._lock:
            listener, self._listener = self._listener, None
            links, self._links = self._links, set()
        if listener is not None:
            # Not close alone: the thread in accept would keep it open.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for link in links:
            link.close()

    def freeze(self) -> None:
        """Accept everything and say nothing, as behind a firewall that drops packets."""
        self._flowing.clear()

    def heal(self, *, resume: bool = True) -> None:
        """Let everything pass again.

        What was frozen goes on where it stopped, or (with RESUME false) stays silent for ever and
        only new connections pass: what a standby that took an address over does.
        """
        if not resume:
            with self._lock:
                for link in self._links:
                    link.dead = True
        self._flowing.set()
        with self._lock:
            if self._listener is None:
                self._listener = self._bound(self.port)
                self._listener.listen(128)
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """End everything and give the port back."""
        self.cut()
        self._flowing.set()
        self._reservation.close()

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(listener, client), daemon=True).start()

    def _serve(self, listener: socket.socket, client: socket.socket) -> None:
        # A frozen network completes no connection to the server either.
        self._flowing.wait()
        try:
            server = socket.create_connection(self._server, timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(self, client, server)
        with self._lock:
            if self._listener is not listener:  # cut meanwhile
                link.close()
                return
            self._links.add(link)
        link.run()
        with self._lock:
            if not link.dead:  # a dead one stays open, and silent, until `cut`
                self._links.discard(link)

    def _pass(self, link: "_Link", piece: Piece) -> bytes:
        """What goes on, once it may; raises OSError when it never may."""
        if piece.to_server and self.delay:
            time.sleep(self.delay)
        if self.watch is not None:
            self.watch(piece)
        self._flowing.wait()
        if link.dead:
            raise OSError("frozen for ever")
        return piece.data if self.change is None else self.change(piece)


class _Link:
    """One connection of a client with its connection to the server."""

    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self._relay, self._client, self._server = relay, client, server
        self._asked = b""
        self.dead = False

    def run(self) -> None:
        """Pass bytes both ways until both sides have ended."""
        back = threading.Thread(target=self._pump, args=(self._server, self._client), daemon=True)
        back.start()
        self._pump(self._client, self._server)
        back.join()
        if not self.dead:
            self.close()

    def close(self) -> None:
        for each in (self._client, self._server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        to_server = source is self._client
        try:
            while data := source.recv(_SLICE):
                if to_server:
                    self._asked = data
                sink.sendall(self._relay._pass(self, Piece(data, to_server, self._asked)))
            self._relay._flowing.wait()
            if not self.dead:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            if not self.dead:
                self.close()

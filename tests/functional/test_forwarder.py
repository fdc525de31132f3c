# SPDX-License-Identifier: Apache-2.0
"""The forwarder against peers that behave as real ones sometimes do: real sockets, both sides."""

import io
import socket
import threading
import unittest
from collections.abc import Callable

from headwater.api_proxy.connections import ConnectionPool, UpstreamSettings
from headwater.api_proxy.exchange import Exchange
from headwater.api_proxy.forwarder import Forwarder
from headwater.common.errors import DeadlineExceeded, NoAnswer, NotSent

PATIENCE = 10.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[["Connection"], None]


class Connection:
    """The peer's side of one connection."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.stream = sock.makefile("rb")

    def read_head(self) -> str:
        """Request line and headers of the next exchange; empty when there is none."""
        lines = []
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1"))
        return "".join(lines)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


class Peer:
    """A server that answers its first connection with the first handler, and so on."""

    def __init__(self, *handlers: Handler):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[str] = []
        self.ended = [threading.Event() for _ in handlers]
        self._thread = threading.Thread(target=self._serve, args=(handlers,), daemon=True)
        self._thread.start()

    def _serve(self, handlers: tuple[Handler, ...]) -> None:
        for handler, ended in zip(handlers, self.ended, strict=True):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            connection = Connection(sock)
            try:
                handler(connection)
            finally:
                connection.stream.close()
                sock.close()
                ended.set()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(PATIENCE)


class ForwarderTest(unittest.TestCase):
    """Each test scripts its peer."""

    def start(self, *handlers: Handler) -> tuple[Peer, Forwarder]:
        peer = Peer(*handlers)
        self.addCleanup(peer.close)
        settings = UpstreamSettings(
            connect_timeout=PATIENCE, answer_timeout=0.5, max_idle=8, cafile=None
        )
        pool = ConnectionPool(peer.url, settings)
        self.addCleanup(pool.close)
        return peer, Forwarder(pool)

    def exchange(
        self, method: str = "GET", body: bytes = b"", *, chunked: bool = False, target: str = "/v3"
    ) -> Exchange:
        return Exchange(
            method=method,
            target=target,
            path=target,
            headers=[
                ("Host", "gateway.example:25000"),
                ("Accept", "a"),
                ("Accept", "b"),
                ("Connection", "x-own"),
                ("X-Own", "1"),
            ],
            scheme="http",
            host="gateway.example:25000",
            peer="192.0.2.1",
            version="1.1",
            length=None if chunked else len(body),
            stream=io.BytesIO(body),
        )

    def whole(self, forwarder: Forwarder, exchange: Exchange, body: bytes | None = None) -> bytes:
        answer = forwarder.forward(exchange, body)
        try:
            return b"".join(answer)
        finally:
            answer.close()

    def test_target_host_and_repeated_headers_pass_and_hop_by_hop_ones_do_not(self) -> None:
        def handler(connection: Connection) -> None:
            peer.heads.append(connection.read_head())
            connection.send(OK)

        peer, forwarder = self.start(handler)
        self.whole(forwarder, self.exchange(target="/identity/v3/a%2Fb?x=%20&y="))
        (head,) = peer.heads
        self.assertTrue(head.startswith("GET /identity/v3/a%2Fb?x=%20&y= HTTP/1.1\r\n"), head)
        lines = head.split("\r\n")
        self.assertIn("X-Forwarded-Host: gateway.example:25000", lines)
        self.assertIn("Host: gateway.example:25000", lines)
        self.assertEqual([x for x in lines if x.startswith("Accept:")], ["Accept: a", "Accept: b"])
        self.assertNotIn("X-Own", head)

    def test_a_connection_is_used_again(self) -> None:
        def handler(connection: Connection) -> None:
            while head := connection.read_head():
                peer.heads.append(head)
                connection.send(OK)

        peer, forwarder = self.start(handler)
        for _ in range(3):
            self.assertEqual(self.whole(forwarder, self.exchange()), b"ok")
        self.assertEqual(len(peer.heads), 3)

    def test_a_read_is_sent_again_when_the_reused_connection_ends(self) -> None:
        def ends(connection: Connection) -> None:
            connection.read_head()
            connection.send(OK)
            connection.read_head()

        def answers(connection: Connection) -> None:
            connection.read_head()
            connection.send(OK)

        _, forwarder = self.start(ends, answers)
        self.assertEqual(self.whole(forwarder, self.exchange()), b"ok")
        self.assertEqual(self.whole(forwarder, self.exchange()), b"ok")

    def test_a_change_is_never_sent_twice(self) -> None:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            with self.subTest(method=method):

                def ends(connection: Connection) -> None:
                    connection.read_head()
                    connection.send(OK)
                    connection.read_head()

                peer, forwarder = self.start(ends)
                self.whole(forwarder, self.exchange())
                with self.assertRaises(NoAnswer):
                    self.whole(forwarder, self.exchange(method), b"{}")
                peer.close()

    def test_a_connection_that_ended_while_idle_is_not_used(self) -> None:
        def once(connection: Connection) -> None:
            connection.read_head()
            connection.send(OK)

        peer, forwarder = self.start(once, once)
        self.whole(forwarder, self.exchange())
        self.assertTrue(peer.ended[0].wait(PATIENCE))
        self.assertEqual(self.whole(forwarder, self.exchange("POST"), b"{}"), b"ok")

    def test_a_peer_that_is_not_there_has_seen_nothing(self) -> None:
        peer, forwarder = self.start()
        peer.close()
        with self.assertRaises(NotSent):
            forwarder.forward(self.exchange("POST"), b"{}")

    def test_silence_is_a_deadline(self) -> None:
        release = threading.Event()

        def silent(connection: Connection) -> None:
            connection.read_head()
            release.wait(PATIENCE)

        _, forwarder = self.start(silent)
        self.addCleanup(release.set)
        with self.assertRaises(DeadlineExceeded):
            forwarder.forward(self.exchange("POST"), b"{}")

    def test_an_answer_that_breaks_off_is_no_answer(self) -> None:
        for text in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            b"nonsense\r\n\r\n",
            b"",
            # What follows must not be the next exchange's.
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ):
            with self.subTest(text=text):

                def handler(connection: Connection, text: bytes = text) -> None:
                    connection.read_head()
                    connection.send(text)

                _, forwarder = self.start(handler)
                with self.assertRaises(NoAnswer):
                    self.whole(forwarder, self.exchange())

    def test_chunked_bodies_pass_both_ways(self) -> None:
        def echo(connection: Connection) -> None:
            self.assertIn("Transfer-Encoding: chunked", connection.read_head())
            body = b""
            while size := int(connection.stream.readline(), 16):
                body += connection.stream.read(size)
                connection.stream.readline()
            connection.stream.readline()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

        _, forwarder = self.start(echo)
        body = bytes(range(256)) * 1000
        self.assertEqual(self.whole(forwarder, self.exchange("PUT", body, chunked=True)), body)

    def test_an_answer_before_the_bodys_end_is_the_answer(self) -> None:
        def refuses(connection: Connection) -> None:
            connection.read_head()
            connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            connection.sock.shutdown(socket.SHUT_WR)
            while connection.stream.read(65536):
                pass

        _, forwarder = self.start(refuses)
        answer = forwarder.forward(self.exchange("PUT", b"x" * 3_000_000))
        self.addCleanup(answer.close)
        self.assertEqual(answer.status, 413)

    def test_answers_without_a_body_leave_the_connection_usable(self) -> None:
        def handler(connection: Connection) -> None:
            for text in (
                b"HTTP/1.1 204 No Content\r\n\r\n",
                b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
                OK,
            ):
                connection.read_head()
                connection.send(text)

        _, forwarder = self.start(handler)
        for method in ("DELETE", "GET", "HEAD"):
            self.assertEqual(self.whole(forwarder, self.exchange(method)), b"")
        self.assertEqual(self.whole(forwarder, self.exchange()), b"ok")

# SPDX-License-Identifier: Apache-2.0
"""The relay breaks connections in the ways that it promises: all fault tests stand on it."""

import contextlib
import socket
import threading
import unittest

from tests.support.relay import Piece, Relay
from tests.support.waiting import PATIENCE, eventually

#: Seconds of silence that count as a black hole.
SILENCE = 0.1


class RelayTest(unittest.TestCase):
    """A server that sends everything back, behind a relay."""

    def setUp(self) -> None:
        super().setUp()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        threading.Thread(target=self.echo_all, daemon=True).start()
        self.relay = Relay(self.server.getsockname()[1])
        self.addCleanup(self.relay.close)

    def echo_all(self) -> None:
        def echo(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while data := client.recv(100):
                    client.sendall(data)

        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(self.server.accept()[0],), daemon=True).start()

    def client(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.relay.port), timeout=PATIENCE)
        self.addCleanup(made.close)
        return made

    def assert_echo(self, client: socket.socket, word: bytes) -> None:
        client.settimeout(PATIENCE)
        client.sendall(word)
        self.assertEqual(client.recv(100), word)

    def assert_silent(self, client: socket.socket) -> None:
        client.settimeout(SILENCE)
        with self.assertRaises(TimeoutError):
            client.recv(100)

    def test_bytes_pass_and_are_watched(self) -> None:
        seen: list[Piece] = []
        self.relay.watch = seen.append
        self.assert_echo(self.client(), b"one")
        self.assertEqual(seen, [Piece(b"one", True, b"one"), Piece(b"one", False, b"one")])

    def test_the_end_of_either_side_passes(self) -> None:
        client = self.client()
        self.assert_echo(client, b"one")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(100), b"")

    def test_a_cut_ends_connections_and_refuses_until_it_heals(self) -> None:
        client = self.client()
        self.assert_echo(client, b"one")
        self.relay.cut()
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(client.recv(100), b"")
        with self.assertRaises(ConnectionRefusedError):
            self.client()
        self.relay.heal()
        self.assert_echo(self.client(), b"two")

    def test_what_is_frozen_arrives_when_it_heals(self) -> None:
        old = self.client()
        self.assert_echo(old, b"one")
        self.relay.freeze()
        new = self.client()
        for client in (old, new):
            client.sendall(b"two")
            self.assert_silent(client)
        self.relay.heal()
        for client in (old, new):
            client.settimeout(PATIENCE)
            self.assertEqual(client.recv(100), b"two")

    def test_without_resume_only_new_connections_pass(self) -> None:
        old = self.client()
        self.assert_echo(old, b"one")
        self.relay.freeze()
        self.relay.heal(resume=False)
        old.sendall(b"two")
        self.assert_silent(old)
        self.assert_echo(self.client(), b"three")
        self.assert_silent(old)
        self.relay.cut()
        old.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(old.recv(100), b"")

    def test_a_server_that_is_down_ends_connections(self) -> None:
        self.server.close()

        def ended() -> bool:
            client = self.client()
            with contextlib.suppress(ConnectionResetError):
                client.sendall(b"one")
                return client.recv(100) == b""
            return True

        eventually(ended, "the end of a connection")

# SPDX-License-Identifier: Apache-2.0
"""The RPC server never makes its process wait for a broker.

With real brokers: tests/functional/test_processes.py and tests/faults/test_broker.py.
"""

# isort: off
import tests.support.oslo_first  # noqa: F401
# isort: on

import threading
import time
import unittest
from unittest import mock

import oslo_messaging

from headwater.common import messaging
from tests.support.waiting import PATIENCE, eventually


class Library:
    """Stands for oslo.messaging's server; while the broker is away its calls never come back."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.there.set()
        self.begun = threading.Event()
        self.started = self.stopped = False

    def start(self) -> None:
        self.begun.set()
        self.there.wait()
        self.started = True

    def stop(self) -> None:
        self.there.wait()
        self.stopped = True


class RpcServerTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.library = Library()
        self.addCleanup(self.library.there.set)
        self.made = self.enterContext(
            mock.patch.object(oslo_messaging, "get_rpc_server", return_value=self.library)
        )
        self.enterContext(mock.patch.object(messaging, "_STOP_PATIENCE", 0.1))
        self.enterContext(mock.patch.object(messaging, "_AGAIN", 0.01))
        self.server = messaging.rpc_server(None, "topic", "host", [])

    def test_it_starts_and_ends_with_a_broker_that_is_there(self) -> None:
        self.server.start()
        eventually(lambda: self.library.started, "the start")
        with mock.patch.object(messaging, "_STOP_PATIENCE", PATIENCE):
            self.server.stop()
        self.assertTrue(self.library.stopped)

    def test_neither_start_nor_stop_waits_for_a_broker_that_is_away(self) -> None:
        self.library.there.clear()
        started = time.monotonic()
        self.server.start()
        self.assertTrue(self.library.begun.wait(PATIENCE))
        self.server.stop()
        self.assertLess(time.monotonic() - started, PATIENCE / 2)

    def test_a_server_that_cannot_end_because_the_broker_went_is_left(self) -> None:
        self.server.start()
        eventually(lambda: self.library.started, "the start")
        self.library.there.clear()
        started = time.monotonic()
        self.server.stop()
        self.assertLess(time.monotonic() - started, PATIENCE / 2)

    def test_a_start_that_fails_is_tried_again_with_a_new_server(self) -> None:
        broken = mock.Mock()
        broken.start.side_effect = OSError("refused")
        self.made.side_effect = [broken, self.library]
        with self.assertLogs("headwater.common.concurrency", "ERROR"):
            self.server.start()
            eventually(lambda: self.library.started, "the second try")
        self.server.stop()

    def test_one_that_was_never_started_can_be_stopped(self) -> None:
        self.server.stop()

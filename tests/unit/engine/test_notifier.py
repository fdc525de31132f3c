# SPDX-License-Identifier: Apache-2.0
"""A wake-up is never in the way of whoever sends it."""

import threading
import time
import unittest
from collections.abc import Callable, Collection

from headwater.engine.notifier import DirectNotifier, QueueNotifier
from tests.support.waiting import PATIENCE, eventually

LOGGER = "headwater.engine.notifier"


class DirectNotifierTest(unittest.TestCase):
    def test_it_wakes_the_worker_of_its_process(self) -> None:
        woken: list[Collection[str]] = []
        DirectNotifier(woken.append).notify("identity")
        self.assertEqual([["identity"]], woken)


class QueueNotifierTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sent: list[str] = []

    def notifier(self, send: Callable[[str], None] | None = None) -> QueueNotifier:
        made = QueueNotifier(send or self.sent.append)
        self.addCleanup(made.stop, PATIENCE)
        made.start()
        return made

    def test_a_wake_up_is_sent(self) -> None:
        notifier = self.notifier()
        for number in range(1, 4):
            notifier.notify("identity")
            eventually(lambda number=number: len(self.sent) == number, "the message")
        self.assertEqual(3 * ["identity"], self.sent)

    def test_each_endpoint_type_gets_its_own(self) -> None:
        notifier = self.notifier()
        notifier.notify("identity")
        notifier.notify("compute")
        eventually(lambda: {"identity", "compute"} <= set(self.sent), "both messages")

    def test_a_send_that_blocks_for_ever_blocks_no_notify(self) -> None:
        blocked, release = threading.Event(), threading.Event()

        def send(endpoint_type: str) -> None:
            blocked.set()
            release.wait()

        notifier = self.notifier(send)
        self.addCleanup(release.set)
        notifier.notify("identity")
        self.assertTrue(blocked.wait(PATIENCE))
        started = time.monotonic()
        for _ in range(1000):
            notifier.notify("identity")
        self.assertLess(time.monotonic() - started, PATIENCE / 2)

    def test_what_came_during_a_send_becomes_one_message(self) -> None:
        began, release = threading.Event(), threading.Event()

        def send(endpoint_type: str) -> None:
            self.sent.append(endpoint_type)
            began.set()
            release.wait(PATIENCE)

        notifier = self.notifier(send)
        self.addCleanup(release.set)
        notifier.notify("identity")
        self.assertTrue(began.wait(PATIENCE))
        for _ in range(100):
            notifier.notify("identity")
        release.set()
        eventually(lambda: len(self.sent) == 2, "the second message")
        notifier.stop(PATIENCE)
        self.assertEqual(2 * ["identity"], self.sent)

    def test_an_error_is_logged_and_later_messages_are_sent(self) -> None:
        failures = [OSError("the broker is away"), RuntimeError("the driver is confused")]

        def send(endpoint_type: str) -> None:
            if failures:
                raise failures.pop(0)
            self.sent.append(endpoint_type)

        notifier = self.notifier(send)
        with self.assertLogs(LOGGER, "WARNING") as logged:
            for number in (1, 2):
                notifier.notify("identity")
                eventually(lambda number=number: len(logged.output) == number, "the log line")
        self.assertIn("the poll will find the work: the broker is away", logged.output[0])
        notifier.notify("identity")
        eventually(lambda: self.sent == ["identity"], "the message after the errors")

    def test_an_error_for_one_endpoint_type_does_not_keep_the_others_back(self) -> None:
        began, release = threading.Event(), threading.Event()

        def send(endpoint_type: str) -> None:
            if endpoint_type == "first":
                began.set()
                release.wait(PATIENCE)
            elif endpoint_type == "broken":
                raise OSError
            else:
                self.sent.append(endpoint_type)

        notifier = self.notifier(send)
        with self.assertLogs(LOGGER, "WARNING"):
            notifier.notify("first")
            self.assertTrue(began.wait(PATIENCE))
            notifier.notify("broken")
            notifier.notify("works")
            release.set()
            eventually(lambda: self.sent == ["works"], "the message that works")

    def test_after_its_end_nothing_is_sent(self) -> None:
        notifier = self.notifier()
        notifier.stop(PATIENCE)
        notifier.notify("identity")
        notifier.stop(PATIENCE)
        self.assertEqual([], self.sent)

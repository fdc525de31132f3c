# SPDX-License-Identifier: Apache-2.0
"""Signals of this very process, sent to itself."""

import os
import select
import signal
import unittest
from signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM

from headwater.cmd.signals import Signals


class SignalsTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in (SIGCHLD, SIGHUP, SIGINT, SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.signals = Signals([SIGTERM, SIGHUP, SIGINT], ignored=[SIGCHLD])
        self.addCleanup(self.signals.close)

    def test_signals_are_kept_in_their_order(self) -> None:
        for number in (SIGTERM, SIGHUP, SIGTERM):
            os.kill(os.getpid(), number)
        self.assertEqual(self.signals.wait(10), [SIGTERM, SIGHUP, SIGTERM])
        self.assertEqual(self.signals.wait(0), [])

    def test_ignored_ones_have_no_effect(self) -> None:
        os.kill(os.getpid(), SIGCHLD)
        self.assertEqual(self.signals.wait(0), [])

    def test_it_can_be_woken(self) -> None:
        self.signals.wake()
        self.assertEqual(self.signals.wait(None), [])

    def test_select_tells_that_something_came(self) -> None:
        self.assertEqual(select.select([self.signals], [], [], 0)[0], [])
        os.kill(os.getpid(), SIGINT)
        self.assertEqual(select.select([self.signals], [], [], 10)[0], [self.signals])
        self.assertEqual(self.signals.wait(0), [SIGINT])

    def test_signals_wait_while_they_are_held_back(self) -> None:
        with self.signals.held_back():
            # To this thread: one for the whole process goes to whichever thread does not wait, and
            # test runners have threads of their own.
            signal.raise_signal(SIGTERM)
            self.assertEqual(self.signals.wait(0), [])
        self.assertEqual(self.signals.wait(10), [SIGTERM])

# SPDX-License-Identifier: Apache-2.0
"""Periodic work comes again, also after an error."""

import unittest

from headwater.engine import periodic
from tests.support.waiting import PATIENCE, eventually


class EveryTest(unittest.TestCase):
    def test_it_runs_at_once_and_then_again_and_again(self) -> None:
        rounds: list[int] = []
        thread = periodic.every(0.001, "test", lambda: rounds.append(1))
        self.addCleanup(thread.stop, PATIENCE)
        self.assertEqual([], rounds)
        thread.start()
        eventually(lambda: len(rounds) >= 3, "three rounds")

    def test_an_error_is_logged_and_the_next_round_comes(self) -> None:
        rounds: list[int] = []

        def work() -> None:
            rounds.append(1)
            if len(rounds) == 1:
                raise ValueError("no luck")

        thread = periodic.every(0.001, "test", work)
        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            thread.start()
            eventually(lambda: len(rounds) >= 2, "the round after the error")
            self.assertTrue(thread.stop(PATIENCE))
        self.assertIn("no luck", logged.output[0])

    def test_between_two_rounds_it_waits(self) -> None:
        rounds: list[int] = []
        thread = periodic.every(3600, "test", lambda: rounds.append(1))
        thread.start()
        eventually(lambda: rounds, "the first round")
        self.assertTrue(thread.stop(PATIENCE))
        self.assertEqual([1], rounds)

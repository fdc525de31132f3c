# SPDX-License-Identifier: Apache-2.0
"""What the supervisor decides by; what it does is in tests/functional/test_supervision.py."""

import unittest

from headwater.cmd.children import Backoff, describe


class BackoffTest(unittest.TestCase):
    def test_it_doubles_up_to_a_bound(self) -> None:
        backoff = Backoff()
        delays = [backoff.delay(0.0) for _ in range(2000)]
        self.assertEqual(delays[:4], [0.1, 0.2, 0.4, 0.8])
        self.assertEqual(delays[-1], 30.0)
        self.assertEqual(delays, sorted(delays))

    def test_a_process_that_lived_for_a_while_is_replaced_at_once(self) -> None:
        self.assertEqual(Backoff().delay(60.0), 0.0)

    def test_a_life_makes_up_for_early_deaths(self) -> None:
        backoff = Backoff()
        for _ in range(10):
            backoff.delay(0.0)
        backoff.delay(60.0)
        self.assertEqual(backoff.delay(0.0), 0.1)


class DescribeTest(unittest.TestCase):
    def test_how_a_process_ended(self) -> None:
        # What waitpid says: the signal in the low bits, the exit code above them.
        self.assertEqual(describe(0), "exit code 0")
        self.assertEqual(describe(3 << 8), "exit code 3")
        self.assertEqual(describe(9), "killed by SIGKILL")
        self.assertEqual(describe(50), "killed by signal 50")

# SPDX-License-Identifier: Apache-2.0
"""What follows an outcome, as a table."""

import unittest

from headwater.common.states import RequestState
from headwater.engine.outcome import Done, Failed, Gone, Outcome, Retry
from headwater.engine.retry import Decision, Policy, decide, delay

POLICY = Policy(max_tries=5, retry_delay=1.0, max_retry_delay=30.0)
#: With this jitter a delay is its full length, as near as a random number below 1 comes.
FULL = 0.999999

COMPLETED, FAILED, QUEUED = RequestState.COMPLETED, RequestState.FAILED, RequestState.QUEUED

BUSY = Retry("503 busy", counts=True)
AWAY = Retry("No answer", counts=False, unreachable=True)
UNREADABLE = Retry("central is away", counts=False)


def asked(seconds: float, *, counts: bool) -> Retry:
    return Retry("later", counts=counts, after=seconds)


#: Outcome, tries before, failures of the lane before; state, tries, error, pause without jitter.
TABLE: tuple[tuple[Outcome, int, int, RequestState, int, str | None, float | None], ...] = (
    (Done(), 0, 0, COMPLETED, 1, None, None),
    (Done("Adopted."), 3, 7, COMPLETED, 4, "Adopted.", None),
    (Gone("It was not there."), 0, 0, COMPLETED, 1, "It was not there.", None),
    (Failed("400 wrong"), 0, 0, FAILED, 1, "400 wrong", None),
    (Failed("400 wrong"), 4, 9, FAILED, 5, "400 wrong", None),
    # The subcloud answers: each try counts, and the delay doubles with each.
    (BUSY, 0, 0, QUEUED, 1, "503 busy", 1),
    (BUSY, 1, 0, QUEUED, 2, "503 busy", 2),
    (BUSY, 2, 0, QUEUED, 3, "503 busy", 4),
    (BUSY, 3, 0, QUEUED, 4, "503 busy", 8),
    (BUSY, 4, 0, FAILED, 5, "503 busy Given up after 5 tries.", None),
    (BUSY, 40, 0, FAILED, 41, "503 busy Given up after 41 tries.", None),
    # It does not: no try is used up, and the delay doubles with the failures of the lane.
    (AWAY, 0, 0, QUEUED, 0, "No answer", 1),
    (AWAY, 4, 1, QUEUED, 4, "No answer", 2),
    (AWAY, 4, 4, QUEUED, 4, "No answer", 16),
    (AWAY, 0, 5, QUEUED, 0, "No answer", 30),
    (AWAY, 4, 10_000, QUEUED, 4, "No answer", 30),
    (UNREADABLE, 4, 0, QUEUED, 4, "central is away", 1),
    (UNREADABLE, 4, 3, QUEUED, 4, "central is away", 8),
    # Both at once: what counts is counted.
    (BUSY, 1, 8, QUEUED, 2, "503 busy", 2),
    # A wait that was asked for is kept if it is longer, and never above the limit.
    (asked(10, counts=True), 0, 0, QUEUED, 1, "later", 10),
    (asked(10, counts=False), 0, 0, QUEUED, 0, "later", 10),
    (asked(0, counts=True), 2, 0, QUEUED, 3, "later", 4),
    (asked(3600, counts=False), 0, 0, QUEUED, 0, "later", 30),
    (asked(10, counts=True), 4, 0, FAILED, 5, "later Given up after 5 tries.", None),
)  # fmt: skip


class DecideTest(unittest.TestCase):
    def test_the_table(self) -> None:
        for outcome, tries, failures, state, new_tries, error, pause in TABLE:
            with self.subTest(f"{outcome} after {tries} tries and {failures} failures"):
                got = decide(
                    outcome, try_count=tries, lane_failures=failures, policy=POLICY, jitter=FULL
                )
                self.assertEqual(Decision(state, new_tries, error, got.pause), got)
                if pause is None:
                    self.assertIsNone(got.pause)
                else:
                    assert got.pause is not None
                    self.assertAlmostEqual(pause, got.pause, places=3)

    def test_a_single_try_may_be_all(self) -> None:
        policy = Policy(max_tries=1, retry_delay=1.0, max_retry_delay=30.0)
        got = decide(BUSY, try_count=0, lane_failures=0, policy=policy, jitter=0.0)
        self.assertEqual(Decision(FAILED, 1, "503 busy Given up after 1 tries."), got)

    def test_the_same_values_give_the_same_decision(self) -> None:
        first, second = (
            decide(AWAY, try_count=1, lane_failures=2, policy=POLICY, jitter=0.3) for _ in range(2)
        )
        self.assertEqual(first, second)


class DelayTest(unittest.TestCase):
    def test_jitter_takes_away_at_most_half(self) -> None:
        for number in range(1, 12):
            full = min(30.0, 2.0 ** (number - 1))
            self.assertEqual(full / 2, delay(number, POLICY, 0.0))
            self.assertAlmostEqual(full * 0.75, delay(number, POLICY, 0.5))
            self.assertLess(delay(number, POLICY, FULL), full)
            self.assertAlmostEqual(full, delay(number, POLICY, FULL), places=3)

    def test_it_never_shrinks_and_never_passes_the_limit(self) -> None:
        delays = [delay(number, POLICY, 0.5) for number in (*range(1, 40), 10**6, 10**18)]
        self.assertEqual(sorted(delays), delays)
        self.assertLessEqual(delays[-1], 30.0)

    def test_a_limit_below_the_first_delay_counts(self) -> None:
        policy = Policy(max_tries=5, retry_delay=10.0, max_retry_delay=2.0)
        self.assertEqual(1.0, delay(1, policy, 0.0))

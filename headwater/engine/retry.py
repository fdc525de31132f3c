# SPDX-License-Identifier: Apache-2.0
"""Decides what follows an outcome. Pure: takes values, gives values."""

from dataclasses import dataclass

from headwater.common.states import RequestState
from headwater.engine.outcome import Done, Failed, Gone, Outcome


@dataclass(frozen=True)
class Policy:
    """The limits of [engine]; delays in seconds."""

    max_tries: int
    retry_delay: float
    max_retry_delay: float


@dataclass(frozen=True)
class Decision:
    """The request's next state; `pause` in seconds stops the lane, None lets it go on."""

    state: RequestState
    try_count: int
    error: str | None
    pause: float | None = None


def decide(
    outcome: Outcome, *, try_count: int, lane_failures: int, policy: Policy, jitter: float
) -> Decision:
    """What becomes of a request that was tried `try_count` times before this outcome.

    `lane_failures` is the number of pauses of its lane since the last success; `jitter` a random
    number in [0, 1), so that lanes which failed together do not come back together.
    """
    if isinstance(outcome, Done | Gone):
        return Decision(RequestState.COMPLETED, try_count + 1, outcome.note)
    if isinstance(outcome, Failed):
        return Decision(RequestState.FAILED, try_count + 1, outcome.reason)
    tries = try_count + 1 if outcome.counts else try_count
    if outcome.counts and tries >= policy.max_tries:
        return Decision(
            RequestState.FAILED, tries, f"{outcome.reason} Given up after {tries} tries."
        )
    pause = delay(tries if outcome.counts else lane_failures + 1, policy, jitter)
    if outcome.after is not None:
        pause = min(max(pause, outcome.after), policy.max_retry_delay)
    return Decision(RequestState.QUEUED, tries, outcome.reason, pause)


def delay(number: int, policy: Policy, jitter: float) -> float:
    """Seconds to wait after the `number`-th failure: doubled each time, 50 to 100 % of it."""
    # Beyond 2**30 the limit has long been reached; the exponent stays small.
    full: float = min(policy.max_retry_delay, policy.retry_delay * 2 ** min(number - 1, 30))
    return full * (0.5 + jitter / 2)

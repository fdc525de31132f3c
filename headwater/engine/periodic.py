# SPDX-License-Identifier: Apache-2.0
"""Work that is due again and again, each on a thread of its own."""

from collections.abc import Callable

from headwater.common.concurrency import StoppableThread


def every(seconds: float, name: str, work: Callable[[], object]) -> StoppableThread:
    """A thread, not started yet, that does `work` at once and then every `seconds`.

    An error is logged and the next round comes as usual.
    """

    def step() -> float:
        work()
        return seconds

    return StoppableThread(name, step, error_delay=seconds)

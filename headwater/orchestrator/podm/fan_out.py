# SPDX-License-Identifier: Apache-2.0
"""Reads many things of a pod at a time, and holds none up for one that does not answer."""

import logging
import queue
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from headwater.common.errors import ExchangeError
from headwater.orchestrator.podm.drivers import Busy, PodRefused

LOG = logging.getLogger(__name__)

_Read = TypeVar("_Read")

#: Chains that are read at a time.
_AT_A_TIME = 100

#: Seconds between two looks at the lease.
_LOOK = 1.0


@dataclass(frozen=True)
class Silent:
    """It could not be read."""

    reason: str
    #: It was not asked, or has no time: whether it would answer is not known.
    busy: bool = False


def read_all(
    chains: Sequence[Sequence[str]],
    read: Callable[[str], _Read],
    guard: Callable[[], None],
    *,
    longest: float | None = None,
) -> Generator[tuple[str, _Read | Silent], None, None]:
    """Read what the chains name, each chain one after the other; gives names and what was read.

    As it comes. What raises an error is Silent; one of ours that nobody expected is logged. One
    that takes more than `longest` seconds is Silent with the rest of its chain. `guard` is called
    every second, and what it raises ends it. Close the iterator, or whatever hangs keeps it.
    """
    reading = _Reading(chains, read)
    try:
        told = time.monotonic()
        while reading.left:
            found = reading.next(_LOOK)
            if found is not None:
                yield found
            if time.monotonic() - told >= _LOOK:
                told = time.monotonic()
                guard()
                if longest is not None:
                    yield from reading.give_up(longest)
    finally:
        reading.stop()


class _Reading(Generic[_Read]):
    """The threads of one `read_all`."""

    def __init__(self, chains: Sequence[Sequence[str]], read: Callable[[str], _Read]):
        self._chains, self._read = chains, read
        #: What has not ended, with the number of its chain.
        self.left = {name: number for number, chain in enumerate(chains) for name in chain}
        #: When each chain began what it is at.
        self._began: dict[int, float] = {}
        self._given_up: set[int] = set()
        self._ended: queue.Queue[tuple[str, Future[_Read]]] = queue.Queue()
        workers = max(1, min(len(chains), _AT_A_TIME))
        # Not as a context: a worker that lost its lease does not wait for what hangs.
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read-pod")
        for number in range(len(chains)):
            self._pool.submit(self._run, number)

    def _run(self, number: int) -> None:
        for name in self._chains[number]:
            if number in self._given_up:
                return
            self._began[number] = time.monotonic()
            done: Future[_Read] = Future()
            try:
                done.set_result(self._read(name))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                done.set_exception(error)
            self._ended.put((name, done))
        self._began.pop(number, None)

    def next(self, patience: float) -> tuple[str, _Read | Silent] | None:
        """What ended next, within some seconds."""
        try:
            name, done = self._ended.get(timeout=patience)
        except queue.Empty:
            # One that sends a byte now and then: the deadline takes the lease.
            return None
        if self.left.pop(name, None) is None:
            return None
        try:
            return name, done.result()
        except (ExchangeError, PodRefused) as error:
            return name, Silent(str(error), busy=isinstance(error, Busy))
        except Exception as error:
            # Whatever one of them makes us stumble over, the others are read.
            LOG.exception("%s cannot be read", name)
            return name, Silent(f"Internal error: {type(error).__name__}; see the log.")

    def give_up(self, longest: float) -> Iterator[tuple[str, Silent]]:
        """Leave the chains alone that have been at one thing for so long."""
        limit = time.monotonic() - longest
        late = {number for number, began in dict(self._began).items() if began < limit}
        self._given_up |= late
        told: set[int] = set()
        for name, number in list(self.left.items()):
            if number in late:
                del self.left[name]
                # The first that is left of a chain is what it is at; of the others nobody knows.
                busy, reason = number in told, f"No whole answer within {longest:g} s."
                told.add(number)
                yield name, Silent(f"Not read: {reason}" if busy else reason, busy)

    def stop(self) -> None:
        """Begin nothing more."""
        self._given_up.update(range(len(self._chains)))
        self._pool.shutdown(wait=False, cancel_futures=True)

# SPDX-License-Identifier: Apache-2.0
"""The worker: finds what wants to run, holds it under leases, runs it on a pool of threads.

What that is, lanes or tasks, its source knows. The database is the truth: everything that `wake`
starts, the poll would start too.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from headwater.common.concurrency import BoundedPool, StoppableThread
from headwater.engine.lease import Lease, Row, ticks

LOG = logging.getLogger(__name__)

#: Seconds until something due that could not be claimed is first looked at again.
_AGAIN = 0.2


class Source(Protocol[Row]):
    """What a worker works on. All methods but `run` are called by the worker's own two threads."""

    #: For logs, such as "lanes".
    what: str

    def ask(self, names: Collection[str]) -> int:
        """Ask for what is new under these names; how many rows that were."""

    def poll(self) -> None:
        """Ask for what no message told of."""

    def rescue(self) -> int:
        """Ask again for what lost workers held; how many."""

    def claim(self, limit: int, owner: str, lease: float) -> Sequence[Row]:
        """Take at most `limit` rows that are due, for `lease` seconds."""

    def renew(self, owner: str, ids: Collection[int], lease: float) -> set[tuple[int, int]]:
        """Keep rows; the ids and generations that are still held."""

    def next_due(self) -> float | None:
        """Seconds until something may be claimed; negative when it may be now, None for never."""

    def run(self, lease: Lease[Row], stopping: Callable[[], bool]) -> float | None:
        """Run what is held and give it back; seconds for which it rests, None when it does not."""

    def tidy(self) -> float | None:
        """Do what follows from runs; seconds until there is more to do, None for nothing."""


@dataclass(frozen=True)
class WorkerSettings:
    """The values of [engine] that shape the loop; times in seconds."""

    threads: int
    lease: float
    poll_interval: float


def owner_name() -> str:
    """A name for leases that no other process, living or dead, has: host, process, random."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Worker(Generic[Row]):
    """One worker process's loop. `start` and `stop` may be called once each.

    `spread` is called when more wants to run than this worker can take, so that it may wake the
    others; it must return at once.
    """

    def __init__(
        self,
        source: Source[Row],
        settings: WorkerSettings,
        spread: Callable[[], None] | None = None,
    ):
        self.owner = owner_name()
        self._source, self._settings, self._spread = source, settings, spread
        self._pool = BoundedPool(settings.threads, source.what)
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        # By generation too: a row may be lost and claimed anew while its first run still ends.
        self._held: dict[tuple[int, int], Lease[Row]] = {}
        # Moments of the monotonic clock.
        self._next_poll = 0.0
        self._next_look = 0.0
        self._next_tidy: float | None = None
        self._more_wait = False
        self._again = _AGAIN
        self._stopping = False
        self._loop = StoppableThread(f"worker-{source.what}", self._step)
        self._heartbeat = StoppableThread(f"heartbeat-{source.what}", self._renew)

    def start(self) -> None:
        """Begin to claim and run."""
        LOG.info(
            "Worker %s starts with %d green threads for %s",
            self.owner,
            self._settings.threads,
            self._source.what,
        )
        self._heartbeat.start()
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Claim nothing more and let what runs end at its next safe point.

        What does not end within `timeout` seconds is continued by another worker when its lease is
        over; all else by any worker at once.
        """
        deadline = time.monotonic() + timeout
        self._stopping = True
        self._loop.stop(timeout)
        if not self._pool.drain(max(0.0, deadline - time.monotonic())):
            left = sorted(row_id for row_id, _ in self._held)
            LOG.warning("Worker %s leaves %s behind: %s", self.owner, self._source.what, left)
        self._heartbeat.stop(max(0.1, deadline - time.monotonic()))

    def wake(self, names: Collection[str]) -> None:
        """Ask for what has something new under these names. Never blocks."""
        with self._lock:
            self._asked.update(names)
        self._loop.wake()

    def look(self) -> None:
        """Claim now: somebody else asked for more than it can take. Never blocks."""
        self._loop.wake()

    def _step(self) -> float:
        asked = self._ask()
        if time.monotonic() >= self._next_poll:
            self._source.poll()
            self._next_poll = time.monotonic() + self._settings.poll_interval
            self._next_look = 0.0
        look = time.monotonic() >= self._next_look
        if look:
            lost = self._source.rescue()
            if lost:
                LOG.warning("%d %s are continued whose worker was lost", lost, self._source.what)
        claimed = self._claim()
        if asked > claimed and self._more_wait and self._spread is not None:
            self._spread()
        wait = self._source.tidy()
        self._next_tidy = None if wait is None else time.monotonic() + wait
        if look:
            self._plan()
        elif asked > claimed:
            # Some may have been locked just now: look again soon.
            self._next_look = min(self._next_look, time.monotonic() + _AGAIN)
        return self._delay()

    def _ask(self) -> int:
        """Ask for what somebody woke us for; how many rows."""
        with self._lock:
            asked, self._asked = self._asked, set()
        if not asked:
            return 0
        try:
            return self._source.ask(asked)
        except Exception:
            with self._lock:
                self._asked.update(asked)
            raise

    def _claim(self) -> int:
        """Take as many rows as there are free threads, and run them; returns how many."""
        free = self._pool.free
        self._more_wait = not free
        if not free:
            return 0
        began = ticks()
        claimed = self._source.claim(free, self.owner, self._settings.lease)
        self._more_wait = len(claimed) == free
        for row in claimed:
            lease = Lease(row, self._settings.lease, began)
            with self._lock:
                self._held[row.id, row.generation] = lease
            # Only this loop submits, so a slot that was free still is.
            started = self._pool.submit(lambda lease=lease: self._run(lease))  # type: ignore[misc]
            if not started:
                # Not renewed, it runs elsewhere when its lease is over.
                self._forget(lease)
        if claimed:
            self._again = _AGAIN
        return len(claimed)

    def _run(self, lease: Lease[Row]) -> None:
        try:
            pause = self._source.run(lease, lambda: self._stopping)
            if pause is not None:
                with self._lock:
                    self._next_look = min(self._next_look, time.monotonic() + pause)
        finally:
            self._forget(lease)
            self._loop.wake()

    def _forget(self, lease: Lease[Row]) -> None:
        with self._lock:
            self._held.pop((lease.row.id, lease.row.generation), None)

    def _plan(self) -> None:
        """Decide when to claim next without being woken.

        When the next row leaves its back-off or the next lease ends, and at least twice per lease:
        what a killed worker held runs elsewhere within two leases, whatever the poll interval is.
        """
        latest = time.monotonic() + min(self._settings.poll_interval, self._settings.lease / 2)
        with self._lock:
            # Before it is asked: a job that ends from here on adds its own moment to this one.
            self._next_look = latest
        due = self._source.next_due()
        if due is not None and due <= 0:
            # The claim a moment ago had to leave it: another one has it in hand, or as much runs
            # at a time as may. Less and less often, until something can be claimed.
            due, self._again = self._again, 2 * self._again
        if due is not None:
            with self._lock:
                self._next_look = min(self._next_look, time.monotonic() + due)

    def _delay(self) -> float:
        """Seconds until something is due: the poll, a job to finish, a row to claim."""
        moments = [self._next_poll]
        if self._next_tidy is not None:
            moments.append(self._next_tidy)
        if not self._more_wait:
            moments.append(self._next_look)
        return max(0.0, min(moments) - time.monotonic())

    def _renew(self) -> float:
        with self._lock:
            held = dict(self._held)
        if held:
            began = ticks()
            ids = {row_id for row_id, _ in held}
            kept = self._source.renew(self.owner, ids, self._settings.lease)
            for key, lease in held.items():
                if key in kept:
                    lease.renewed(began)
                else:
                    lease.lose()
        return self._settings.lease / 3

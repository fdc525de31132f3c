# SPDX-License-Identifier: Apache-2.0
"""The worker: finds lanes that want to run, holds them under a lease, runs them on a pool.

The database is the truth: everything that `wake` starts, the poll would start too.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from headwater.common.concurrency import BoundedPool, StoppableThread
from headwater.db import claims, jobs, lanes
from headwater.db.connection import Database
from headwater.engine.execution import LaneRunner
from headwater.engine.lease import Lease, ticks

LOG = logging.getLogger(__name__)

#: Shortest wait in seconds between two looks for finished jobs.
_FINISH_INTERVAL = 1.0

#: Seconds until a due lane that could not be claimed is first looked at again.
_AGAIN = 0.2


@dataclass(frozen=True)
class WorkerSettings:
    """The values of [engine] that shape the loop; times in seconds."""

    #: Lanes of other endpoint types are left to workers that know them.
    endpoint_types: tuple[str, ...]
    threads: int
    lanes_per_subcloud: int
    lease: float
    poll_interval: float


def owner_name() -> str:
    """A name for leases that no other process, living or dead, has: host, process, random."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Worker:
    """One worker process's loop. `start` and `stop` may be called once each.

    `spread` is called when more lanes want to run than this worker can take, so that it may wake
    the others; it must return at once.
    """

    def __init__(
        self,
        database: Database,
        runner: LaneRunner,
        settings: WorkerSettings,
        spread: Callable[[], None] | None = None,
    ):
        self.owner = owner_name()
        self._database, self._runner, self._settings = database, runner, settings
        self._spread = spread
        self._pool = BoundedPool(settings.threads, "lane")
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        # By generation too: a lane may be lost and claimed anew while its first run still ends.
        self._held: dict[tuple[int, int], Lease] = {}
        self._touched: set[int] = set()
        # Moments of the monotonic clock.
        self._next_poll = 0.0
        self._next_look = 0.0
        self._next_finish = 0.0
        self._more_wait = False
        self._again = _AGAIN
        self._stopping = False
        self._loop = StoppableThread("engine-worker", self._step)
        self._heartbeat = StoppableThread("heartbeat", self._renew)

    def start(self) -> None:
        """Begin to claim and run lanes."""
        LOG.info("Worker %s starts with %d green threads", self.owner, self._settings.threads)
        self._heartbeat.start()
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Claim nothing more and let running lanes end after the request at hand.

        What does not end within `timeout` seconds is continued by another worker when its lease is
        over; all else by any worker at once.
        """
        deadline = time.monotonic() + timeout
        self._stopping = True
        self._loop.stop(timeout)
        if not self._pool.drain(max(0.0, deadline - time.monotonic())):
            left = sorted(lane_id for lane_id, _ in self._held)
            LOG.warning("Worker %s leaves lanes behind: %s", self.owner, left)
        self._heartbeat.stop(max(0.1, deadline - time.monotonic()))

    def wake(self, endpoint_types: Collection[str]) -> None:
        """Ask for the lanes of these endpoint types that have something new. Never blocks."""
        with self._lock:
            self._asked.update(endpoint_types)
        self._loop.wake()

    def look(self) -> None:
        """Claim now: somebody else asked for more lanes than it can take. Never blocks."""
        self._loop.wake()

    def _step(self) -> float:
        asked_lanes = self._ask()
        if time.monotonic() >= self._next_poll:
            lanes.request(self._database, self._settings.endpoint_types, forgotten=True)
            self._next_poll = time.monotonic() + self._settings.poll_interval
            self._next_look = 0.0
        look = time.monotonic() >= self._next_look
        if look:
            lost = claims.rescue(self._database, self._settings.endpoint_types)
            if lost:
                LOG.warning("%d lanes are continued whose worker was lost", lost)
        claimed = self._claim()
        if asked_lanes > claimed and self._more_wait and self._spread is not None:
            self._spread()
        self._finish_jobs()
        if look:
            self._plan()
        elif asked_lanes > claimed:
            # Some may have been locked just now: look again soon.
            self._next_look = min(self._next_look, time.monotonic() + _AGAIN)
        return self._delay()

    def _ask(self) -> int:
        """Ask for the lanes of the endpoint types that somebody woke us for; how many."""
        with self._lock:
            asked, self._asked = self._asked, set()
        if not asked:
            return 0
        try:
            return lanes.request(self._database, asked)
        except Exception:
            with self._lock:
                self._asked.update(asked)
            raise

    def _claim(self) -> int:
        """Take as many lanes as there are free threads, and run them; returns how many."""
        settings = self._settings
        free = self._pool.free
        self._more_wait = not free
        if not free:
            return 0
        wanted = claims.Wanted(settings.endpoint_types, free, settings.lanes_per_subcloud)
        began = ticks()
        claimed = claims.claim(self._database, wanted, self.owner, settings.lease)
        self._more_wait = len(claimed) == free
        for lane in claimed:
            lease = Lease(lane, settings.lease, began)
            with self._lock:
                self._held[lane.id, lane.generation] = lease
            # Only this loop submits, so a slot that was free still is.
            started = self._pool.submit(lambda lease=lease: self._run(lease))  # type: ignore[misc]
            if not started:
                # Not renewed, it runs elsewhere when its lease is over.
                self._forget(lease)
        if claimed:
            self._again = _AGAIN
        return len(claimed)

    def _run(self, lease: Lease) -> None:
        try:
            run = self._runner.run(lease, lambda: self._stopping)
            with self._lock:
                self._touched.update(run.touched)
                if run.pause is not None:
                    self._next_look = min(self._next_look, time.monotonic() + run.pause)
        finally:
            self._forget(lease)
            self._loop.wake()

    def _forget(self, lease: Lease) -> None:
        with self._lock:
            self._held.pop((lease.lane.id, lease.lane.generation), None)

    def _finish_jobs(self) -> None:
        """Drop the bodies of finished jobs, at most once a second: it reads many requests."""
        with self._lock:
            if not self._touched or time.monotonic() < self._next_finish:
                return
            touched, self._touched = self._touched, set()
        self._next_finish = time.monotonic() + _FINISH_INTERVAL
        try:
            jobs.finish(self._database, touched)
        except Exception:
            with self._lock:
                self._touched.update(touched)
            raise

    def _plan(self) -> None:
        """Decide when to claim next without being woken.

        When the next lane leaves its back-off or the next lease ends, and at least twice per lease:
        lanes of a killed worker run elsewhere within two leases, whatever the poll interval is.
        """
        latest = time.monotonic() + min(self._settings.poll_interval, self._settings.lease / 2)
        due = claims.next_due(self._database, self._settings.endpoint_types)
        if due is not None and due <= 0:
            # The claim a moment ago had to leave it: another one has it in hand, or its subcloud
            # runs as many lanes as it may. Less and less often, until something can be claimed.
            due, self._again = self._again, 2 * self._again
        with self._lock:
            self._next_look = latest if due is None else min(latest, time.monotonic() + due)

    def _delay(self) -> float:
        """Seconds until something is due: the poll, a job to finish, a lane to claim."""
        moments = [self._next_poll]
        if self._touched:
            moments.append(self._next_finish)
        if not self._more_wait:
            moments.append(self._next_look)
        return max(0.0, min(moments) - time.monotonic())

    def _renew(self) -> float:
        with self._lock:
            held = dict(self._held)
        if held:
            began = ticks()
            ids = {lane_id for lane_id, _ in held}
            kept = claims.renew(self._database, self.owner, ids, self._settings.lease)
            for key, lease in held.items():
                if key in kept:
                    lease.renewed(began)
                else:
                    lease.lose()
        return self._settings.lease / 3

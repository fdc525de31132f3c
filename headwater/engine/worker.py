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
from collections.abc import Collection
from dataclasses import dataclass

from headwater.common import clock
from headwater.common.concurrency import BoundedPool, StoppableThread
from headwater.db import jobs, lanes
from headwater.db.connection import Database
from headwater.db.records import ClaimedLane
from headwater.engine.execution import LaneRunner

LOG = logging.getLogger(__name__)

#: Shortest wait in seconds between two looks for finished jobs.
_FINISH_INTERVAL = 1.0


@dataclass(frozen=True)
class WorkerSettings:
    """The values of [engine] that shape the loop; times in seconds."""

    #: Lanes of other endpoint types are left to workers that know them.
    endpoint_types: tuple[str, ...]
    threads: int
    lease: float
    poll_interval: float


class Worker:
    """One worker process's loop. `start` and `stop` may be called once each."""

    def __init__(self, database: Database, runner: LaneRunner, settings: WorkerSettings):
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._database, self._runner, self._settings = database, runner, settings
        self._pool = BoundedPool(settings.threads, "lane")
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        # By generation too: a lane may be lost and claimed anew while its first run still ends.
        self._held: set[tuple[int, int]] = set()
        self._touched: set[int] = set()
        self._next_poll = 0.0
        self._next_finish = 0.0
        self._more_wait = False
        self._loop = StoppableThread("engine-worker", self._step)
        self._heartbeat = StoppableThread("heartbeat", self._renew)

    def start(self) -> None:
        """Begin to claim and run lanes."""
        LOG.info("Worker %s starts with %d green threads", self.owner, self._settings.threads)
        self._heartbeat.start()
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Claim nothing more and let running lanes end within `timeout` seconds.

        What does not end is continued by another worker when the lease is over.
        """
        deadline = time.monotonic() + timeout
        self._loop.stop(timeout)
        if not self._pool.drain(max(0.0, deadline - time.monotonic())):
            left = sorted(lane_id for lane_id, _ in self._held)
            LOG.warning("Worker %s leaves lanes behind: %s", self.owner, left)
        self._heartbeat.stop(max(0.1, deadline - time.monotonic()))

    def wake(self, endpoint_types: Collection[str]) -> None:
        """Look now: there is something new for these endpoint types. Never blocks."""
        with self._lock:
            self._asked.update(endpoint_types)
        self._loop.wake()

    def _step(self) -> float:
        with self._lock:
            asked, self._asked = self._asked, set()
        if asked:
            lanes.request(self._database, asked)
        if time.monotonic() >= self._next_poll:
            lanes.request(self._database, self._settings.endpoint_types, forgotten=True)
            self._next_poll = time.monotonic() + self._settings.poll_interval
        self._claim()
        self._finish_jobs()
        return self._delay()

    def _claim(self) -> None:
        free = self._pool.free
        if not free:
            self._more_wait = True
            return
        claimed = lanes.claim(
            self._database, self._settings.endpoint_types, self.owner, self._settings.lease, free
        )
        self._more_wait = len(claimed) == free
        with self._lock:
            self._held.update((lane.id, lane.generation) for lane in claimed)
        for lane in claimed:
            # Only this loop submits, so a slot that was free still is.
            started = self._pool.submit(lambda lane=lane: self._run(lane))  # type: ignore[misc]
            if not started:
                # Not renewed, it runs elsewhere when its lease is over.
                with self._lock:
                    self._held.discard((lane.id, lane.generation))

    def _run(self, lane: ClaimedLane) -> None:
        try:
            touched = self._runner.run(lane)
            with self._lock:
                self._touched.update(touched)
        finally:
            with self._lock:
                self._held.discard((lane.id, lane.generation))
            self._loop.wake()

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

    def _delay(self) -> float:
        """Seconds until something is due: the poll, a job to finish, a lane after its back-off."""
        now = time.monotonic()
        delay = self._next_poll - now
        if self._touched:
            delay = min(delay, self._next_finish - now)
        if not self._more_wait:
            due = lanes.next_due(self._database, self._settings.endpoint_types)
            if due is not None:
                delay = min(delay, (due - clock.now()).total_seconds())
        return max(0.0, delay)

    def _renew(self) -> float:
        with self._lock:
            held = {lane_id for lane_id, _ in self._held}
        if held:
            lanes.renew(self._database, self.owner, held, self._settings.lease)
        return self._settings.lease / 3

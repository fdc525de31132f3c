# SPDX-License-Identifier: Apache-2.0
"""Work that is due again and again, run by one engine at a time however many there are."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from headwater.common.concurrency import StoppableThread
from headwater.common.errors import LeaseLost
from headwater.db import periodic
from headwater.db.connection import Database

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Periodic:
    """A kind of work; `run` must be safe to repeat and to be broken off at any point."""

    name: str
    #: Seconds from the end of a run to the next.
    interval: float
    run: Callable[[], object]


class PeriodicRunner:
    """Claims each kind of work in the database when it is due, and runs it on a thread of its own.

    Several engines on several hosts share the work; when one is killed in the middle, another runs
    the work again once the lease has ended.
    """

    def __init__(self, database: Database, owner: str, works: tuple[Periodic, ...], lease: float):
        self._database, self._owner, self._lease = database, owner, lease
        self._threads = [
            StoppableThread(work.name, lambda work=work: self._step(work))  # type: ignore[misc]
            for work in works
        ]
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._heartbeat = StoppableThread("periodic-heartbeat", self._renew)

    def start(self) -> None:
        """Begin; what is due runs at once."""
        self._heartbeat.start()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> None:
        """Start nothing more and let what runs end within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.stop(0.0)
        for thread in self._threads:
            if not thread.stop(max(0.0, deadline - time.monotonic())):
                LOG.warning("Periodic work is left in the middle; another engine repeats it")
        self._heartbeat.stop(max(0.1, deadline - time.monotonic()))

    def _step(self, work: Periodic) -> float:
        turn = periodic.claim(self._database, work.name, self._owner, self._lease)
        if turn.generation is None:
            # No longer than a lease, for the one that runs it may be killed.
            return min(turn.due_in, self._lease)
        with self._lock:
            self._held[work.name] = turn.generation
        error = None
        try:
            work.run()
        except Exception as failure:
            LOG.exception("Periodic work %s failed; it is due again as usual", work.name)
            error = f"{type(failure).__name__}: {failure}"
        finally:
            with self._lock:
                del self._held[work.name]
        periodic.finish(self._database, work.name, turn.generation, work.interval, error)
        return min(work.interval, self._lease)

    def _renew(self) -> float:
        with self._lock:
            held = dict(self._held)
        for name, generation in held.items():
            try:
                periodic.renew(self._database, name, generation, self._lease)
            except LeaseLost as error:
                with self._lock:
                    running = self._held.get(name) == generation
                if running:  # and did not end while it was asked
                    LOG.warning("Periodic work may run twice: %s", error)
        return self._lease / 3

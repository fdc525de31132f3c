# SPDX-License-Identifier: Apache-2.0
"""Threads that stop, and pools that are bounded.

Everything is written for `threading`. The console scripts monkey-patch first, which turns these
threads into green threads; under a threaded WSGI server and in tests they are ordinary ones.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

LOG = logging.getLogger(__name__)


#: Seconds between two steps of a thread that has always something to do.
_SHORTEST_WAIT = 0.01


class BoundedPool:
    """Runs at most `size` jobs at a time, each on a thread of its own.

    `free` is how many more would start at once. `submit` never blocks: it refuses when full, so
    that the caller claims no more work than can run.
    """

    def __init__(self, size: int, name: str):
        self.size = size
        self._name = name
        self._running = 0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """Number of jobs that would start at once."""
        with self._changed:
            return self.size - self._running

    def submit(self, job: Callable[[], None]) -> bool:
        """Start `job`; False when the pool is full. An error in a job is logged, never lost."""
        with self._changed:
            if self._running >= self.size:
                return False
            self._running += 1
        try:
            threading.Thread(target=self._run, args=(job,), name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            LOG.exception("No thread for a job of the pool %s", self._name)
            with self._changed:
                self._running -= 1
            return False
        return True

    def drain(self, timeout: float) -> bool:
        """Wait until no job runs; False when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout)

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            LOG.exception("A job of the pool %s ended with an error", self._name)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()


class LateWork:
    """Work that could not be done when it was due, done in order as soon as it can be.

    Each piece is tried again every second while it raises `not_yet`; any other error ends it with a
    log line. At most `limit` pieces wait; the newest are refused, with a log line.
    """

    def __init__(self, name: str, not_yet: type[Exception], limit: int = 1000):
        self._not_yet, self._limit = not_yet, limit
        self._waiting: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._thread = StoppableThread(name, self._step)
        self._started = False

    def add(self, piece: Callable[[], object]) -> None:
        """Do `piece` later. Never blocks."""
        with self._lock:
            if len(self._waiting) >= self._limit:
                LOG.error("More than %d pieces of work wait already; one is left", self._limit)
                return
            self._waiting.append(piece)
            if not self._started:
                self._started = True
                self._thread.start()
        self._thread.wake()

    def stop(self, timeout: float) -> None:
        """Try no more after the present piece; what waits is left."""
        self._thread.stop(timeout)

    def _step(self) -> float:
        while self._waiting:
            try:
                self._waiting[0]()
            except self._not_yet:
                return 1.0
            except Exception:
                LOG.exception("A piece of late work failed")
            self._waiting.popleft()
        return 3600.0


class StoppableThread:
    """A thread that calls `step` again and again until it is stopped.

    `step` returns how many seconds may pass until its next turn; `wake` ends that wait. An error in
    a step is logged and the thread goes on after `error_delay` seconds: a database that is away for
    a minute must not end a service.
    """

    def __init__(self, name: str, step: Callable[[], float], error_delay: float = 1.0):
        self._name, self._step, self._error_delay = name, step, error_delay
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first step runs at once."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the next step run now."""
        self._wake.set()

    def stop(self, timeout: float) -> bool:
        """End after the present step; False when `timeout` seconds were not enough."""
        self._stopping = True
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                delay = self._step()
            except Exception:
                LOG.exception("%s: a step failed, the next one follows", self._name)
                delay = self._error_delay
            if not self._stopping:
                # Never zero: a wait of zero does not let other green threads run.
                self._wake.wait(max(delay, _SHORTEST_WAIT))

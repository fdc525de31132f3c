# SPDX-License-Identifier: Apache-2.0
"""Waits for jobs to come on: one look at the database for all that wait in a process."""

import threading
import time
from collections import Counter

from headwater.common.concurrency import StoppableThread
from headwater.common.errors import NotFound
from headwater.common.states import JobState
from headwater.db import jobs
from headwater.db.connection import Database
from headwater.db.records import JobSummary

#: Seconds for which the looking thread sleeps where nobody waits; who does wakes it.
_IDLE = 3600.0

#: Nothing is left to run, unless an operator asks for it.
_ENDS = (JobState.COMPLETED, JobState.FAILED)


class JobWatch:
    """Safe for many threads. It looks only while somebody waits.

    `interval` is the time between two looks in seconds. A database that is away is looked for again
    after it; who waits is told nothing meanwhile.
    """

    def __init__(self, database: Database, interval: float = 0.25):
        self._database, self._interval = database, interval
        self._condition = threading.Condition()
        self._wanted: Counter[int] = Counter()
        self._seen: dict[int, JobSummary] = {}
        self._thread = StoppableThread("job-watch", self._look, error_delay=interval)
        self._started, self._idle = False, True

    def settled(self, job: JobSummary, timeout: float) -> JobSummary:
        """The job once nothing of it is left to run, or as it is after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not is_settled(job) and (left := deadline - time.monotonic()) > 0:
            job = self.changed(job, left)
        return job

    def changed(self, job: JobSummary, timeout: float) -> JobSummary:
        """The job once it is not as `job` any more, or as it is after `timeout` seconds.

        Raises NotFound when it was forgotten meanwhile.
        """
        key = job.job.id
        deadline = time.monotonic() + timeout
        with self._condition:
            self._wanted[key] += 1
            # The last look may be older than what the caller knows.
            self._seen.pop(key, None)
            self._rouse()
            try:
                while self._seen.get(key, job) == job:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._condition.wait(left):
                        break
                found = self._seen.get(key, job)
            finally:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]
                    self._seen.pop(key, None)
        if found is _FORGOTTEN:
            raise NotFound(f"The job {job.job.uuid} was forgotten meanwhile.")
        return found

    def _rouse(self) -> None:
        """Begin to look, where nobody waited; the time between two looks is kept."""
        if not self._started:
            self._started = True
            self._thread.start()
        elif self._idle:
            self._thread.wake()
        self._idle = False

    def _look(self) -> float:
        with self._condition:
            wanted = list(self._wanted)
            self._idle = not wanted
        if not wanted:
            return _IDLE
        found = {each.job.id: each for each in jobs.of_ids(self._database, wanted)}
        with self._condition:
            for key in wanted:
                if key in self._wanted:
                    self._seen[key] = found.get(key, _FORGOTTEN)
            self._condition.notify_all()
        return self._interval


def is_settled(job: JobSummary) -> bool:
    """Whether nothing of a job is left to run."""
    return job.state in _ENDS


#: Stands for a job that is in the database no more.
_FORGOTTEN: JobSummary = JobSummary(job=None, counts={})  # type: ignore[arg-type]

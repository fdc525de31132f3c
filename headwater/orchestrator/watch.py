# SPDX-License-Identifier: Apache-2.0
"""Waits for jobs and tasks to come on: one look at the database for all that wait in a process."""

import abc
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from headwater.common.concurrency import StoppableThread
from headwater.common.errors import NotFound
from headwater.common.states import ENDED, JobState
from headwater.db import jobs, tasks
from headwater.db.connection import Database
from headwater.db.pod_records import Task
from headwater.db.records import JobSummary

_Record = TypeVar("_Record")

#: Seconds for which the looking thread sleeps where nobody waits; who does wakes it.
_IDLE = 3600.0

#: Nothing is left to run, unless an operator asks for it.
_ENDS = (JobState.COMPLETED, JobState.FAILED)


class Watch(abc.ABC, Generic[_Record]):
    """Safe for many threads. It looks only while somebody waits.

    `interval` is the time between two looks in seconds. A database that is away is looked for again
    after it; who waits is told nothing meanwhile.
    """

    #: For people, such as "job".
    what: str

    def __init__(self, database: Database, interval: float = 0.25):
        self._database, self._interval = database, interval
        self._condition = threading.Condition()
        self._wanted: Counter[int] = Counter()
        # None: it is in the database no more.
        self._seen: dict[int, _Record | None] = {}
        self._thread = StoppableThread(f"{self.what}-watch", self._look, error_delay=interval)
        self._started, self._idle = False, True

    @abc.abstractmethod
    def ended(self, record: _Record) -> bool:
        """Whether it does not come on any more by itself."""

    @abc.abstractmethod
    def _key(self, record: _Record) -> int:
        """Its row id."""

    @abc.abstractmethod
    def _read(self, keys: Collection[int]) -> Mapping[int, _Record]:
        """The records of row ids, those that there are."""

    def settled(self, record: _Record, timeout: float) -> _Record:
        """The record once it has ended, or as it is after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.ended(record) and (left := deadline - time.monotonic()) > 0:
            record = self.changed(record, left)
        return record

    def changed(self, record: _Record, timeout: float) -> _Record:
        """The record once it is not as `record` any more, or as it is after `timeout` seconds.

        Raises NotFound when it was forgotten meanwhile.
        """
        key = self._key(record)
        deadline = time.monotonic() + timeout
        with self._condition:
            self._wanted[key] += 1
            # The last look may be older than what the caller knows.
            self._seen.pop(key, None)
            self._rouse()
            try:
                while self._seen.get(key, record) == record:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._condition.wait(left):
                        break
                found = self._seen.get(key, record)
            finally:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]
                    self._seen.pop(key, None)
        if found is None:
            raise NotFound(f"The {self.what} was forgotten meanwhile.")
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
        found = self._read(wanted)
        with self._condition:
            for key in wanted:
                if key in self._wanted:
                    self._seen[key] = found.get(key)
            self._condition.notify_all()
        return self._interval


class JobWatch(Watch[JobSummary]):
    """Jobs; they have ended when nothing is left to run, unless an operator asks for it."""

    what = "job"

    def ended(self, record: JobSummary) -> bool:
        """Whether nothing is left to run."""
        return record.state in _ENDS

    def _key(self, record: JobSummary) -> int:
        return record.job.id

    def _read(self, keys: Collection[int]) -> Mapping[int, JobSummary]:
        return {each.job.id: each for each in jobs.of_ids(self._database, keys)}


class TaskWatch(Watch[Task]):
    """Tasks."""

    what = "task"

    def ended(self, record: Task) -> bool:
        """Whether it is completed, failed, cancelled or timed out."""
        return record.state in ENDED

    def _key(self, record: Task) -> int:
        return record.id

    def _read(self, keys: Collection[int]) -> Mapping[int, Task]:
        return {each.id: each for each in tasks.of_ids(self._database, keys)}

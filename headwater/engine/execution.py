# SPDX-License-Identifier: Apache-2.0
"""Runs one claimed lane: batch after batch, each request once, results written in groups."""

import itertools
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headwater.common import clock
from headwater.common.errors import (
    DatabaseFailed,
    DatabaseUnavailable,
    HeadwaterError,
    LeaseLost,
    SecretUnreadable,
)
from headwater.common.redact import storable
from headwater.common.secrets import KeyRing
from headwater.common.states import Availability, RequestState
from headwater.db import lanes, requests, subclouds
from headwater.db.connection import Database
from headwater.db.records import Batch, ClaimedLane, QueuedRequest, RequestResult, Subcloud
from headwater.engine import retry
from headwater.engine.audit import AuditPolicy
from headwater.engine.auditor import Auditor
from headwater.engine.lease import Lease, ticks
from headwater.engine.outcome import Outcome, Retry
from headwater.engine.progress import Progress
from headwater.engine.task import LaneHandler, LaneWork, Replay, ResourceInfo, Work

LOG = logging.getLogger(__name__)

_AUDITS = AuditPolicy()

#: Tries in a row without an answer after which a subcloud counts as offline, as in the peer.
_OFFLINE_AFTER = 2

#: Seconds after which it is seen, in the middle of a batch, that an operator unmanaged a subcloud,
#: and, in the middle of an audit, that there is something new for the lane.
_LOOK = 1.0

#: Batches after which a lane gives its green thread to another one that waits.
_TURNS = 4


@dataclass(frozen=True)
class _Pause:
    seconds: float
    reason: str
    #: Pauses in a row, with this one.
    failures: int


@dataclass(frozen=True)
class LaneRun:
    """What came of running a lane."""

    #: Ids of the jobs that were worked on.
    touched: set[int]
    #: Seconds for which the lane rests; None when it does not.
    pause: float | None = None


@dataclass
class _Hold:
    """A lane while it is run, and what has come of it so far."""

    lease: Lease[ClaimedLane]
    #: Whether the worker is to end.
    stopping: Callable[[], bool]
    #: The lane's counter when its requests were last read.
    wakeups: int = 0
    touched: set[int] = field(default_factory=set)


class _Interrupted(HeadwaterError):
    """An audit cannot go on: the lane has to rest, or (without a pause) is not to run any more."""

    def __init__(self, pause: _Pause | None):
        self.pause = pause
        super().__init__("The audit is interrupted.")


class _Between:
    """What an audit calls before each of its calls: lets news run, so that they need not wait.

    An audit of a large cloud takes minutes.
    """

    def __init__(
        self,
        hold: _Hold,
        is_served: Callable[[], bool],
        has_news: Callable[[], bool],
        run: Callable[[], None],
    ):
        self._hold, self._is_served = hold, is_served
        self._has_news, self._run = has_news, run
        self._looked = ticks()
        #: Requests ran meanwhile.
        self.ran = False

    def __call__(self) -> None:
        """Raise LeaseLost, and _Interrupted where the audit has to end."""
        self._hold.lease.check()
        if self._hold.stopping():
            raise _Interrupted(None)
        if ticks() - self._looked < _LOOK:
            return
        if not self._is_served():
            raise _Interrupted(None)
        if self._has_news():
            self.ran = True
            self._run()
        self._looked = ticks()


class LaneRunner:
    """Runs lanes; shared by all threads of a worker and free of per-lane state."""

    def __init__(
        self,
        database: Database,
        key_ring: KeyRing,
        handler: LaneHandler,
        *,
        policy: retry.Policy,
        batch: int,
        breaker_after: int,
        audits: AuditPolicy = _AUDITS,
    ):
        self._database, self._key_ring, self._handler = database, key_ring, handler
        self._auditor = Auditor(database, handler, audits)
        self._policy, self._batch, self._breaker_after = policy, batch, breaker_after

    def run(
        self, lease: Lease[ClaimedLane], stopping: Callable[[], bool] = lambda: False
    ) -> LaneRun:
        """Run a lane until it is empty, has to wait or had its share, then release it.

        It is released after the request at hand when `stopping` says so. A lane whose lease is lost
        is left alone.
        """
        lane, hold = lease.row, _Hold(lease, stopping)
        pause = None
        try:
            pause = self._run(hold)
        except LeaseLost as error:
            LOG.warning("Lane %d stops here: %s", lane.id, error)
        except DatabaseFailed as error:
            # Left to its lease, it would run into the same at once and for ever.
            LOG.exception("Lane %d waits: its results cannot be written", lane.id)
            pause = _Pause(self._policy.max_retry_delay, storable(str(error)), lane.failures + 1)
            self._release(lane, hold.wakeups, (), pause)
        return LaneRun(hold.touched, None if pause is None else pause.seconds)

    def _run(self, hold: _Hold) -> _Pause | None:
        lease, failures = hold.lease, hold.lease.row.failures
        for turn in itertools.count(1):
            batch = self._take(hold)
            progress = Progress(self._database, lease)
            pause = None
            if batch.requests:
                pause = self._run_batch(hold, batch, progress, failures)
            failures = 0
            full = len(batch.requests) == self._batch
            if pause is None and full and turn < _TURNS and not hold.stopping():
                progress.flush()
                continue
            if pause is None and not full and batch.audit_wanted and not hold.stopping():
                progress.flush()
                pause = self._audit(hold, batch)
                if pause is None:
                    continue  # what it found is to be repaired
            self._release(lease.row, hold.wakeups, progress.take(), pause, more=full)
            return pause
        raise AssertionError("counting does not end")

    def _take(self, hold: _Hold) -> Batch:
        batch = requests.next_batch(self._database, hold.lease.row, self._batch)
        hold.wakeups = batch.wakeups
        hold.touched.update(request.job_id for request in batch.requests)
        return batch

    def _run_news(self, hold: _Hold) -> None:
        """Run requests that came during an audit; raises _Interrupted where the lane has to rest.

        What they change is left out of the audit's findings.
        """
        batch = self._take(hold)
        progress = Progress(self._database, hold.lease)
        pause = self._run_batch(hold, batch, progress, 0) if batch.requests else None
        progress.flush()
        if pause is not None:
            raise _Interrupted(pause)

    def _audit(self, hold: _Hold, batch: Batch) -> _Pause | None:
        """Audit the lane; the pause after which it is tried again, where it could not be."""
        lane = hold.lease.row
        between = _Between(
            hold,
            lambda: subclouds.is_served(self._database, lane.subcloud_id),
            lambda: lanes.is_asked_for(self._database, lane, hold.wakeups),
            lambda: self._run_news(hold),
        )
        try:
            outcome = self._auditor.run(hold.lease, batch, between)
        except _Interrupted as interrupted:
            # It is still wanted.
            return interrupted.pause
        subcloud, failures = batch.subcloud, lane.failures + 1
        sound = subcloud.availability_status is Availability.ONLINE and not subcloud.failures
        if outcome is not None:
            self._note_reachability(subcloud, outcome, sound)
        if not isinstance(outcome, Retry):
            return None
        rest = retry.delay(failures, self._policy, _jitter())
        return _Pause(rest, storable(f"Audit: {outcome.reason}"), failures)

    def _run_batch(
        self, hold: _Hold, batch: Batch, progress: Progress, failures: int
    ) -> _Pause | None:
        lease, subcloud = hold.lease, batch.subcloud
        prepared = self._prepare(lease, batch)
        if isinstance(prepared, _Pause):
            return prepared
        replay, works = prepared
        sound = subcloud.availability_status is Availability.ONLINE and not subcloud.failures
        looked = ticks()
        for work in works:
            if hold.stopping():
                break
            if ticks() - looked > _LOOK:
                looked = ticks()
                if not subclouds.is_served(self._database, subcloud.id):
                    break  # an operator wants nothing more to be sent
            lease.check()
            result, outcome, pause = self._try(replay, work, batch, failures)
            sound = self._note_reachability(subcloud, outcome, sound)
            progress.add(result)
            if pause is not None:
                return _Pause(pause, result.error or "", failures + 1)
            failures = 0
        return None

    def _prepare(
        self, lease: Lease[ClaimedLane], batch: Batch
    ) -> tuple[Replay, list[Work]] | _Pause:
        lane = lease.row
        try:
            works = [self._decrypt(request) for request in batch.requests]
            return self._handler.open(LaneWork(lane, batch.subcloud, works, lease.check)), works
        except SecretUnreadable as error:
            reason = str(error)
            LOG.error("%s waits: %s", batch.subcloud.region_name, reason)  # noqa: TRY400 - it says it all
        except HeadwaterError:
            raise
        except Exception as error:
            # Left to its lease the lane would run into the same error without any back-off.
            LOG.exception("%s waits: its requests cannot be prepared", batch.subcloud.region_name)
            reason = f"Internal error: {type(error).__name__}; see the log."
        return _Pause(self._policy.max_retry_delay, reason, lane.failures + 1)

    def _try(
        self, replay: Replay, work: Work, batch: Batch, failures: int
    ) -> tuple[RequestResult, Outcome, float | None]:
        """Execute one request: its result, its outcome, and the pause in seconds that follows."""
        started_at, ticks = clock.now(), time.monotonic()
        outcome = self._execute(replay, work)
        decision = retry.decide(
            outcome,
            try_count=work.request.try_count,
            lane_failures=failures,
            policy=self._policy,
            jitter=_jitter(),
        )
        LOG.info(
            "Job %s for %s: %s, try %d, %.0f ms%s",
            work.request.job_uuid,
            batch.subcloud.region_name,
            decision.state,
            decision.try_count,
            (time.monotonic() - ticks) * 1000,
            f": {decision.error}" if decision.error else "",
        )
        result = RequestResult(
            request_id=work.request.id,
            state=decision.state,
            try_count=decision.try_count,
            error=None if decision.error is None else storable(decision.error),
            started_at=started_at,
            finished_at=None if decision.state is RequestState.QUEUED else clock.now(),
            mappings=outcome.mappings,
        )
        return result, outcome, decision.pause

    def _decrypt(self, request: QueuedRequest) -> Work:
        if request.resource_info is None:
            return Work(request, ResourceInfo())
        clear = self._key_ring.decrypt(request.resource_info)
        try:
            return Work(request, ResourceInfo.from_json(clear))
        except TypeError as error:
            # Its own turn will come, and fail; the others of its batch are not held up.
            return Work(request, ResourceInfo(), unusable=f"Unknown kind of content: {error}.")

    def _execute(self, replay: Replay, work: Work) -> Outcome:
        if work.unusable is not None:
            return Retry(work.unusable, counts=True)
        try:
            return replay.execute(work)
        except LeaseLost:
            raise
        except DatabaseUnavailable as error:
            # Ours, not the subcloud's: it uses no try up.
            return Retry(str(error), counts=False)
        except Exception as error:
            # Counted, so that a request that always breaks us is failed in the end.
            LOG.exception("Job %s: the replay broke", work.request.job_uuid)
            return Retry(f"Internal error: {type(error).__name__}; see the log.", counts=True)

    def _note_reachability(self, subcloud: Subcloud, outcome: Outcome, sound: bool) -> bool:
        """Write down whether the subcloud answered, if that is news.

        `sound` is whether it is known to be online without a failure; returns what is known now.
        """
        if isinstance(outcome, Retry) and outcome.unreachable:
            subclouds.note_silence(
                self._database,
                subcloud.id,
                offline_after=_OFFLINE_AFTER,
                breaker_after=self._breaker_after,
                rest=retry.delay(subcloud.failures + 1, self._policy, _jitter()),
            )
            return False
        if isinstance(outcome, Retry) and not outcome.counts:
            return sound  # another party's trouble
        if not sound:
            subclouds.note_answer(self._database, subcloud.id)
        return True

    def _release(
        self,
        lane: ClaimedLane,
        wakeups: int,
        results: Sequence[RequestResult],
        pause: _Pause | None,
        *,
        more: bool = False,
    ) -> None:
        lanes.release(
            self._database,
            lane,
            seen_wakeups=wakeups,
            results=results,
            more=more,
            pause=None if pause is None else pause.seconds,
            error=None if pause is None else pause.reason,
            failures=0 if pause is None else pause.failures,
        )


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads load, protects nothing

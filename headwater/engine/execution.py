# SPDX-License-Identifier: Apache-2.0
"""Runs one claimed lane: batch after batch, each request once, results written in groups."""

import logging
import random
import time
from dataclasses import dataclass

from headwater.common import clock
from headwater.common.errors import HeadwaterError, LeaseLost, NotFound, SecretUnreadable
from headwater.common.secrets import KeyRing
from headwater.common.states import Availability, RequestState
from headwater.db import lanes, requests, subclouds
from headwater.db.connection import Database
from headwater.db.records import Batch, ClaimedLane, QueuedRequest, RequestResult
from headwater.engine import retry
from headwater.engine.outcome import Outcome, Retry
from headwater.engine.progress import Progress
from headwater.engine.task import LaneHandler, Replay, ResourceInfo, Work

LOG = logging.getLogger(__name__)

#: Pauses in a row after which a silent subcloud counts as offline, as in the peer.
_OFFLINE_AFTER = 2


@dataclass(frozen=True)
class _Pause:
    seconds: float
    reason: str
    #: Pauses in a row, with this one.
    failures: int


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
        lease: float,
    ):
        self._database, self._key_ring, self._handler = database, key_ring, handler
        self._policy, self._batch, self._lease = policy, batch, lease

    def run(self, lane: ClaimedLane) -> set[int]:
        """Run a lane until it is empty or has to wait, then release it.

        Returns the ids of the jobs that were worked on. A lane whose lease is lost is left alone.
        """
        touched: set[int] = set()
        try:
            while True:
                batch = requests.next_batch(self._database, lane, self._batch)
                touched.update(request.job_id for request in batch.requests)
                pause = self._run_batch(lane, batch) if batch.requests else None
                if pause is not None or not batch.requests:
                    self._release(lane, batch, pause)
                    return touched
        except LeaseLost as error:
            LOG.warning("Lane %d stops here: %s", lane.id, error)
            return touched

    def _run_batch(self, lane: ClaimedLane, batch: Batch) -> _Pause | None:
        prepared = self._prepare(lane, batch)
        if isinstance(prepared, _Pause):
            return prepared
        replay, works = prepared
        progress = Progress(self._database, lane, self._lease)
        failures = lane.failures
        for work in works:
            result, outcome, pause = self._try(replay, work, batch, failures)
            self._note_availability(lane, batch.availability, outcome, failures)
            progress.add(result)
            if pause is not None:
                progress.flush()
                return _Pause(pause, result.error or "", failures + 1)
            failures = 0
        progress.flush()
        return None

    def _prepare(self, lane: ClaimedLane, batch: Batch) -> tuple[Replay, list[Work]] | _Pause:
        try:
            works = [self._decrypt(request) for request in batch.requests]
            return self._handler.open(lane, works), works
        except NotFound as error:
            raise LeaseLost(str(error)) from error
        except SecretUnreadable as error:
            reason = str(error)
            LOG.error("%s waits: %s", batch.region_name, reason)  # noqa: TRY400 - it says it all
        except HeadwaterError:
            raise
        except Exception as error:
            # Left to its lease the lane would run into the same error without any back-off.
            LOG.exception("%s waits: its requests cannot be prepared", batch.region_name)
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
            jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
        )
        LOG.info(
            "Job %s for %s: %s, try %d, %.0f ms%s",
            work.request.job_uuid,
            batch.region_name,
            decision.state,
            decision.try_count,
            (time.monotonic() - ticks) * 1000,
            f": {decision.error}" if decision.error else "",
        )
        result = RequestResult(
            request_id=work.request.id,
            state=decision.state,
            try_count=decision.try_count,
            error=decision.error,
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
        except Exception as error:
            # Counted, so that a request that always breaks us is failed in the end.
            LOG.exception("Job %s: the replay broke", work.request.job_uuid)
            return Retry(f"Internal error: {type(error).__name__}; see the log.", counts=True)

    def _note_availability(
        self, lane: ClaimedLane, known: Availability, outcome: Outcome, failures: int
    ) -> None:
        if isinstance(outcome, Retry) and outcome.unreachable:
            if failures + 1 < _OFFLINE_AFTER:
                return
            measured = Availability.OFFLINE
        elif isinstance(outcome, Retry) and not outcome.counts:
            return
        else:
            measured = Availability.ONLINE
        if measured is not known:
            subclouds.set_availability(self._database, lane.subcloud_id, measured)

    def _release(self, lane: ClaimedLane, batch: Batch, pause: _Pause | None) -> None:
        lanes.release(
            self._database,
            lane,
            seen_wakeups=batch.wakeups,
            next_try_at=None if pause is None else clock.after(pause.seconds),
            error=None if pause is None else pause.reason,
            failures=0 if pause is None else pause.failures,
        )

# SPDX-License-Identifier: Apache-2.0
"""Runs one held task for a step, and gives it back as the step left it."""

import json
import logging
import random
from collections.abc import Callable

from headwater.common.errors import (
    DatabaseFailed,
    DatabaseUnavailable,
    LeaseLost,
    SecretUnreadable,
)
from headwater.common.secrets import KeyRing
from headwater.common.states import ENDED, RequestState, TaskState
from headwater.db import tasks
from headwater.db.connection import Database
from headwater.db.pod_records import ClaimedTask, TaskRest
from headwater.engine import retry
from headwater.engine.lease import Lease
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import (
    Cancelled,
    Completed,
    Doubtful,
    Result,
    TaskHandler,
    TaskWork,
    Waiting,
)

LOG = logging.getLogger(__name__)


class TaskRunner:
    """Runs tasks; shared by all threads of a worker and free of per-task state."""

    def __init__(
        self,
        database: Database,
        key_ring: KeyRing,
        handler: TaskHandler,
        policy: retry.Policy,
    ):
        self._database, self._key_ring = database, key_ring
        self._handler, self._policy = handler, policy

    def run(self, lease: Lease[ClaimedTask]) -> float | None:
        """Run a task for one step and release it; seconds until its next one, None for none."""
        task = lease.row
        try:
            rest = self._rest(task, self._step(lease))
            tasks.release(self._database, task, rest)
        except LeaseLost as error:
            LOG.warning("%s stops here: %s", task, error)
            return None
        except DatabaseFailed:
            # Its lease ends, and then it goes on where it was.
            LOG.exception("%s: its result cannot be written", task)
            return None
        LOG.info("%s: %s %s, %s", task, task.action, rest.state, rest.error or rest.message or "")
        return None if rest.state in ENDED else rest.pause

    def _step(self, lease: Lease[ClaimedTask]) -> Result:
        task = lease.row
        try:
            parameters = {} if task.parameters is None else self._key_ring.decrypt(task.parameters)
        except SecretUnreadable as error:
            return Retry(str(error), counts=False)
        work = TaskWork(
            task,
            parameters,
            {} if task.position is None else json.loads(task.position),
            note=self._note(task),
            guard=lease.check,
        )
        try:
            return self._handler.execute(work)
        except LeaseLost:
            raise
        except DatabaseUnavailable as error:
            return Retry(str(error), counts=False)
        except Exception as error:
            # Counted, so that a task that always breaks us is failed in the end.
            LOG.exception("%s broke", task)
            return Retry(f"Internal error: {type(error).__name__}; see the log.", counts=True)

    def _note(self, task: ClaimedTask) -> Callable[..., None]:
        return lambda **values: tasks.note(self._database, task, **values)

    def _rest(self, task: ClaimedTask, result: Result) -> TaskRest:
        tries = task.try_count
        match result:
            case Completed():
                return TaskRest(
                    TaskState.COMPLETED,
                    tries + 1,
                    percent=100,
                    message=result.message,
                    result=result.result,
                )
            case Cancelled():
                return TaskRest(TaskState.CANCELLED, tries, message=result.message)
            case Waiting():
                return TaskRest(
                    TaskState.WAITING,
                    tries,
                    pause=result.after,
                    percent=result.percent,
                    message=result.message,
                    position=result.position,
                )
            case Doubtful():
                return TaskRest(
                    TaskState.UNKNOWN,
                    tries,
                    pause=result.after,
                    position=result.position,
                    error=result.reason,
                )
            case Retry() | Failed():
                return self._after_error(task, result)

    def _after_error(self, task: ClaimedTask, result: Retry | Failed) -> TaskRest:
        decision = retry.decide(
            result,
            try_count=task.try_count,
            lane_failures=task.failures,
            policy=self._policy,
            jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
        )
        if decision.state is RequestState.FAILED:
            return TaskRest(TaskState.FAILED, decision.try_count, error=decision.error)
        # One that waits for its pod, or is in doubt, stays so.
        state = TaskState(task.state)
        return TaskRest(
            TaskState.PENDING if state is TaskState.RUNNING else state,
            decision.try_count,
            pause=decision.pause or 0.0,
            failures=task.failures + 1,
            error=decision.error,
        )

# SPDX-License-Identifier: Apache-2.0
"""A step of a task: what it comes to is written, and nothing is lost on the way."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from headwater.common import clock
from headwater.common.errors import DatabaseUnavailable
from headwater.common.secrets import KeyRing
from headwater.common.states import PodService, TaskState
from headwater.db import tasks
from headwater.db.models import task
from headwater.db.pod_records import ClaimedTask, Task
from headwater.engine.lease import Lease, ticks
from headwater.engine.outcome import Failed, Retry
from headwater.engine.retry import Policy
from headwater.engine.task_execution import TaskRunner
from headwater.engine.task_source import TaskSource
from headwater.engine.tracked import Cancelled, Completed, Doubtful, Result, TaskWork, Waiting
from headwater.engine.worker import Worker, WorkerSettings
from tests.support import databases
from tests.support.pod_builders import add_pod, add_task, claim_tasks
from tests.support.waiting import PATIENCE, eventually


class Handler:
    """Answers by a function, and remembers the works."""

    def __init__(self) -> None:
        self.works: list[TaskWork] = []
        self.result: Callable[[TaskWork], Result] = lambda work: Completed()

    def execute(self, work: TaskWork) -> Result:
        self.works.append(work)
        return self.result(work)


class RunnerTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.ring = KeyRing.ensure(directory)
        self.handler = Handler()
        policy = Policy(max_tries=3, retry_delay=0.02, max_retry_delay=0.04)
        self.runner = TaskRunner(self.database, self.ring, self.handler, policy)
        self.pod = add_pod(self.database)

    def submit(self, **parameters: Any) -> Task:
        return add_task(self.database, self.pod, parameters=self.ring.encrypt(parameters))

    def step(self, result: Result | Exception) -> tuple[Task, float | None]:
        """Let the only task take a step with this result."""

        def answer(work: TaskWork) -> Result:
            if isinstance(result, Exception):
                raise result
            return result

        self.handler.result = answer
        with self.database.write() as connection:
            connection.execute(task.update().values(next_try_at=None))
        (held,) = claim_tasks(self.database)
        pause = self.runner.run(Lease(held, 600, ticks()))
        return tasks.get(self.database, held.uuid), pause


class StepTest(RunnerTestCase):
    def test_parameters_and_position_reach_the_handler(self) -> None:
        self.submit(action="on", secret="tiger")
        self.step(Waiting({"operation": "/tasks/1"}, 5, 40, "Under way."))
        found, _ = self.step(Completed({"power_state": "On"}, "Done."))
        first, second = self.handler.works
        self.assertEqual(
            ({"action": "on", "secret": "tiger"}, {}), (first.parameters, first.position)
        )
        self.assertEqual({"operation": "/tasks/1"}, second.position)
        self.assertEqual(
            (TaskState.COMPLETED, 100, "Done.", {"power_state": "On"}),
            (found.state, found.percent, found.message, found.result),
        )

    def test_what_waits_for_its_pod_says_so(self) -> None:
        self.submit()
        found, pause = self.step(Waiting({"operation": "/tasks/1"}, 5, 40, "Under way."))
        self.assertEqual(
            (TaskState.WAITING, 40, "Under way.", 5),
            (found.state, found.percent, found.message, pause),
        )

    def test_a_lost_answer_is_told_until_it_is_settled(self) -> None:
        self.submit()
        found, _ = self.step(Doubtful({"step": "ordering"}, "The answer was lost.", 2))
        self.assertEqual((TaskState.UNKNOWN, "The answer was lost."), (found.state, found.error))
        # Reading the pod fails meanwhile: it stays unknown.
        found, _ = self.step(Retry("No answer.", counts=False))
        self.assertIs(TaskState.UNKNOWN, found.state)
        found, _ = self.step(Completed())
        self.assertEqual((TaskState.COMPLETED, None), (found.state, found.error))

    def test_ends(self) -> None:
        for result, state in (
            (Failed("No such thing."), TaskState.FAILED),
            (Cancelled("Nothing was sent."), TaskState.CANCELLED),
        ):
            self.submit()
            found, pause = self.step(result)
            self.assertEqual((state, None), (found.state, pause))

    def test_a_refusal_is_tried_again_a_few_times(self) -> None:
        self.submit()
        states = [self.step(Retry("400: no", counts=True))[0] for _ in range(3)]
        self.assertEqual(
            [TaskState.PENDING, TaskState.PENDING, TaskState.FAILED],
            [each.state for each in states],
        )
        self.assertEqual("400: no Given up after 3 tries.", states[-1].error)

    def test_silence_uses_no_tries_up(self) -> None:
        self.submit()
        for _ in range(5):
            found, pause = self.step(Retry("No answer.", counts=False, unreachable=True))
            assert pause is not None
            self.assertEqual((TaskState.PENDING, 0), (found.state, found.try_count))
            self.assertLessEqual(pause, 0.04)

    def test_what_breaks_us_is_failed_in_the_end(self) -> None:
        self.submit()
        with self.assertLogs("headwater.engine.task_execution", "ERROR"):
            errors = [self.step(KeyError("secret"))[0].error for _ in range(3)]
        self.assertNotIn("secret", str(errors))
        self.assertIn("KeyError", str(errors[-1]))

    def test_our_own_database_uses_no_tries_up(self) -> None:
        self.submit()
        found, _ = self.step(DatabaseUnavailable("The database is away."))
        self.assertEqual((TaskState.PENDING, 0), (found.state, found.try_count))

    def test_a_key_that_is_missing_waits_for_the_operator(self) -> None:
        add_task(self.database, self.pod, parameters="not-encrypted")
        found, _ = self.step(Completed())
        self.assertEqual((TaskState.PENDING, 0), (found.state, found.try_count))
        self.assertEqual([], self.handler.works)

    def test_a_worker_that_lost_its_task_writes_nothing(self) -> None:
        self.submit()

        def lose(work: TaskWork) -> Result:
            with self.database.write() as connection:
                connection.execute(task.update().values(lease_until=clock.after(-1)))
            claim_tasks(self.database, owner="other")
            return Completed()

        self.handler.result = lose
        (held,) = claim_tasks(self.database)
        with self.assertLogs("headwater.engine.task_execution", "WARNING"):
            self.assertIsNone(self.runner.run(Lease(held, 600, ticks())))
        self.assertIs(TaskState.RUNNING, tasks.get(self.database, held.uuid).state)


class WorkerTest(RunnerTestCase):
    def worker(self, **settings: Any) -> Worker[ClaimedTask]:
        source = TaskSource(self.database, self.runner, (PodService.COMPUTE,), 10)
        values = {"threads": 4, "lease": 60.0, "poll_interval": 3600.0, **settings}
        made = Worker(source, WorkerSettings(**values))
        self.addCleanup(made.stop, PATIENCE)
        made.start()
        return made

    def ended(self, *of: Task) -> bool:
        found = [tasks.get(self.database, each.uuid) for each in of]
        return all(each.finished_at is not None for each in found)

    def test_a_task_runs_step_by_step_to_its_end(self) -> None:
        steps: list[Result] = [Waiting({}, 0.01), Retry("Busy.", counts=True), Completed()]
        self.handler.result = lambda work: steps.pop(0)
        written = self.submit()
        self.worker()
        eventually(lambda: self.ended(written), "the end of the task")
        self.assertIs(TaskState.COMPLETED, tasks.get(self.database, written.uuid).state)

    def test_a_wake_up_makes_it_look(self) -> None:
        worker = self.worker()
        eventually(lambda: worker._next_look, "the worker to rest")
        written = self.submit()
        worker.look()
        eventually(lambda: self.ended(written), "the end of the task")

    def test_the_next_of_a_machine_runs_as_soon_as_the_first_has_ended(self) -> None:
        written = [self.submit() for _ in range(5)]
        self.worker()
        eventually(lambda: self.ended(*written), "the end of all tasks")
        done = [work.task.uuid for work in self.handler.works]
        self.assertEqual([each.uuid for each in written], done)

# SPDX-License-Identifier: Apache-2.0
"""Tasks: due at once, in order per machine, held by one worker, ended once."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import LeaseLost, NotFound
from headwater.common.states import PodService, TaskState
from headwater.db import tasks
from headwater.db.models import task
from headwater.db.pod_records import ClaimedTask, NewTask, Task, TaskRest
from tests.support import databases
from tests.support.builders import CIPHER
from tests.support.pod_builders import ALL, add_pod, add_task, claim_tasks
from tests.support.waiting import PATIENCE


class TasksTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)

    def get(self, of: Task | ClaimedTask) -> Task:
        return tasks.get(self.database, of.uuid)

    def row(self, of: Task | ClaimedTask) -> Any:
        with self.database.read() as connection:
            return connection.execute(sa.select(task).where(task.c.uuid == of.uuid)).one()

    def set(self, of: Task | ClaimedTask, **values: object) -> None:
        with self.database.write() as connection:
            connection.execute(task.update().where(task.c.uuid == of.uuid).values(**values))

    def claimed(self, **wanted: Any) -> ClaimedTask:
        (found,) = claim_tasks(self.database, **wanted)
        return found

    def end(self, held: ClaimedTask, state: TaskState = TaskState.COMPLETED) -> None:
        tasks.release(self.database, held, TaskRest(state, 1))


@databases.on_every_backend
class ClaimTest(TasksTestCase):
    def test_a_task_is_due_at_once_and_held_by_one(self) -> None:
        written = add_task(self.database, self.pod)
        self.assertIs(TaskState.PENDING, written.state)
        due = tasks.next_due(self.database, ALL)
        assert due is not None
        self.assertLessEqual(due, 0)
        held = self.claimed()
        self.assertEqual((written.uuid, "pending"), (held.uuid, held.state))
        now = self.get(held)
        self.assertIs(TaskState.RUNNING, now.state)
        self.assertIsNotNone(now.started_at)
        self.assertEqual([], claim_tasks(self.database))

    def test_services_have_their_own(self) -> None:
        add_task(self.database, self.pod, service=PodService.TELEMETRY)
        wanted = (PodService.COMPUTE, PodService.STORAGE)
        self.assertEqual([], claim_tasks(self.database, services=wanted))
        self.assertIsNone(tasks.next_due(self.database, wanted))
        self.claimed(services=(PodService.TELEMETRY,))

    def test_the_tasks_of_one_machine_run_one_after_the_other_in_their_order(self) -> None:
        first, second = (add_task(self.database, self.pod, target="m1") for _ in range(2))
        other = add_task(self.database, self.pod, target="m2")
        held = claim_tasks(self.database)
        self.assertEqual({first.uuid, other.uuid}, {each.uuid for each in held})
        # Also while the first one rests.
        (of_first,) = (each for each in held if each.uuid == first.uuid)
        rest = TaskRest(TaskState.WAITING, 1, pause=600)
        tasks.release(self.database, of_first, rest)
        self.assertEqual([], claim_tasks(self.database))
        self.set(first, next_try_at=None)
        self.end(self.claimed())
        self.assertEqual(second.uuid, self.claimed().uuid)

    def test_a_pod_has_a_limit(self) -> None:
        for number in range(3):
            add_task(self.database, self.pod, target=f"m{number}")
        elsewhere = add_task(self.database, add_pod(self.database, "two"))
        for limit in (1, 1):
            self.assertEqual(1, len(claim_tasks(self.database, limit=limit, per_pod=2)))
        (left,) = claim_tasks(self.database, per_pod=2)
        self.assertEqual(elsewhere.uuid, left.uuid)

    def test_one_claim_takes_no_more_than_a_pod_bears(self) -> None:
        for number in range(5):
            add_task(self.database, self.pod, target=f"m{number}")
        self.assertEqual(2, len(claim_tasks(self.database, per_pod=2)))
        self.assertEqual([], claim_tasks(self.database, per_pod=2))

    def test_of_a_batch_as_many_are_open_as_its_budget_has(self) -> None:
        other = add_pod(self.database, "two")
        targets = [(pod.id, f"m{number}") for pod in (self.pod, other) for number in range(3)]
        new = NewTask(PodService.COMPUTE, "power", 0, "", CIPHER, 600, Caller(), "b1", 2)
        tasks.submit_batch(self.database, new, targets)
        free = add_task(self.database, self.pod, target="m9")
        held = claim_tasks(self.database)
        self.assertEqual(5, len(held))
        self.assertIn(free.uuid, [each.uuid for each in held])
        waiting = next(each for each in held if each.pod_id == other.id)
        # One that waits for its pod is open, and goes on.
        tasks.release(self.database, waiting, TaskRest(TaskState.WAITING, 0, pause=0))
        (again,) = claim_tasks(self.database)
        self.assertEqual(waiting.uuid, again.uuid)
        tasks.release(self.database, again, TaskRest(TaskState.COMPLETED, 1))
        (last,) = claim_tasks(self.database)
        self.assertEqual((other.id, "m2"), (last.pod_id, last.target))

    def test_a_batch_keeps_nothing_else_of_its_pod_waiting(self) -> None:
        targets = [(self.pod.id, f"m{number}") for number in range(200)]
        new = NewTask(PodService.COMPUTE, "power", 0, "", CIPHER, 600, Caller(), "b1", 5)
        tasks.submit_batch(self.database, new, targets)
        done = 0
        while done < 20:
            held = claim_tasks(self.database, per_pod=7)
            self.assertLessEqual(len(held), 5)
            self.assertTrue(held)
            for each in held:
                first = each.state == TaskState.PENDING
                state = TaskState.WAITING if first else TaskState.COMPLETED
                tasks.release(self.database, each, TaskRest(state, 0, pause=0))
                done += not first
        added = add_task(self.database, self.pod, target="m150")
        self.assertIn(added.uuid, [each.uuid for each in claim_tasks(self.database, per_pod=7)])

    def test_what_a_batch_holds_back_is_asked_for_whatever_ended_the_others(self) -> None:
        targets = [(self.pod.id, f"m{number}") for number in range(4)]
        new = NewTask(PodService.COMPUTE, "power", 0, "", CIPHER, 600, Caller(), "b1", 2)
        tasks.submit_batch(self.database, new, targets)
        for each in tasks.list_page(self.database, limit=9):
            if each.target in ("m0", "m1", "m3"):
                tasks.cancel(self.database, each.uuid)
        self.assertEqual([], claim_tasks(self.database))
        self.assertEqual(1, tasks.promote(self.database))
        (held,) = claim_tasks(self.database)
        self.assertEqual("m2", held.target)
        self.assertEqual(0, tasks.promote(self.database))

    def test_one_that_is_held_back_never_runs_beside_what_came_after_it(self) -> None:
        targets = [(self.pod.id, name) for name in ("m0", "m1")]
        new = NewTask(PodService.COMPUTE, "power", 0, "", CIPHER, 600, Caller(), "b1", 1)
        tasks.submit_batch(self.database, new, targets)
        later = add_task(self.database, self.pod, target="m1")
        first, running = sorted(claim_tasks(self.database), key=lambda each: each.target)
        self.assertEqual(later.uuid, running.uuid)
        tasks.release(self.database, first, TaskRest(TaskState.COMPLETED, 1))
        self.assertEqual([], claim_tasks(self.database))
        # One that has begun goes on, whatever is asked for meanwhile.
        tasks.release(self.database, running, TaskRest(TaskState.WAITING, 0, pause=0))
        self.assertEqual(0.0, max(0.0, tasks.next_due(self.database, ALL) or 0.0))
        (running,) = claim_tasks(self.database)
        self.assertEqual(later.uuid, running.uuid)
        tasks.release(self.database, running, TaskRest(TaskState.COMPLETED, 1))
        self.assertEqual(["m1"], [each.target for each in claim_tasks(self.database)])

    def test_a_batch_that_waits_for_its_own_needs_nothing(self) -> None:
        targets = [(self.pod.id, f"m{number}") for number in range(4)]
        new = NewTask(PodService.COMPUTE, "power", 0, "", CIPHER, 600, Caller(), "b1", 2)
        tasks.submit_batch(self.database, new, targets)
        self.assertEqual(0, tasks.promote(self.database))
        self.assertEqual(2, len(claim_tasks(self.database)))
        self.assertEqual(0, tasks.promote(self.database))

    def test_all_tasks_on_some_targets_are_asked_to_end(self) -> None:
        for target in ("m1", "m1", "m2", "m3"):
            add_task(self.database, self.pod, target=target)
        other = add_task(self.database, add_pod(self.database, "two"), target="m1")
        held = claim_tasks(self.database)
        begun = next(e for e in held if (e.pod_id, e.target) == (self.pod.id, "m1"))
        tasks.cancel_all(self.database, self.pod.id, {"m1", "m2"})
        found = tasks.list_page(self.database, limit=9, pod_name="one")
        self.assertEqual(
            {"m1": 2, "m2": 1, "m3": 0},
            {
                name: sum(
                    e.cancel_requested or e.finished_at is not None
                    for e in found
                    if e.target == name
                )
                for name in ("m1", "m2", "m3")
            },
        )
        self.assertTrue(tasks.get(self.database, begun.uuid).cancel_requested)
        self.assertFalse(tasks.get(self.database, other.uuid).cancel_requested)

    def test_of_two_that_have_begun_the_first_goes_on(self) -> None:
        for _ in range(2):
            add_task(self.database, self.pod, target="m1")
        with self.database.write() as connection:
            connection.execute(sa.update(task).values(started_at=clock.now(), state="waiting"))
        (first,) = claim_tasks(self.database)
        self.assertEqual([], claim_tasks(self.database))
        tasks.release(self.database, first, TaskRest(TaskState.COMPLETED, 1))
        self.assertEqual(1, len(claim_tasks(self.database)))

    def test_a_flood_of_one_service_takes_no_place_from_another(self) -> None:
        for number in range(3):
            add_task(self.database, self.pod, target=f"p{number}", service=PodService.TELEMETRY)
        self.assertEqual(2, len(claim_tasks(self.database, per_pod=2)))
        order = add_task(self.database, self.pod, target="m1")
        self.assertEqual([order.uuid], [e.uuid for e in claim_tasks(self.database, per_pod=2)])

    def test_a_lost_workers_task_goes_on_where_it_was(self) -> None:
        add_task(self.database, self.pod)
        lost = self.claimed(owner="killed")
        tasks.note(self.database, lost, position={"step": "ordering"}, percent=5)
        self.set(lost, lease_until=clock.after(-1))
        again = self.claimed(owner="other")
        self.assertEqual((lost.uuid, '{"step": "ordering"}'), (again.uuid, again.position))
        self.assertGreater(again.generation, lost.generation)
        with self.assertRaises(LeaseLost):
            tasks.note(self.database, lost, percent=50)
        with self.assertRaises(LeaseLost):
            self.end(lost)
        self.assertEqual(5, self.get(lost).percent)

    def test_the_heartbeat_keeps_what_is_held(self) -> None:
        add_task(self.database, self.pod)
        held = self.claimed(lease=1)
        kept = tasks.renew(self.database, "worker", [held.id], 600)
        self.assertEqual({(held.id, held.generation)}, kept)
        self.assertEqual(set(), tasks.renew(self.database, "other", [held.id], 600))


@databases.on_every_backend
class EndTest(TasksTestCase):
    def test_a_task_ends_with_its_result_and_without_its_parameters(self) -> None:
        caller = Caller("u1", "alice", "p1", "req-1")
        written = add_task(self.database, self.pod, caller=caller)
        held = self.claimed()
        rest = TaskRest(
            TaskState.COMPLETED, 1, percent=100, message="Done.", result={"machines": 3}
        )
        tasks.release(self.database, held, rest)
        found = self.get(written)
        self.assertEqual(
            (TaskState.COMPLETED, 100, "Done.", {"machines": 3}, "alice", "req-1"),
            (
                found.state,
                found.percent,
                found.message,
                found.result,
                found.user_name,
                found.request_id,
            ),
        )
        self.assertIsNotNone(found.finished_at)
        self.assertIsNone(self.row(written).parameters)
        self.assertEqual([], claim_tasks(self.database))
        self.assertIsNone(tasks.next_due(self.database, ALL))

    def test_what_waits_is_due_after_its_pause_and_keeps_what_is_not_given(self) -> None:
        add_task(self.database, self.pod)
        held = self.claimed()
        tasks.note(self.database, held, message="Begun.", position={"step": 1})
        tasks.release(self.database, held, TaskRest(TaskState.WAITING, 1, pause=30))
        row = self.row(held)
        self.assertEqual(("Begun.", '{"step": 1}'), (row.message, row.position))
        due = tasks.next_due(self.database, ALL)
        assert due is not None
        self.assertTrue(20 < due <= 30, due)

    def test_a_task_that_nobody_began_is_cancelled_at_once(self) -> None:
        written = add_task(self.database, self.pod)
        tasks.cancel(self.database, written.uuid)
        self.assertIs(TaskState.CANCELLED, self.get(written).state)
        self.assertEqual([], claim_tasks(self.database))
        tasks.cancel(self.database, written.uuid)
        self.assertFalse(self.get(written).cancel_requested)
        with self.assertRaises(NotFound):
            tasks.cancel(self.database, "unknown")

    def test_a_task_that_has_begun_is_asked_to_end(self) -> None:
        add_task(self.database, self.pod)
        held = self.claimed()
        tasks.release(self.database, held, TaskRest(TaskState.WAITING, 1, pause=600))
        tasks.cancel(self.database, held.uuid)
        again = self.claimed()
        self.assertTrue(again.cancel_requested)
        self.assertIs(TaskState.WAITING, self.get(held).state)

    def test_a_deadline_ends_a_task_whoever_holds_it(self) -> None:
        add_task(self.database, self.pod, target="m1")
        waiting = add_task(self.database, self.pod, target="m1")
        alive = add_task(self.database, self.pod, target="m2")
        held = self.claimed(limit=1)
        for each in (held, waiting):
            self.set(each, deadline_at=clock.after(-1))
        self.assertEqual([2, 0], [tasks.expire(self.database) for _ in range(2)])
        for each in (held, waiting):
            found = self.get(each)
            self.assertEqual(
                (TaskState.TIMED_OUT, "Its deadline has passed."), (found.state, found.error)
            )
        with self.assertRaises(LeaseLost):
            self.end(held)
        self.assertEqual(alive.uuid, self.claimed().uuid)

    def test_old_ones_are_forgotten(self) -> None:
        old, young, open_one = (add_task(self.database, self.pod) for _ in range(3))
        self.set(old, finished_at=clock.after(-100), state=TaskState.FAILED)
        self.set(young, finished_at=clock.after(-10), state=TaskState.FAILED)
        counts = [tasks.purge(self.database, 50, limit=10) for _ in range(2)]
        self.assertEqual([1, 0], counts)
        found = tasks.list_page(self.database, limit=10)
        self.assertEqual([open_one.uuid, young.uuid], [each.uuid for each in found])


@databases.on_every_backend
class ListTest(TasksTestCase):
    def test_pages_begin_with_the_newest(self) -> None:
        written = [add_task(self.database, self.pod, target=f"m{n}") for n in range(3)]
        first = tasks.list_page(self.database, limit=2)
        rest = tasks.list_page(self.database, limit=2, before=first[-1].uuid)
        found = [each.uuid for each in (*first, *rest)]
        self.assertEqual([each.uuid for each in reversed(written)], found)
        with self.assertRaises(NotFound):
            tasks.list_page(self.database, limit=2, before="unknown")

    def test_filters(self) -> None:
        other = add_pod(self.database, "two")
        here = add_task(self.database, self.pod, target="m1")
        there = add_task(self.database, other)
        self.end(self.claimed(limit=1))
        for only, wanted in (
            ({"state": TaskState.COMPLETED}, here),
            ({"state": TaskState.PENDING}, there),
            ({"pod_name": "two"}, there),
            ({"target": "m1"}, here),
        ):
            (found,) = tasks.list_page(self.database, limit=5, **only)  # type: ignore[arg-type]
            self.assertEqual(wanted.uuid, found.uuid)


@databases.on_servers
class OvertakenTest(TasksTestCase):
    """Of one machine two tasks are not held at a time, however the transactions lie."""

    def test_an_older_task_that_was_committed_late_is_not_run_beside_a_younger_one(self) -> None:
        real, go_on = tasks._check_others, threading.Event()
        taken: defaultdict[str, threading.Event] = defaultdict(threading.Event)

        def check(connection: sa.Connection, rows: Sequence[Any]) -> None:
            for row in rows:
                taken[row["uuid"]].set()
                if row["uuid"] == second.uuid:
                    go_on.wait(PATIENCE)
            real(connection, rows)

        late = self.connect()
        new = NewTask(PodService.COMPUTE, "power-machine", self.pod.id, "", CIPHER, 600, Caller())
        with late.write() as connection:
            first = tasks.add(late, connection, new, target="m1")
            second = add_task(self.database, self.pod, target="m1")
            self.enterContext(mock.patch.object(tasks, "_check_others", check))
            pool = self.enterContext(ThreadPoolExecutor(2))
            one = pool.submit(claim_tasks, self.connect())
            # It has the second task, and has not committed that.
            self.assertTrue(taken[second.uuid].wait(PATIENCE))
        other = pool.submit(claim_tasks, self.connect())
        # It has the first one, which was committed meanwhile.
        self.assertTrue(taken[first].wait(PATIENCE))
        go_on.set()
        held = [*one.result(PATIENCE), *other.result(PATIENCE)]
        self.assertEqual([first], [each.uuid for each in held])
        self.assertEqual([], claim_tasks(self.database))
        self.end(held[0])
        self.assertEqual([second.uuid], [each.uuid for each in claim_tasks(self.database)])

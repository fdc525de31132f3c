# SPDX-License-Identifier: Apache-2.0
"""Pools are bounded, and threads survive the errors of what they run."""

import threading
import time
import unittest

from headwater.common.concurrency import BoundedPool, LateWork, StoppableThread
from tests.support.waiting import PATIENCE, eventually


class BoundedPoolTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.open = threading.Event()
        self.addCleanup(self.open.set)

    def wait(self) -> None:
        self.open.wait(PATIENCE)

    def test_it_runs_as_many_jobs_as_its_size_and_refuses_the_next(self) -> None:
        pool = BoundedPool(3, "test")
        self.assertEqual(3, pool.free)
        self.assertEqual([True, True, True, False], [pool.submit(self.wait) for _ in range(4)])
        self.assertEqual(0, pool.free)
        self.open.set()
        self.assertTrue(pool.drain(PATIENCE))
        self.assertEqual(3, pool.free)
        self.assertTrue(pool.submit(self.wait))
        self.assertTrue(pool.drain(PATIENCE))

    def test_its_jobs_run_at_the_same_time(self) -> None:
        pool, together = BoundedPool(4, "test"), threading.Barrier(5)
        for _ in range(4):
            pool.submit(lambda: together.wait(PATIENCE) and None)
        together.wait(PATIENCE)
        self.assertTrue(pool.drain(PATIENCE))

    def test_an_error_in_a_job_frees_its_place_and_is_logged(self) -> None:
        pool = BoundedPool(1, "broken pool")

        def fail() -> None:
            raise ValueError("from within the job")

        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            pool.submit(fail)
            self.assertTrue(pool.drain(PATIENCE))
        self.assertIn("broken pool", logged.output[0])
        self.assertIn("from within the job", logged.output[0])
        self.assertEqual(1, pool.free)
        self.assertTrue(pool.submit(self.open.set))
        self.assertTrue(pool.drain(PATIENCE))
        self.assertTrue(self.open.is_set())

    def test_submitting_and_asking_never_wait_for_a_job(self) -> None:
        pool = BoundedPool(1, "test")
        started = time.monotonic()
        pool.submit(self.wait)
        self.assertFalse(pool.submit(self.wait))
        self.assertEqual(0, pool.free)
        self.assertLess(time.monotonic() - started, PATIENCE / 2)

    def test_draining_has_an_end(self) -> None:
        pool = BoundedPool(1, "test")
        self.assertTrue(pool.drain(0.0))
        pool.submit(self.wait)
        self.assertFalse(pool.drain(0.01))
        self.open.set()
        self.assertTrue(pool.drain(PATIENCE))


class LateWorkTest(unittest.TestCase):
    def late_work(self, limit: int = 1000) -> LateWork:
        made = LateWork("test late work", ConnectionError, limit)
        self.addCleanup(made.stop, PATIENCE)
        return made

    def test_work_is_tried_again_until_it_can_be_done_and_in_order(self) -> None:
        late, done, away = self.late_work(), [], [True]

        def piece(number: int) -> None:
            if away:
                raise ConnectionError
            done.append(number)

        for number in range(5):
            late.add(lambda number=number: piece(number))
        self.assertEqual([], done)
        away.clear()
        eventually(lambda: len(done) == 5, "all the late work")
        self.assertEqual([0, 1, 2, 3, 4], done)

    def test_any_other_error_is_logged_and_the_next_piece_follows(self) -> None:
        late, done = self.late_work(), threading.Event()

        def fail() -> None:
            raise ValueError("it will never work")

        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            late.add(fail)
            late.add(done.set)
            self.assertTrue(done.wait(PATIENCE))
        self.assertIn("it will never work", logged.output[0])

    def test_what_is_too_much_is_refused_with_a_log_line(self) -> None:
        late, went_on = self.late_work(limit=2), []

        def refuse() -> None:
            raise ConnectionError

        late.add(refuse)
        late.add(refuse)
        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            late.add(lambda: went_on.append(1))
        self.assertIn("More than 2 pieces", logged.output[0])
        self.assertEqual([], went_on)

    def test_adding_never_waits(self) -> None:
        late, release = self.late_work(), threading.Event()
        self.addCleanup(release.set)
        started = time.monotonic()
        for _ in range(10):
            late.add(lambda: release.wait(PATIENCE) and None)
        self.assertLess(time.monotonic() - started, PATIENCE / 2)


class StoppableThreadTest(unittest.TestCase):
    def thread(self, step: object, error_delay: float = 0.0) -> StoppableThread:
        made = StoppableThread("test thread", step, error_delay)  # type: ignore[arg-type]
        self.addCleanup(made.stop, PATIENCE)
        return made

    def test_the_first_step_runs_at_once_and_the_next_after_the_delay_it_asked_for(self) -> None:
        steps: list[int] = []

        def step() -> float:
            steps.append(1)
            return 0.001 if len(steps) < 5 else 3600

        self.thread(step).start()
        eventually(lambda: len(steps) == 5, "five steps")

    def test_a_wake_ends_the_wait(self) -> None:
        ran = threading.Semaphore(0)

        def step() -> float:
            ran.release()
            return 3600

        thread = self.thread(step)
        thread.start()
        self.assertTrue(ran.acquire(timeout=PATIENCE))
        for _ in range(3):
            thread.wake()
            self.assertTrue(ran.acquire(timeout=PATIENCE))

    def test_a_wake_during_a_step_is_not_lost(self) -> None:
        began, go_on, steps = threading.Event(), threading.Event(), []

        def step() -> float:
            steps.append(1)
            began.set()
            go_on.wait(PATIENCE)
            return 3600

        thread = self.thread(step)
        thread.start()
        began.wait(PATIENCE)
        thread.wake()
        go_on.set()
        eventually(lambda: len(steps) == 2, "the step that the wake asked for")

    def test_it_goes_on_after_an_error_which_is_logged(self) -> None:
        steps: list[int] = []

        def step() -> float:
            steps.append(1)
            if len(steps) < 3:
                raise ValueError("the database is away")
            return 3600

        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            self.thread(step).start()
            eventually(lambda: len(steps) == 3, "the step after two errors")
        self.assertEqual(2, len(logged.output))
        self.assertIn("test thread", logged.output[0])
        self.assertIn("the database is away", logged.output[0])

    def test_after_an_error_it_waits_as_long_as_it_was_told(self) -> None:
        steps: list[int] = []

        def step() -> float:
            steps.append(1)
            raise ValueError

        with self.assertLogs("headwater.common.concurrency", "ERROR"):
            thread = self.thread(step, error_delay=3600)
            thread.start()
            eventually(lambda: steps, "the first step")
            thread.wake()
            eventually(lambda: len(steps) == 2, "the step that the wake asked for")
            self.assertTrue(thread.stop(PATIENCE))
        self.assertEqual(2, len(steps))

    def test_stopping_ends_the_wait_and_no_step_follows(self) -> None:
        steps: list[int] = []

        def step() -> float:
            steps.append(1)
            return 3600

        thread = self.thread(step)
        thread.start()
        eventually(lambda: steps, "the first step")
        self.assertTrue(thread.stop(PATIENCE))
        thread.wake()
        self.assertEqual(1, len(steps))

    def test_stopping_tells_when_the_present_step_does_not_end(self) -> None:
        began, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def step() -> float:
            began.set()
            go_on.wait(PATIENCE)
            return 3600

        thread = self.thread(step)
        thread.start()
        began.wait(PATIENCE)
        self.assertFalse(thread.stop(0.01))
        go_on.set()
        self.assertTrue(thread.stop(PATIENCE))

    def test_what_was_never_started_is_stopped_at_once(self) -> None:
        self.assertTrue(self.thread(lambda: 0.0).stop(0.0))

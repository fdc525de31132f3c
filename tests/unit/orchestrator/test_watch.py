# SPDX-License-Identifier: Apache-2.0
"""Those who wait for jobs: one look for all, and a look that fails is not the last."""

import concurrent.futures
from unittest import mock

from headwater.common.errors import NotFound
from headwater.common.states import JobState
from headwater.db import jobs
from headwater.db.records import JobSummary
from headwater.orchestrator.watch import JobWatch
from tests.support import builders, databases
from tests.support.waiting import PATIENCE, eventually


class JobWatchTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)
        self.uuid = builders.accepted_job(self.database).uuid
        self.watch = JobWatch(self.database, interval=0.01)

    def job(self) -> JobSummary:
        return jobs.get(self.database, self.uuid)

    def test_a_look_that_fails_in_any_way_is_followed_by_another(self) -> None:
        real, calls = jobs.of_ids, []

        def broken(*arguments: object) -> object:
            calls.append(arguments)
            if len(calls) < 3:
                raise ZeroDivisionError("anything")
            return real(*arguments)  # type: ignore[arg-type]

        with (
            mock.patch.object(jobs, "of_ids", broken),
            self.assertLogs("headwater.common.concurrency", "ERROR"),
            concurrent.futures.ThreadPoolExecutor(1) as pool,
        ):
            waiting = pool.submit(self.watch.settled, self.job(), PATIENCE)
            eventually(lambda: len(calls) > 3, "looks")
            builders.run_lane(self.database)
            self.assertIs(JobState.COMPLETED, waiting.result(PATIENCE).state)

    def test_many_who_wait_share_a_look(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(self.watch.settled, self.job(), PATIENCE) for _ in range(8)]
            builders.run_lane(self.database)
            for each in waiting:
                self.assertIs(JobState.COMPLETED, each.result(PATIENCE).state)

    def test_it_looks_again_after_nobody_waited(self) -> None:
        before = self.job()
        self.assertEqual(before, self.watch.settled(before, 0.05))
        eventually(lambda: self.watch._idle, "rest")
        builders.run_lane(self.database)
        self.assertIs(JobState.COMPLETED, self.watch.settled(before, PATIENCE).state)

    def test_a_job_that_was_forgotten_is_said_to_be(self) -> None:
        before = self.job()
        with self.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM orch_job")
        with self.assertRaisesRegex(NotFound, "was forgotten meanwhile"):
            self.watch.changed(before, PATIENCE)

# SPDX-License-Identifier: Apache-2.0
"""Engines share periodic work: each run by one of them, again after errors and after kills."""

import threading
from collections.abc import Callable

from headwater.common.states import RequestState
from headwater.db import jobs, periodic
from headwater.db.models import orch_job, periodic_work
from headwater.engine.periodic import Periodic, PeriodicRunner
from headwater.engine.purge import purge
from tests.support import builders, databases
from tests.support.waiting import PATIENCE, eventually

NEVER = 3600.0


class PeriodicRunnerTest(databases.DatabaseTestCase):
    def runner(
        self, run: Callable[[], object], *, interval: float = NEVER, lease: float = 60.0
    ) -> PeriodicRunner:
        made = PeriodicRunner(self.database, "engine", (Periodic("work", interval, run),), lease)
        self.addCleanup(made.stop, PATIENCE)
        return made

    def test_it_runs_at_once_and_then_again_and_again(self) -> None:
        rounds: list[int] = []
        self.runner(lambda: rounds.append(1), interval=0.01).start()
        eventually(lambda: len(rounds) >= 3, "three rounds")

    def test_two_engines_run_it_once(self) -> None:
        rounds: list[str] = []
        both = [self.runner(lambda name=name: rounds.append(name)) for name in "ab"]
        for runner in both:
            runner.start()

        def finished() -> bool:
            return any(work.last_finished_at for work in periodic.list_all(self.database))

        eventually(finished, "the first round")
        for runner in both:
            runner.stop(PATIENCE)
        self.assertEqual(1, len(rounds))

    def test_an_error_is_logged_and_kept_and_the_next_round_comes(self) -> None:
        rounds: list[int] = []

        def work() -> None:
            rounds.append(1)
            if len(rounds) == 1:
                raise ValueError("no luck")

        with self.assertLogs("headwater.engine.periodic", "ERROR") as logged:
            self.runner(work, interval=0.01).start()
            eventually(lambda: len(rounds) >= 2, "the round after the error")
        self.assertIn("no luck", logged.output[0])

    def test_a_long_run_is_kept_from_other_engines_by_the_heartbeat(self) -> None:
        began, release = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            release.wait(PATIENCE)

        self.addCleanup(release.set)
        self.runner(work, lease=0.5).start()
        self.assertTrue(began.wait(PATIENCE))
        (first,) = self.leases()
        eventually(lambda: self.leases() > [first], "a renewed lease")
        self.assertIsNone(periodic.claim(self.database, "work", "other", 60).generation)
        release.set()

    def leases(self) -> list[object]:
        with self.database.read() as connection:
            return list(connection.execute(periodic_work.select()).scalars("lease_until"))

    def test_what_a_killed_engine_began_is_done_by_another(self) -> None:
        periodic.claim(self.database, "work", "killed", 0.05)
        rounds: list[int] = []
        self.runner(lambda: rounds.append(1), lease=0.05).start()
        eventually(lambda: rounds, "the round of the other engine")


@databases.on_every_backend
class PurgeTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)

    def jobs(self) -> list[str]:
        return [each.job.uuid for each in jobs.list_page(self.database, limit=100)]

    def finished(self, days: float) -> str:
        job = builders.accepted_job(self.database)
        builders.run_lane(self.database)
        jobs.finish(self.database)
        when = builders.clock.after(-days * 86400)
        with self.database.write() as connection:
            connection.execute(
                orch_job.update().where(orch_job.c.id == job.id).values(finished_at=when)
            )
        return job.uuid

    def test_only_what_finished_long_ago_is_forgotten(self) -> None:
        recent = self.finished(days=2)
        for _ in range(3):
            self.finished(days=4)
        self.assertEqual(3, purge(self.database, 3 * 86400))
        self.assertEqual([recent], self.jobs())
        self.assertEqual(0, purge(self.database, 3 * 86400))

    def test_what_failed_or_waits_is_kept_whatever_its_age(self) -> None:
        failed = builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        waiting = builders.accepted_job(self.database)
        jobs.finish(self.database)
        self.assertEqual(0, purge(self.database, -1000))
        self.assertEqual({failed.uuid, waiting.uuid}, set(self.jobs()))

# SPDX-License-Identifier: Apache-2.0
"""The worker's loop: woken or polling it finds all work, and rests when there is none."""

import threading
from collections.abc import Callable
from datetime import datetime
from unittest import mock

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import DatabaseUnavailable, LeaseLost
from headwater.common.states import Management, RequestState, SyncRequest, SyncStatus
from headwater.db import jobs, lanes, subclouds
from headwater.db.models import orch_job, subcloud_sync
from headwater.db.records import ClaimedLane
from headwater.engine.execution import LaneRunner
from headwater.engine.lane_source import LaneSource
from headwater.engine.outcome import Done, Failed, Outcome, Retry
from headwater.engine.retry import Policy
from headwater.engine.task import LaneWork, Work
from headwater.engine.worker import Worker, WorkerSettings
from tests.support import builders, databases
from tests.support.waiting import PATIENCE, eventually

AWAY = Retry("No answer", counts=False, unreachable=True)

#: Seconds; a poll that does not come within a test.
NEVER = 3600.0


class Handler:
    """Executes by a function; every work is Done by default."""

    def __init__(self) -> None:
        self.executed: list[tuple[int, str]] = []
        self.result: Callable[[int], Outcome] = lambda subcloud_id: Done()

    def open(self, batch: LaneWork) -> "_Replay":
        self.guard = batch.guard
        return _Replay(self, batch.subcloud.id)


class _Replay:
    def __init__(self, handler: Handler, subcloud_id: int):
        self.handler, self.subcloud_id = handler, subcloud_id

    def execute(self, work: Work) -> Outcome:
        outcome = self.handler.result(self.subcloud_id)
        self.handler.executed.append((self.subcloud_id, work.request.master_id))
        return outcome


class NoKeys:
    """Stands in for the key ring where no job has a body."""

    def decrypt(self, text: str) -> dict[str, object]:
        return {}


class WorkerTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subcloud = builders.add_subcloud(self.database)
        self.handler = Handler()

    def worker(
        self,
        *,
        threads: int = 4,
        lease: float = 60.0,
        poll_interval: float = NEVER,
        endpoint_types: tuple[str, ...] = ("identity",),
        spread: Callable[[], None] | None = None,
    ) -> Worker[ClaimedLane]:
        runner = LaneRunner(
            self.database,
            NoKeys(),  # type: ignore[arg-type]
            self.handler,
            policy=Policy(max_tries=3, retry_delay=0.02, max_retry_delay=0.04),
            batch=10,
            breaker_after=3,
        )
        made = Worker(
            LaneSource(self.database, runner, endpoint_types, 4),
            WorkerSettings(threads=threads, lease=lease, poll_interval=poll_interval),
            spread,
        )
        self.addCleanup(made.stop, PATIENCE)
        return made

    def done(self, number: int) -> None:
        """Wait until so many requests are completed in the database."""

        def completed() -> bool:
            page = jobs.list_page(self.database, limit=1000)
            found = sum(each.counts.get(RequestState.COMPLETED, 0) for each in page)
            return found == number

        eventually(completed, f"{number} completed requests")

    def lane_is(self, sync_request: SyncRequest) -> None:
        eventually(
            lambda: builders.lane_of(self.database, self.subcloud).sync_request is sync_request,
            f"a lane that is {sync_request}",
        )

    def hold_replays(self) -> tuple[threading.Event, threading.Event]:
        """Let replays tell when they begin, and wait until they are released."""
        began, release = threading.Event(), threading.Event()

        def result(_: int) -> Outcome:
            began.set()
            release.wait(PATIENCE)
            return Done()

        self.handler.result = result
        return began, release

    def set_lanes(self, **values: object) -> None:
        with self.database.write() as connection:
            connection.execute(subcloud_sync.update().values(values))


class FindingWorkTest(WorkerTestCase):
    def test_what_waits_at_its_start_is_run(self) -> None:
        builders.accepted_job(self.database)
        self.worker().start()
        self.done(1)
        self.lane_is(SyncRequest.COMPLETED)

    def test_a_wake_runs_what_is_new(self) -> None:
        worker = self.worker()
        worker.start()
        for number in range(1, 4):
            builders.accepted_job(self.database, master_id=f"u{number}")
            worker.wake(["identity"])
            self.done(number)
        self.assertEqual(
            [(self.subcloud.id, f"u{number}") for number in range(1, 4)], self.handler.executed
        )

    def test_the_poll_finds_what_no_message_announced(self) -> None:
        worker = self.worker(poll_interval=0.05)
        worker.start()
        for number in range(1, 4):
            builders.accepted_job(self.database, master_id=f"u{number}")
            self.done(number)

    def test_a_lane_is_tried_again_after_its_back_off_without_a_poll(self) -> None:
        outcomes: list[Outcome] = [AWAY, AWAY, Done()]
        self.handler.result = lambda _: outcomes.pop(0)
        builders.accepted_job(self.database)
        self.worker().start()
        self.done(1)
        self.assertEqual(3, len(self.handler.executed))

    def test_the_lanes_of_a_killed_worker_are_taken_over(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database, "killed", lease=-1)
        self.worker(poll_interval=0.05).start()
        self.done(1)

    def test_more_lanes_than_threads_are_all_run(self) -> None:
        builders.add_subclouds(self.database, 9)
        builders.accepted_job(self.database)
        running, most = [0], [0]
        lock = threading.Lock()

        def result(_: int) -> Outcome:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            with lock:
                running[0] -= 1
            return Done()

        self.handler.result = result
        self.worker(threads=2).start()
        self.done(10)
        self.assertLessEqual(most[0], 2)

    def test_a_lane_that_hangs_holds_up_no_other(self) -> None:
        builders.add_subclouds(self.database, 3)
        release = threading.Event()

        def result(subcloud_id: int) -> Outcome:
            if subcloud_id == self.subcloud.id:
                release.wait(PATIENCE)
            return Done()

        self.handler.result = result
        builders.accepted_job(self.database)
        self.worker().start()
        self.addCleanup(release.set)
        self.done(3)
        release.set()
        self.done(4)

    def test_a_database_that_is_away_for_a_moment_does_not_end_it(self) -> None:
        broken = [True]

        def refuse(connection: object, cursor: object, statement: str, *rest: object) -> None:
            if broken and "subcloud_sync" in statement:
                raise ConnectionError("the database is away")

        engine = self.database.engine
        builders.accepted_job(self.database)
        sa.event.listen(engine, "before_cursor_execute", refuse)
        self.addCleanup(sa.event.remove, engine, "before_cursor_execute", refuse)
        worker = self.worker()
        with self.assertLogs("headwater.common.concurrency", "ERROR") as logged:
            worker.start()
            eventually(lambda: logged.output, "the logged error")
            broken.clear()
            worker.wake(["identity"])
            self.done(1)


class SpreadingTest(WorkerTestCase):
    """Other workers are woken when there is more than this one can take, and only then."""

    def asked(self, subclouds_: int, threads: int) -> int:
        told: list[int] = []
        builders.add_subclouds(self.database, subclouds_ - 1)
        worker = self.worker(threads=threads, spread=lambda: told.append(1))
        worker._step()
        builders.accepted_job(self.database)
        worker.wake(["identity"])
        worker._step()
        self.done(subclouds_ if subclouds_ <= threads else threads)
        return len(told)

    def test_others_are_told_of_what_is_left(self) -> None:
        self.assertEqual(1, self.asked(5, threads=2))

    def test_nobody_is_told_of_what_it_takes_itself(self) -> None:
        self.assertEqual(0, self.asked(4, threads=4))

    def test_nobody_is_told_of_lanes_that_may_not_run(self) -> None:
        builders.add_subclouds(self.database, 4)
        builders.accepted_job(self.database)
        lanes.request(self.database, ["identity"])
        for lane in builders.claim(self.database):
            lanes.release(self.database, lane, seen_wakeups=0, pause=3600, error="offline")
        told: list[int] = []
        worker = self.worker(threads=2, spread=lambda: told.append(1))
        worker._step()
        worker.wake(["identity"])
        worker._step()
        self.assertEqual([], told)

    def test_one_that_is_told_claims_what_others_asked_for(self) -> None:
        worker = self.worker()
        worker.start()
        eventually(lambda: worker._next_look, "the first look")
        builders.accepted_job(self.database)
        lanes.request(self.database, ["identity"])
        worker.look()
        self.done(1)


class LockedLanesTest(WorkerTestCase):
    """Due lanes that a claim found locked; on SQLite nothing is, so here it claims nothing."""

    def test_it_looks_again_soon_and_then_less_and_less_often(self) -> None:
        builders.accepted_job(self.database)
        worker = self.worker()
        self.enterContext(mock.patch.object(worker, "_claim", return_value=0))
        lanes.request(self.database, ["identity"])
        rests = []
        for _ in range(3):
            worker._next_look = 0.0
            rests.append(worker._step())
        self.assertTrue(0 < rests[0] <= 0.2 < rests[1] <= 0.4 < rests[2] <= 0.8, rests)

    def test_a_wake_up_that_the_database_refused_is_kept(self) -> None:
        worker = self.worker()
        worker._step()
        builders.accepted_job(self.database)
        worker.wake(["identity"])
        broken = mock.patch.object(lanes, "request", side_effect=DatabaseUnavailable("away"))
        with broken, self.assertRaises(DatabaseUnavailable):
            worker._step()
        worker._step()
        self.done(1)


class HoldingLanesTest(WorkerTestCase):
    def lease_until(self) -> datetime:
        with self.database.read() as connection:
            found: datetime = connection.execute(
                sa.select(subcloud_sync.c.lease_until)
            ).scalar_one()
        return found

    def test_a_replay_that_lasts_longer_than_the_lease_keeps_its_lane(self) -> None:
        def result(_: int) -> Outcome:
            first = self.lease_until()
            eventually(lambda: self.lease_until() > first, "a renewed lease")
            return Done()

        self.handler.result = result
        builders.accepted_job(self.database)
        self.worker(lease=0.5).start()
        self.done(1)

    def test_a_replay_whose_lease_was_lost_sends_nothing_more(self) -> None:
        began, go_on = threading.Event(), threading.Event()
        refused: list[LeaseLost] = []

        def result(_: int) -> Outcome:
            began.set()
            go_on.wait(PATIENCE)
            try:
                self.handler.guard()
            except LeaseLost as error:
                refused.append(error)
                raise
            return Done()

        self.handler.result = result
        builders.accepted_job(self.database)
        worker = self.worker(lease=2.0)
        worker.start()
        self.addCleanup(go_on.set)
        self.assertTrue(began.wait(PATIENCE))
        self.set_lanes(lease_until=builders.PAST)
        worker._renew()
        with self.assertLogs("headwater.engine.execution", "WARNING"):
            go_on.set()
            eventually(lambda: refused, "the refusal")
            # Nobody else is there: it claims the lane anew, and then it may.
            self.done(1)
        self.assertEqual(1, len(refused))
        self.assertEqual(1, len(self.handler.executed))

    def test_a_lane_that_it_took_over_from_itself_is_kept_too(self) -> None:
        # Its heartbeat was late once: the lease ended, and the same worker claimed the lane again
        # while its first thread was still busy there.
        first, second = threading.Event(), threading.Event()
        began: list[threading.Event] = []

        def result(_: int) -> Outcome:
            mine = second if began else first
            began.append(mine)
            mine.wait(PATIENCE)
            return Done()

        self.handler.result = result
        builders.accepted_job(self.database)
        worker = self.worker(threads=2, lease=2.0)
        worker.start()
        self.addCleanup(first.set)
        self.addCleanup(second.set)
        eventually(lambda: len(began) == 1, "the first thread")
        self.set_lanes(lease_until=builders.PAST)
        eventually(lambda: len(began) == 2, "the second thread")
        with self.assertLogs("headwater.engine.execution", "WARNING"):
            first.set()
            eventually(lambda: worker._pool.free == 1, "the end of the first thread")
        before = self.lease_until()
        worker._renew()
        self.assertGreater(self.lease_until(), before)
        second.set()
        self.done(1)

    def test_stopping_lets_the_request_at_hand_end_and_leaves_the_rest_to_others(self) -> None:
        began, release = self.hold_replays()
        for name in ("u1", "u2", "u3"):
            builders.accepted_job(self.database, master_id=name)
        worker = self.worker()
        worker.start()
        self.addCleanup(release.set)
        self.assertTrue(began.wait(PATIENCE))
        stopping = threading.Thread(target=worker.stop, args=(PATIENCE,))
        stopping.start()
        eventually(lambda: worker._stopping, "the word to stop")
        release.set()
        stopping.join(PATIENCE)
        self.done(1)
        lane = builders.lane_of(self.database, self.subcloud)
        self.assertEqual((SyncRequest.REQUESTED, 2), (lane.sync_request, lane.pending))
        self.worker().start()
        self.done(3)
        self.assertEqual(["u1", "u2", "u3"], [name for _, name in self.handler.executed])

    def test_stopping_lets_running_lanes_end_and_claims_nothing_more(self) -> None:
        began, release = self.hold_replays()
        builders.accepted_job(self.database)
        worker = self.worker()
        worker.start()
        self.addCleanup(release.set)
        self.assertTrue(began.wait(PATIENCE))
        stopping = threading.Thread(target=worker.stop, args=(PATIENCE,))
        stopping.start()
        release.set()
        stopping.join(PATIENCE)
        self.assertFalse(stopping.is_alive())
        self.done(1)
        builders.accepted_job(self.database, master_id="u2")
        worker.wake(["identity"])
        self.assertEqual([(self.subcloud.id, "u1")], self.handler.executed)

    def test_stopping_tells_which_lanes_did_not_end(self) -> None:
        began, release = self.hold_replays()
        builders.accepted_job(self.database)
        worker = self.worker()
        worker.start()
        self.addCleanup(release.set)
        self.assertTrue(began.wait(PATIENCE))
        with self.assertLogs("headwater.engine.worker", "WARNING") as logged:
            worker.stop(0.05)
        lane = builders.lane_of(self.database, self.subcloud)
        self.assertRegex(logged.output[0], rf"leaves lanes behind: .*\b{lane.id}\b")

    def test_two_workers_have_different_names(self) -> None:
        self.assertNotEqual(self.worker().owner, self.worker().owner)


class RestingTest(WorkerTestCase):
    """How long the loop rests is what one turn of it returns; nobody has to watch the clock."""

    def rest(self, lease: float = NEVER) -> float:
        worker = self.worker(lease=lease)
        worker._step()
        self.done_lanes()
        return worker._step()

    def done_lanes(self) -> None:
        def idle() -> bool:
            found = lanes.of_subclouds(self.database, [self.subcloud.id])
            return all(lane.sync_request is not SyncRequest.IN_PROGRESS for lane in found)

        eventually(idle, "lanes that are not running")

    def pause(self, endpoint_type: str = "identity") -> None:
        """Leave a lane behind whose back-off has passed."""
        lanes.ensure(self.database, [endpoint_type])
        builders.accepted_job(self.database, endpoint_type=endpoint_type)
        lanes.request(self.database, [endpoint_type])
        (lane,) = builders.claim(self.database, endpoint_types=(endpoint_type,))
        lanes.release(self.database, lane, seen_wakeups=0, pause=-1, error="x")

    def test_with_nothing_to_do_it_rests_until_the_poll_or_half_a_lease(self) -> None:
        # Lanes of a killed worker must run elsewhere within two leases, whatever the poll is.
        self.assertGreater(self.rest(), NEVER / 2 - 60)
        self.assertLess(self.rest(lease=30.0), 15.1)

    def test_it_wakes_up_when_the_lease_of_another_worker_ends(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database, "killed", lease=5)
        self.assertLess(self.worker()._step(), 5.1)

    def test_a_lane_that_it_may_not_claim_yet_does_not_keep_it_busy(self) -> None:
        for name in ("a", "b", "c", "d", "e"):
            lanes.ensure(self.database, [name])
            builders.accepted_job(self.database, endpoint_type=name)
        lanes.request(self.database, ["a", "b", "c", "d", "e"])
        types = ("a", "b", "c", "d", "e", "identity")
        # As many as may run, and one more whose back-off is over.
        self.assertEqual(
            4, len(builders.claim(self.database, endpoint_types=types, per_subcloud=4))
        )
        self.set_lanes(next_try_at=builders.PAST)
        self.assertGreater(self.worker(endpoint_types=types)._step(), 0.1)

    def test_a_paused_lane_of_a_subcloud_that_is_not_managed_does_not_keep_it_busy(self) -> None:
        self.pause()
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertGreater(self.rest(), 1.0)

    def test_a_paused_lane_of_an_endpoint_type_of_others_does_not_keep_it_busy(self) -> None:
        self.pause("compute")
        self.assertGreater(self.rest(), 1.0)

    def test_it_rests_no_longer_than_the_next_back_off(self) -> None:
        self.pause()
        self.set_lanes(next_try_at=clock.after(0.5))
        self.assertLess(self.worker()._step(), 0.6)


class FinishedJobsTest(WorkerTestCase):
    def body(self) -> str | None:
        with self.database.read() as connection:
            return connection.execute(sa.select(orch_job.c.resource_info)).scalar_one()

    def test_the_body_of_a_job_goes_soon_after_its_last_request(self) -> None:
        builders.audited(self.database)
        builders.accepted_job(self.database)
        self.assertIsNotNone(self.body())
        self.worker().start()
        eventually(lambda: self.body() is None, "a dropped body")
        self.assertIs(
            SyncStatus.IN_SYNC, builders.lane_of(self.database, self.subcloud).sync_status
        )

    def test_the_body_of_a_failed_job_stays(self) -> None:
        self.handler.result = lambda _: Failed("400 wrong")
        builders.accepted_job(self.database)
        worker = self.worker()
        worker.start()
        self.lane_is(SyncRequest.FAILED)
        worker.stop(PATIENCE)
        self.assertIsNotNone(self.body())

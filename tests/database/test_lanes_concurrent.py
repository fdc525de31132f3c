# SPDX-License-Identifier: Apache-2.0
"""Many workers at a time, as real threads over real connections: no lane has two holders."""

import threading
from collections import Counter
from collections.abc import Callable

import sqlalchemy as sa

from headwater.common.errors import LeaseLost
from headwater.common.states import Operation, RequestState, SyncRequest
from headwater.db import jobs, lanes, requests
from headwater.db.connection import Database
from headwater.db.models import orch_request, subcloud_sync
from headwater.db.records import ClaimedLane
from tests.support import builders, databases
from tests.support.waiting import eventually


class ConcurrentTestCase(databases.DatabaseTestCase):
    def together(self, number: int, work: Callable[[int, Database], None]) -> None:
        """Run `work` on threads that begin at once; two of them share a connection pool each."""
        processes = [self.database, self.connect()]
        ready = threading.Barrier(number)
        failures: list[BaseException] = []

        def run(index: int) -> None:
            try:
                ready.wait(60)
                work(index, processes[index % 2])
            except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertFalse([thread for thread in threads if thread.is_alive()], "threads that hang")
        for failure in failures:
            raise failure


#: Seconds between two looks at a server's locks. MariaDB's list is made anew only for who has not
#: looked at it for 0.1 s; whoever looks more often sees the same old one for ever.
LOOK = 0.2


@databases.on_every_backend
class ConcurrentClaimTest(ConcurrentTestCase):
    LANES = 40

    def setUp(self) -> None:
        super().setUp()
        builders.add_subclouds(self.database, self.LANES)
        builders.accepted_job(self.database)
        self.assertEqual(self.LANES, lanes.request(self.database, ["identity"]))

    def claim_all(self, workers: int, limit: int) -> list[ClaimedLane]:
        claimed: list[list[ClaimedLane]] = [[] for _ in range(workers)]

        def work(index: int, database: Database) -> None:
            # A lane that another one has locked is skipped: look again until nothing is left.
            for _ in range(3 * self.LANES):
                found = builders.claim(database, f"worker{index}", limit=limit)
                self.assertLessEqual(len(found), limit)
                claimed[index] += found
                if sum(map(len, claimed)) >= self.LANES:
                    return

        self.together(workers, work)
        return [lane for lanes_ in claimed for lane in lanes_]

    def test_two_workers_never_claim_the_same_lane(self) -> None:
        counted = Counter(lane.id for lane in self.claim_all(2, limit=5))
        self.assertEqual({1}, set(counted.values()))
        self.assertEqual(self.LANES, len(counted))

    def test_eight_workers_never_claim_the_same_lane(self) -> None:
        counted = Counter(lane.id for lane in self.claim_all(8, limit=3))
        self.assertEqual({1}, set(counted.values()))
        self.assertEqual(self.LANES, len(counted))

    def test_eight_workers_never_take_over_the_same_expired_lane(self) -> None:
        builders.claim(self.database, "killed", lease=-1)
        counted = Counter(lane.id for lane in self.claim_all(8, limit=3))
        self.assertEqual({1}, set(counted.values()))
        self.assertEqual(self.LANES, len(counted))
        with self.database.read() as connection:
            owners = connection.execute(sa.select(subcloud_sync.c.lease_owner)).scalars().all()
        self.assertNotIn("killed", owners)


@databases.on_every_backend
class ConcurrentEnsureTest(ConcurrentTestCase):
    def test_workers_that_start_together_make_each_lane_once(self) -> None:
        for index in range(20):
            builders.add_subcloud(self.database, f"cloud{index}", endpoint_types=())
        names = [f"type{number}" for number in range(5)]
        for name in names:
            self.together(8, lambda _, database, name=name: lanes.ensure(database, [name]))
        with self.database.read() as connection:
            number = connection.execute(
                sa.select(sa.func.count()).select_from(subcloud_sync)
            ).scalar_one()
        self.assertEqual(20 * len(names), number)


@databases.on_every_backend
class BusyInstallationTest(ConcurrentTestCase):
    """Changes, wake-ups, workers and lost leases all at once."""

    CLOUDS = 4
    JOBS = 12

    def setUp(self) -> None:
        super().setUp()
        self.clouds = builders.add_subclouds(self.database, self.CLOUDS)
        self.accepting = threading.Event()
        self.runs: dict[int, list[tuple[str, int]]] = {cloud.id: [] for cloud in self.clouds}

    def gateway(self, database: Database, name: str) -> None:
        for index in range(self.JOBS // 2):
            builders.accepted_job(database, master_id=f"{name}-{index}")
            lanes.request(database, ["identity"])

    def done(self, database: Database) -> bool:
        with database.read() as connection:
            number = connection.execute(
                sa.select(sa.func.count()).where(orch_request.c.state == RequestState.COMPLETED)
            ).scalar_one()
        return bool(number == self.CLOUDS * self.JOBS)

    def worker(self, database: Database, name: str) -> None:
        for turn in range(2000):
            # Every third lease is over before the work begins, as if the worker had been stopped.
            lease = -1.0 if turn % 3 == 2 else builders.LEASE
            for lane in builders.claim(database, name, lease=lease, limit=2):
                try:
                    self.run_lane(database, lane)
                except LeaseLost:
                    continue
            if self.done(database):
                return
            lanes.request(database, ["identity"], forgotten=True)
        raise AssertionError("the work does not end")

    def run_lane(self, database: Database, lane: ClaimedLane) -> None:
        while True:
            batch = requests.next_batch(database, lane, 3)
            if not batch.requests:
                lanes.release(database, lane, seen_wakeups=batch.wakeups)
                return
            results = [builders.result(request) for request in batch.requests]
            requests.save_results(database, lane, results, builders.LEASE)
            # Only what was written under the lease counts.
            for request in batch.requests:
                gateway, _, index = request.master_id.partition("-")
                self.runs[lane.subcloud_id].append((gateway, int(index)))

    def test_every_request_is_done_once_and_in_order_and_no_lane_is_left_behind(self) -> None:
        def work(index: int, database: Database) -> None:
            if index < 2:
                self.gateway(database, f"gateway{index}")
            else:
                self.worker(database, f"worker{index}")

        self.together(6, work)
        for runs in self.runs.values():
            for gateway in ("gateway0", "gateway1"):
                # What one client did after the other; between two clients there is no order.
                done = [index for name, index in runs if name == gateway]
                self.assertEqual(list(range(self.JOBS // 2)), done)
        for lane in lanes.of_subclouds(self.database, [cloud.id for cloud in self.clouds]):
            self.assertEqual((0, 0), (lane.pending, lane.failed))
        self.assertEqual(self.JOBS, jobs.finish(self.database))


@databases.on_servers
class StoppedWorkerTest(databases.DatabaseTestCase):
    """A worker that stands still in the middle of a transaction, as a stopped process does."""

    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)
        builders.accepted_job(self.database)
        self.other, self.observer = self.connect(), self.connect()
        self.taken_over = False

    def before(self, fragment: str, meanwhile: Callable[[], None]) -> None:
        """Run `meanwhile` once, when the first worker is about to send SQL with `fragment`."""
        pending = [meanwhile]

        def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
            if fragment in statement and pending:
                pending.pop()()

        engine = self.database.engine
        sa.event.listen(engine, "before_cursor_execute", note)
        self.addCleanup(sa.event.remove, engine, "before_cursor_execute", note)

    def take_over(self) -> None:
        """The first worker's lease has ended: another one runs the lane and has to pause it."""
        for lane in builders.claim(self.other, "other"):
            self.taken_over = True
            requests.next_batch(self.other, lane, 10)
            lanes.release(self.other, lane, seen_wakeups=0, pause=3600, error="offline")

    def waits_for_lock(self) -> bool:
        """Whether some transaction of this database waits for another one."""
        question = {
            "postgresql": "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
            "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx"
            " WHERE trx_state = 'LOCK WAIT'",
        }
        with self.observer.read() as connection:
            return bool(connection.execute(sa.text(question[self.database.dialect])).scalar_one())

    def test_a_worker_waits_while_it_is_decided_which_retries_were_overtaken(self) -> None:
        builders.run_lane(self.database, RequestState.FAILED)
        (failed,) = jobs.list_page(self.database, limit=1)
        later = builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        read: list[str] = []

        def read_lane() -> None:
            batch = requests.next_batch(self.other, lane, 10)
            read.extend(request.job_uuid for request in batch.requests)

        reader = threading.Thread(target=read_lane)
        self.addCleanup(reader.join)

        def meanwhile() -> None:
            reader.start()
            eventually(lambda: read or self.waits_for_lock(), "the reader", every=LOOK)

        self.before("UPDATE orch_request", meanwhile)
        requests.retry(self.database, failed.job.id)
        reader.join(60)
        # Else the later one would have run first, and the old one over it.
        self.assertEqual([failed.job.uuid, later.uuid], read)

    def test_a_worker_that_loses_its_lease_while_it_reads_writes_nothing(self) -> None:
        lane = builders.claimed_lane(self.database, lease=-1)
        self.before("FROM orch_request", self.take_over)
        try:
            batch = requests.next_batch(self.database, lane, 10).requests
        except LeaseLost:
            batch = ()
        with self.database.read() as connection:
            state = connection.execute(sa.select(orch_request.c.state)).scalar_one()
        # Either the lane was locked and stayed the first worker's, or it changed hands.
        expected = (0, "queued") if self.taken_over else (1, "in-progress")
        self.assertEqual(expected, (len(batch), state))


@databases.on_servers
class LastMomentTest(databases.DatabaseTestCase):
    """A client finds a new resource in a list and changes it while its create is being accepted."""

    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)
        self.create = jobs.open_intent(self.database, builders.intent(Operation.CREATE, None))
        self.other = self.connect()

    def update(self) -> None:
        """The whole update, from its intent to its acceptance."""
        job = jobs.open_intent(self.other, builders.intent(Operation.UPDATE, "u1"))
        jobs.accept(self.other, job, builders.change(natural_key={"name": "new"}))

    def lane_with_update_before(self, fragment: str) -> list[Operation]:
        """The lane's operations when the update comes in the middle of the create's acceptance."""
        thread = threading.Thread(target=self.update)
        pending = [thread]

        def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
            if fragment in statement and pending:
                pending.pop().start()
                # It ends at once, or waits for the create to be through.
                thread.join(0.5)

        engine = self.database.engine
        sa.event.listen(engine, "before_cursor_execute", note)
        try:
            key = {"name": "old"}
            jobs.accept(
                self.database, self.create, builders.change(Operation.CREATE, natural_key=key)
            )
        finally:
            sa.event.remove(engine, "before_cursor_execute", note)
        self.assertEqual([], pending)
        thread.join(60)
        lane = builders.claimed_lane(self.database)
        batch = requests.next_batch(self.database, lane, 10).requests
        self.assertEqual(2, len(batch))
        return [request.operation for request in batch]

    def test_the_create_never_runs_last_with_its_old_fields(self) -> None:
        found = self.lane_with_update_before("INSERT INTO resource")
        self.assertNotEqual(Operation.CREATE, found[-1])

    def test_nor_when_the_update_comes_later_still(self) -> None:
        found = self.lane_with_update_before("INSERT INTO orch_request")
        self.assertNotEqual(Operation.CREATE, found[-1])


@databases.on_every_backend
class OvertakingTest(ConcurrentTestCase):
    def test_overlapping_changes_from_many_threads_end_with_aligns(self) -> None:
        builders.add_subcloud(self.database)
        opened = [jobs.open_intent(self.database, builders.intent()) for _ in range(8)]

        def work(index: int, database: Database) -> None:
            jobs.accept(database, opened[index], builders.change())

        self.together(8, work)
        lane = builders.claimed_lane(self.database)
        batch = requests.next_batch(self.database, lane, 10).requests
        self.assertEqual(8, len(batch))
        self.assertEqual(
            [Operation.UPDATE, *7 * [Operation.ALIGN]], [request.operation for request in batch]
        )
        self.assertIs(
            SyncRequest.IN_PROGRESS,
            lanes.of_subclouds(self.database, [lane.subcloud_id])[0].sync_request,
        )

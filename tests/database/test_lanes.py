# SPDX-License-Identifier: Apache-2.0
"""Lanes: asked for, claimed under a lease, kept, released; no wake-up is lost."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import LeaseLost
from headwater.common.states import Management, RequestState, SyncRequest, SyncStatus
from headwater.db import lanes, requests, schema, subclouds
from headwater.db.models import subcloud_sync
from headwater.db.records import ClaimedLane, Lane, Subcloud
from tests.support import builders, databases


class LanesTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subcloud = builders.add_subcloud(self.database)

    def lane(self, subcloud: Subcloud | None = None, endpoint_type: str = "identity") -> Lane:
        return builders.lane_of(self.database, subcloud or self.subcloud, endpoint_type)

    def column(self, name: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(
                sa.select(subcloud_sync.c[name]).where(
                    subcloud_sync.c.subcloud_id == self.subcloud.id
                )
            ).scalar_one()

    def set(self, subcloud: Subcloud, **values: object) -> None:
        with self.database.write() as connection:
            connection.execute(
                subcloud_sync.update()
                .where(subcloud_sync.c.subcloud_id == subcloud.id)
                .values(values)
            )

    def ask(self, *endpoint_types: str, **how: bool) -> int:
        return lanes.request(self.database, endpoint_types or ("identity",), **how)

    def release(
        self, lane: ClaimedLane, next_try_at: datetime | None = None, error: str | None = None
    ) -> SyncRequest:
        """Release as the runner does, with the counter as it was at the last read."""
        batch = requests.next_batch(self.database, lane, 1000)
        return lanes.release(
            self.database,
            lane,
            seen_wakeups=batch.wakeups,
            next_try_at=next_try_at,
            error=error,
        )


@databases.on_every_backend
class EnsureTest(LanesTestCase):
    def test_every_subcloud_gets_the_lanes_that_it_lacks(self) -> None:
        unmanaged = builders.add_subcloud(self.database, "two", managed=False, endpoint_types=())
        before = self.lane()
        for _ in range(2):
            lanes.ensure(self.database, ["identity", "compute"])
            for subcloud in (self.subcloud, unmanaged):
                found = lanes.of_subclouds(self.database, [subcloud.id])
                self.assertEqual(["compute", "identity"], [lane.endpoint_type for lane in found])
        self.assertEqual(before, self.lane())
        added = self.lane(unmanaged, "compute")
        self.assertEqual(
            (SyncRequest.NONE, SyncStatus.UNKNOWN), (added.sync_request, added.sync_status)
        )

    def test_a_lane_that_was_added_later_works_like_any_other(self) -> None:
        lanes.ensure(self.database, ["compute"])
        builders.accepted_job(self.database, endpoint_type="compute", resource_type="flavor")
        self.assertEqual(1, self.ask("compute"))
        self.assertEqual(1, len(builders.claim(self.database, endpoint_types=("compute",))))


@databases.on_every_backend
class RequestTest(LanesTestCase):
    def test_lanes_with_queued_requests_are_asked_for(self) -> None:
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.assertEqual(2, self.ask())
        for subcloud in (self.subcloud, other):
            lane = self.lane(subcloud)
            self.assertIs(SyncRequest.REQUESTED, lane.sync_request)
            self.assertIs(SyncStatus.OUT_OF_SYNC, lane.sync_status)
            self.assertEqual((1, 0), (lane.pending, lane.failed))

    def test_a_lane_without_queued_requests_is_not(self) -> None:
        self.assertEqual(0, self.ask())
        self.assertIs(SyncRequest.NONE, self.lane().sync_request)
        builders.accepted_job(self.database)
        builders.run_lane(self.database)
        self.assertEqual(0, self.ask())

    def test_an_unmanaged_subcloud_is_not_asked_for(self) -> None:
        builders.accepted_job(self.database)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual(0, self.ask())
        self.assertIs(SyncRequest.NONE, self.lane().sync_request)

    def test_other_endpoint_types_are_left_alone(self) -> None:
        lanes.ensure(self.database, ["compute"])
        builders.accepted_job(self.database)
        builders.accepted_job(self.database, endpoint_type="compute", resource_type="flavor")
        self.assertEqual(1, self.ask("compute"))
        self.assertIs(SyncRequest.NONE, self.lane().sync_request)
        self.assertIs(SyncRequest.REQUESTED, self.lane(endpoint_type="compute").sync_request)
        self.assertEqual(0, lanes.request(self.database, []))

    def test_a_running_lane_keeps_running_and_its_counter_rises(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database)
        before = self.column("wakeups")
        self.assertEqual(1, self.ask())
        self.assertIs(SyncRequest.IN_PROGRESS, self.lane().sync_request)
        self.assertEqual("worker", self.lane().lease_owner)
        self.assertEqual(before + 1, self.column("wakeups"))

    def test_the_poll_asks_only_for_lanes_that_nobody_asked_for(self) -> None:
        builders.accepted_job(self.database)
        self.assertEqual(1, self.ask(forgotten=True))
        self.assertEqual(0, self.ask(forgotten=True))
        builders.claimed_lane(self.database)
        self.assertEqual(0, self.ask(forgotten=True))

    def test_the_poll_finds_what_came_to_a_lane_that_was_done(self) -> None:
        for state in (RequestState.COMPLETED, RequestState.FAILED):
            builders.accepted_job(self.database)
            builders.run_lane(self.database, state)
            builders.accepted_job(self.database)
            self.assertEqual(1, self.ask(forgotten=True), state)
            builders.run_lane(self.database)

    def test_asking_does_not_shorten_a_back_off_unless_it_says_so(self) -> None:
        builders.accepted_job(self.database)
        self.release(builders.claimed_lane(self.database), builders.FUTURE, "busy")
        self.ask()
        self.assertEqual(builders.FUTURE, self.lane().next_try_at)
        self.assertEqual([], builders.claim(self.database))
        self.ask(at_once=True)
        self.assertIsNone(self.lane().next_try_at)
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_one_subcloud_can_be_asked_for_alone(self) -> None:
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        for lane in builders.claim(self.database):
            self.release(lane, builders.FUTURE, "busy")
        asked = lanes.request(self.database, ["identity"], subcloud_id=other.id, at_once=True)
        self.assertEqual(1, asked)
        self.assertIsNone(self.lane(other).next_try_at)
        self.assertEqual(builders.FUTURE, self.lane().next_try_at)

    def test_the_time_of_the_status_is_that_of_its_last_change(self) -> None:
        builders.accepted_job(self.database)
        before = clock.now()
        self.ask()
        changed = self.column("sync_status_changed_at")
        self.assertLessEqual(before, changed)
        self.ask()
        self.assertEqual(changed, self.column("sync_status_changed_at"))
        self.release_all()
        done = self.column("sync_status_changed_at")
        self.assertGreater(done, changed)

    def release_all(self) -> None:
        (lane,) = builders.claim(self.database)
        builders.finish_requests(self.database, lane)
        self.release(lane)

    def test_the_longest_waiting_keeps_its_place_when_it_is_asked_for_again(self) -> None:
        builders.accepted_job(self.database)
        self.ask()
        first = self.column("requested_at")
        self.ask()
        self.assertEqual(first, self.column("requested_at"))


@databases.on_every_backend
class ClaimTest(LanesTestCase):
    def request_lane(self, subcloud: Subcloud, at: datetime) -> None:
        self.set(subcloud, sync_request=SyncRequest.REQUESTED, requested_at=at)

    def test_a_requested_lane_is_claimed_once(self) -> None:
        builders.accepted_job(self.database)
        self.ask()
        (claimed,) = builders.claim(self.database, "worker")
        self.assertEqual(
            (self.subcloud.id, "identity"), (claimed.subcloud_id, claimed.endpoint_type)
        )
        self.assertEqual(self.lane().id, claimed.id)
        self.assertIs(SyncRequest.IN_PROGRESS, self.lane().sync_request)
        self.assertEqual("worker", self.lane().lease_owner)
        self.assertEqual([], builders.claim(self.database, "other"))

    def test_a_lane_that_nobody_asked_for_is_not_claimed(self) -> None:
        builders.accepted_job(self.database)
        self.assertEqual([], builders.claim(self.database))

    def test_each_claim_raises_the_generation(self) -> None:
        generations = []
        for _ in range(3):
            builders.accepted_job(self.database)
            lane = builders.claimed_lane(self.database)
            generations.append(lane.generation)
            builders.finish_requests(self.database, lane)
            self.release(lane)
        self.assertEqual(sorted(set(generations)), generations)

    def test_a_lease_lasts_as_long_as_it_was_asked_for(self) -> None:
        builders.accepted_job(self.database)
        earliest = clock.after(60)
        builders.claimed_lane(self.database, lease=60)
        self.assertLessEqual(earliest, self.column("lease_until"))
        self.assertLessEqual(self.column("lease_until"), clock.after(60))

    def test_no_more_lanes_are_claimed_than_the_limit_allows(self) -> None:
        builders.add_subclouds(self.database, 6)
        builders.accepted_job(self.database)
        self.assertEqual(7, self.ask())
        sizes = [len(builders.claim(self.database, limit=3)) for _ in range(4)]
        self.assertEqual([3, 3, 1, 0], sizes)
        self.assertEqual([], builders.claim(self.database, limit=0))

    def test_an_unmanaged_lane_is_never_claimed(self) -> None:
        builders.accepted_job(self.database)
        self.ask()
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual([], builders.claim(self.database))
        self.set(self.subcloud, sync_request=SyncRequest.IN_PROGRESS, lease_until=builders.PAST)
        self.assertEqual([], builders.claim(self.database))
        subclouds.set_management(self.database, "one", Management.MANAGED)
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_other_endpoint_types_are_left_alone(self) -> None:
        lanes.ensure(self.database, ["compute"])
        builders.accepted_job(self.database)
        builders.accepted_job(self.database, endpoint_type="compute", resource_type="flavor")
        self.ask("identity", "compute")
        found = builders.claim(self.database, endpoint_types=("compute",))
        self.assertEqual(["compute"], [lane.endpoint_type for lane in found])
        self.assertEqual([], builders.claim(self.database, endpoint_types=()))
        self.assertIs(SyncRequest.REQUESTED, self.lane().sync_request)

    def test_a_back_off_is_waited_for(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        self.assertIs(SyncRequest.REQUESTED, self.release(lane, builders.FUTURE, "busy"))
        self.assertEqual([], builders.claim(self.database))
        self.set(self.subcloud, next_try_at=builders.PAST)
        (again,) = builders.claim(self.database)
        self.assertEqual(1, again.failures)

    def test_an_expired_lease_is_taken_over(self) -> None:
        builders.accepted_job(self.database)
        lost = builders.claimed_lane(self.database, "killed", lease=-1)
        (taken,) = builders.claim(self.database, "other")
        self.assertEqual(lost.id, taken.id)
        self.assertGreater(taken.generation, lost.generation)
        self.assertEqual("other", self.lane().lease_owner)

    def test_a_lease_that_has_not_ended_is_not_taken_over(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database, "alive", lease=60)
        self.assertEqual([], builders.claim(self.database, "other"))

    def test_the_longest_waiting_comes_first(self) -> None:
        new = builders.add_subcloud(self.database, "new")
        old = builders.add_subcloud(self.database, "old")
        self.request_lane(new, clock.after(-10))
        self.request_lane(old, clock.after(-30))
        self.request_lane(self.subcloud, clock.after(-20))
        order = [builders.claim(self.database, limit=1)[0].subcloud_id for _ in range(3)]
        self.assertEqual([old.id, self.subcloud.id, new.id], order)

    def test_lanes_of_a_killed_worker_do_not_wait_behind_newer_ones(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database, "killed")
        self.set(self.subcloud, lease_until=clock.after(-30))
        new = builders.add_subcloud(self.database, "new")
        self.request_lane(new, clock.after(-10))
        (first,) = builders.claim(self.database, limit=1)
        self.assertEqual(self.subcloud.id, first.subcloud_id)

    def test_a_claim_tells_how_often_the_lane_failed(self) -> None:
        builders.accepted_job(self.database)
        failures = []
        for _ in range(3):
            lane = builders.claimed_lane(self.database)
            failures.append(lane.failures)
            self.release(lane, builders.PAST, "busy")
        self.assertEqual([0, 1, 2], failures)


@databases.on_servers
class PlannerTest(databases.DatabaseTestCase):
    """A database of its own: its statistics must not follow other tests around."""

    migrated = False

    def test_the_limit_of_a_claim_holds_when_the_table_was_small_when_it_was_analyzed(self) -> None:
        # PostgreSQL then expects one row and may run an inner SELECT .. LIMIT once per row.
        schema.sync(self.database)
        builders.add_subcloud(self.database)
        table = "TABLE " if self.database.dialect == "mysql" else ""
        with self.database.write() as connection:
            connection.exec_driver_sql(f"ANALYZE {table}subcloud_sync")
        builders.add_subclouds(self.database, 20)
        builders.accepted_job(self.database)
        lanes.request(self.database, ["identity"])
        self.assertEqual(2, len(builders.claim(self.database, limit=2)))


@databases.on_every_backend
class RenewTest(LanesTestCase):
    def renew(self, owner: str, *lane_ids: int) -> int:
        return lanes.renew(self.database, owner, lane_ids, 2 * builders.LEASE)

    def test_the_holder_keeps_its_lanes(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        before = self.column("lease_until")
        self.assertEqual(1, self.renew("worker", lane.id))
        self.assertGreater(self.column("lease_until"), before)

    def test_a_stranger_keeps_nothing(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        before = self.column("lease_until")
        self.assertEqual(0, self.renew("other", lane.id))
        self.assertEqual(before, self.column("lease_until"))

    def test_a_lane_that_was_taken_over_is_not_kept_by_its_old_holder(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database, "killed", lease=-1)
        builders.claim(self.database, "other")
        self.assertEqual(0, self.renew("killed", lane.id))

    def test_a_released_lane_is_not_kept(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        builders.finish_requests(self.database, lane)
        self.release(lane)
        self.assertEqual(0, self.renew("worker", lane.id))
        self.assertIsNone(self.column("lease_until"))

    def test_only_the_named_lanes_are_kept(self) -> None:
        builders.add_subclouds(self.database, 2)
        builders.accepted_job(self.database)
        self.ask()
        first, second, _ = builders.claim(self.database)
        self.assertEqual(2, self.renew("worker", first.id, second.id, 4711))
        self.assertEqual(0, self.renew("worker"))


@databases.on_every_backend
class ReleaseTest(LanesTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.accepted_job(self.database)
        self.claimed = builders.claimed_lane(self.database)

    def test_a_lane_whose_requests_all_ran_is_completed_and_in_sync(self) -> None:
        builders.finish_requests(self.database, self.claimed)
        self.assertIs(SyncRequest.COMPLETED, self.release(self.claimed))
        lane = self.lane()
        self.assertIs(SyncRequest.COMPLETED, lane.sync_request)
        self.assertIs(SyncStatus.IN_SYNC, lane.sync_status)
        self.assertEqual((0, 0), (lane.pending, lane.failed))
        self.assertEqual((None, None, None), (lane.lease_owner, lane.last_error, lane.next_try_at))

    def test_a_lane_with_a_failed_request_is_failed_and_out_of_sync(self) -> None:
        builders.finish_requests(self.database, self.claimed, RequestState.FAILED)
        self.assertIs(SyncRequest.FAILED, self.release(self.claimed))
        lane = self.lane()
        self.assertIs(SyncStatus.OUT_OF_SYNC, lane.sync_status)
        self.assertEqual((0, 1), (lane.pending, lane.failed))

    def test_a_failure_of_long_ago_keeps_the_lane_failed(self) -> None:
        builders.finish_requests(self.database, self.claimed, RequestState.FAILED)
        self.release(self.claimed)
        builders.accepted_job(self.database)
        builders.run_lane(self.database)
        self.assertIs(SyncRequest.FAILED, self.lane().sync_request)
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)

    def test_a_paused_lane_stays_requested_says_why_and_queues_what_it_had_taken(self) -> None:
        self.assertIs(
            SyncRequest.REQUESTED, self.release(self.claimed, builders.FUTURE, "No answer: ☂")
        )
        lane = self.lane()
        self.assertIs(SyncStatus.OUT_OF_SYNC, lane.sync_status)
        self.assertEqual((builders.FUTURE, "No answer: ☂"), (lane.next_try_at, lane.last_error))
        self.assertEqual((1, None), (lane.pending, lane.lease_owner))
        self.assertEqual(1, self.ask())

    def test_a_success_ends_back_off_error_and_count_of_failures(self) -> None:
        self.release(self.claimed, builders.PAST, "busy")
        again = builders.claimed_lane(self.database)
        builders.finish_requests(self.database, again)
        self.release(again)
        self.assertEqual(0, self.column("failures"))
        self.assertEqual((None, None), (self.lane().next_try_at, self.lane().last_error))

    def test_a_wake_up_between_the_last_read_and_the_release_is_not_lost(self) -> None:
        builders.finish_requests(self.database, self.claimed)
        last_read = requests.next_batch(self.database, self.claimed, 10)
        self.assertEqual((), last_read.requests)
        builders.accepted_job(self.database)
        self.ask()
        asked = lanes.release(self.database, self.claimed, seen_wakeups=last_read.wakeups)
        self.assertIs(SyncRequest.REQUESTED, asked)
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_a_change_whose_wake_up_comes_after_the_release_is_not_lost(self) -> None:
        builders.finish_requests(self.database, self.claimed)
        last_read = requests.next_batch(self.database, self.claimed, 10)
        builders.accepted_job(self.database)
        lanes.release(self.database, self.claimed, seen_wakeups=last_read.wakeups)
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)
        self.assertEqual(1, self.ask())
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_an_unmanaged_lane_keeps_its_backlog_for_later(self) -> None:
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.release(self.claimed)
        self.assertEqual(
            (1, SyncStatus.OUT_OF_SYNC), (self.lane().pending, self.lane().sync_status)
        )
        subclouds.set_management(self.database, "one", Management.MANAGED)
        self.assertEqual(1, self.ask(forgotten=True))

    def test_whoever_lost_the_lease_releases_nothing(self) -> None:
        self.set(self.subcloud, lease_until=builders.PAST)
        builders.claim(self.database, "other")
        before = self.lane()
        with self.assertRaisesRegex(LeaseLost, f"Lane {self.claimed.id}: another worker holds it"):
            lanes.release(
                self.database,
                self.claimed,
                seen_wakeups=0,
                next_try_at=builders.FUTURE,
                error="late",
            )
        self.assertEqual(before, self.lane())

    def test_the_lane_of_a_deleted_subcloud_is_lost(self) -> None:
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        with self.assertRaises(LeaseLost):
            lanes.release(self.database, self.claimed, seen_wakeups=0)


@databases.on_every_backend
class NextDueTest(LanesTestCase):
    def test_it_is_the_earliest_end_of_a_back_off(self) -> None:
        self.assertIsNone(lanes.next_due(self.database, ["identity"]))
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        sooner, later = clock.after(100), clock.after(200)
        for claimed in builders.claim(self.database):
            moment = sooner if claimed.subcloud_id == other.id else later
            self.release(claimed, moment, "busy")
        self.assertEqual(sooner, lanes.next_due(self.database, ["identity"]))

    def test_a_lane_that_runs_or_is_done_is_not_waited_for(self) -> None:
        builders.accepted_job(self.database)
        self.release(builders.claimed_lane(self.database), builders.PAST, "busy")
        again = builders.claimed_lane(self.database)
        self.assertIsNone(lanes.next_due(self.database, ["identity"]))
        builders.finish_requests(self.database, again)
        self.release(again)
        self.assertIsNone(lanes.next_due(self.database, ["identity"]))

    def test_a_lane_that_nobody_may_claim_is_not_waited_for(self) -> None:
        # A moment in the past that nothing ever moves would keep the worker's loop spinning.
        builders.accepted_job(self.database)
        self.release(builders.claimed_lane(self.database), builders.PAST, "busy")
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual([], builders.claim(self.database))
        self.assertIsNone(lanes.next_due(self.database, ["identity"]))


@databases.on_every_backend
class ShownLanesTest(LanesTestCase):
    def test_lanes_are_shown_by_region_and_type_with_their_backlogs(self) -> None:
        other = builders.add_subcloud(self.database, "a", endpoint_types=("identity", "compute"))
        unasked = builders.add_subcloud(self.database, "unasked")
        builders.accepted_job(self.database)
        found = lanes.of_subclouds(self.database, [self.subcloud.id, other.id])
        self.assertEqual(
            [("a", "compute", 0), ("a", "identity", 1), ("one", "identity", 1)],
            [(lane.region_name, lane.endpoint_type, lane.pending) for lane in found],
        )
        self.assertNotIn(unasked.id, [lane.subcloud_id for lane in found])

    def test_a_request_that_runs_still_counts_as_pending(self) -> None:
        builders.accepted_job(self.database)
        requests.next_batch(self.database, builders.claimed_lane(self.database), 1)
        self.assertEqual(1, self.lane().pending)

    def test_no_subclouds_have_no_lanes(self) -> None:
        self.assertEqual([], list(lanes.of_subclouds(self.database, [])))

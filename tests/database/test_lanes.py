# SPDX-License-Identifier: Apache-2.0
"""Lanes: asked for, claimed under a lease, kept, released; no wake-up is lost."""

from headwater.common import clock
from headwater.common.errors import LeaseLost
from headwater.common.states import Management, RequestState, SyncRequest, SyncStatus
from headwater.db import audits, lanes, requests, subclouds
from tests.support import builders, databases
from tests.support.lanes_case import EARLIER, LATER, LanesTestCase


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
        self.release(builders.claimed_lane(self.database), LATER, "busy")
        self.ask()
        self.assert_later(self.lane())
        self.assertEqual([], builders.claim(self.database))
        self.ask(at_once=True)
        self.assertIsNone(self.lane().next_try_at)
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_one_subcloud_can_be_asked_for_alone(self) -> None:
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        for lane in builders.claim(self.database):
            self.release(lane, LATER, "busy")
        asked = lanes.request(self.database, ["identity"], subcloud_ids=[other.id], at_once=True)
        self.assertEqual(1, asked)
        self.assertIsNone(self.lane(other).next_try_at)
        self.assert_later(self.lane())

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
class ReleaseTest(LanesTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.accepted_job(self.database)
        self.claimed = builders.claimed_lane(self.database)

    def test_a_lane_that_was_never_compared_is_not_known_to_be_in_sync(self) -> None:
        builders.finish_requests(self.database, self.claimed)
        self.assertIs(SyncRequest.COMPLETED, self.release(self.claimed))
        self.assertIs(SyncStatus.UNKNOWN, self.lane().sync_status)

    def test_a_lane_that_missed_changes_while_it_was_unmanaged_is_not_known_to_be(self) -> None:
        builders.audited(self.database)
        builders.finish_requests(self.database, self.claimed)
        audits.request(self.database, ["identity"], [self.subcloud.id], initial=True)
        self.release(self.claimed)
        self.assertIs(SyncStatus.UNKNOWN, self.lane().sync_status)

    def test_a_lane_whose_requests_all_ran_is_completed_and_in_sync(self) -> None:
        builders.audited(self.database)
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
        self.assertIs(SyncRequest.REQUESTED, self.release(self.claimed, LATER, "No answer: ☂"))
        lane = self.lane()
        self.assertIs(SyncStatus.OUT_OF_SYNC, lane.sync_status)
        self.assertEqual("No answer: ☂", lane.last_error)
        self.assert_later(lane)
        self.assertEqual((1, None), (lane.pending, lane.lease_owner))
        self.assertEqual(1, self.ask())

    def test_a_success_ends_back_off_error_and_count_of_failures(self) -> None:
        self.release(self.claimed, EARLIER, "busy")
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
        lanes.release(self.database, self.claimed, seen_wakeups=last_read.wakeups)
        self.assertIs(SyncRequest.REQUESTED, self.lane().sync_request)
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
        self.assertEqual((1, SyncStatus.UNKNOWN), (self.lane().pending, self.lane().sync_status))
        subclouds.set_management(self.database, "one", Management.MANAGED)
        self.assertEqual(1, self.ask(forgotten=True))

    def test_whoever_lost_the_lease_releases_nothing(self) -> None:
        self.set(self.subcloud, lease_until=builders.PAST)
        builders.claim(self.database, "other")
        before = self.lane()
        with self.assertRaisesRegex(LeaseLost, f"Lane {self.claimed.id}: its lease has ended"):
            lanes.release(
                self.database,
                self.claimed,
                seen_wakeups=0,
                pause=LATER,
                error="late",
            )
        self.assertEqual(before, self.lane())

    def test_the_lane_of_a_deleted_subcloud_is_lost(self) -> None:
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        with self.assertRaises(LeaseLost):
            lanes.release(self.database, self.claimed, seen_wakeups=0)


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

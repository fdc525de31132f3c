# SPDX-License-Identifier: Apache-2.0
"""Lanes are claimed under a lease by one worker, kept by its heartbeat, and never revived."""

from datetime import datetime
from typing import Any

from headwater.common import clock
from headwater.common.states import Availability, Management, SyncRequest
from headwater.db import claims, jobs, lanes, requests, schema, subclouds
from headwater.db.records import ClaimedLane, Subcloud
from tests.support import builders, databases
from tests.support.lanes_case import EARLIER, LATER, LanesTestCase


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
        # The clocks of the database and of this test are those of one host.
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
        self.assertIs(SyncRequest.REQUESTED, self.release(lane, LATER, "busy"))
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

    def test_a_lane_that_was_taken_over_is_audited_soon(self) -> None:
        # The former holder's last call may arrive after those of the new one.
        builders.accepted_job(self.database)
        sooner, later = clock.after(5), clock.after(3600)
        for planned, most in ((later, clock.after(70)), (sooner, clock.after(6)), (None, None)):
            builders.claimed_lane(self.database, "slow", lease=-1)
            self.set(self.subcloud, next_audit_at=planned)
            self.assertEqual(1, len(builders.claim(self.database, "other", lease=-1)))
            found = self.column("next_audit_at")
            if most is None:
                self.assertIsNone(found)
            else:
                self.assertLess(found, most)

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
            self.release(lane, EARLIER, "busy")
        self.assertEqual([0, 1, 2], failures)


@databases.on_every_backend
class BreakerTest(LanesTestCase):
    """What the circuit breaker of a subcloud lets through."""

    TYPES = ("compute", "identity", "image")

    def setUp(self) -> None:
        super().setUp()
        lanes.ensure(self.database, self.TYPES)
        for name in self.TYPES:
            builders.accepted_job(self.database, endpoint_type=name, resource_type="thing")
        self.assertEqual(3, self.ask(*self.TYPES))

    def silence(self, times: int, rest: float = LATER) -> None:
        for _ in range(times):
            subclouds.note_silence(
                self.database, self.subcloud.id, offline_after=2, breaker_after=3, rest=rest
            )

    def shown(self) -> Subcloud:
        return subclouds.by_id(self.database, self.subcloud.id)

    def claim(self, **how: Any) -> list[ClaimedLane]:
        return builders.claim(self.database, endpoint_types=self.TYPES, **how)

    def test_it_opens_at_the_configured_failure_and_then_nothing_is_claimed(self) -> None:
        self.silence(2)
        self.assertIsNone(self.shown().breaker_until)
        self.assertIs(Availability.OFFLINE, self.shown().availability_status)
        self.silence(1)
        self.assertEqual(3, self.shown().failures)
        self.assertIsNotNone(self.shown().breaker_until)
        self.assertEqual([], self.claim())

    def test_other_subclouds_are_claimed_as_ever(self) -> None:
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        self.silence(3)
        self.assertEqual([other.id], [lane.subcloud_id for lane in self.claim()])

    def test_half_open_it_lets_one_lane_through_however_many_ask(self) -> None:
        self.silence(3, rest=EARLIER)
        self.assertEqual(1, len(self.claim()))
        self.assertEqual([], self.claim())
        self.assertEqual(
            2,
            [self.lane(endpoint_type=name).sync_request for name in self.TYPES].count(
                SyncRequest.REQUESTED
            ),
        )

    def test_a_prober_that_was_killed_is_followed_by_another_one(self) -> None:
        self.silence(3, rest=EARLIER)
        self.claim(lease=-1)
        self.assertEqual(1, len(self.claim()))

    def test_a_probe_that_fails_opens_it_again(self) -> None:
        self.silence(3, rest=EARLIER)
        (probe,) = self.claim()
        self.silence(1)
        self.release(probe, EARLIER, "No answer")
        self.assertEqual([], self.claim())

    def test_an_answer_closes_it_and_ends_the_back_offs(self) -> None:
        for lane in self.claim():
            self.release(lane, LATER, "No answer")
        self.silence(3)
        for _ in range(2):
            subclouds.note_answer(self.database, self.subcloud.id)
        found = self.shown()
        self.assertEqual((0, None), (found.failures, found.breaker_until))
        self.assertIs(Availability.ONLINE, found.availability_status)
        self.assertEqual(3, len(self.claim()))

    def test_an_answer_of_a_subcloud_that_was_not_offline_ends_no_back_off(self) -> None:
        # The lane rests because the subcloud answered it with an error.
        (busy, *_) = self.claim()
        self.release(busy, LATER, "500 oops")
        self.silence(1)
        subclouds.note_answer(self.database, self.subcloud.id)
        self.assertNotIn(busy.id, [lane.id for lane in self.claim()])

    def test_the_operator_lets_a_probe_pass(self) -> None:
        self.silence(3)
        lanes.request(self.database, self.TYPES, subcloud_ids=[self.subcloud.id], at_once=True)
        self.assertEqual(1, len(self.claim()))

    def test_a_worker_is_told_when_it_lets_something_pass(self) -> None:
        due = claims.next_due(self.database, self.TYPES)
        assert due is not None
        self.assertLessEqual(due, 0, "they are due now")
        self.silence(3, rest=100)
        due = claims.next_due(self.database, self.TYPES)
        assert due is not None
        self.assertTrue(40 < due <= 100, due)


class ClaimWhileChangesComeTest(LanesTestCase):
    """MariaDB has no lock that is weak enough; there a worker looks again soon."""

    backend = databases.POSTGRESQL

    def test_a_fan_out_that_is_not_committed_yet_hides_no_lane(self) -> None:
        # It locks every lane, for its foreign keys.
        builders.accepted_job(self.database)
        self.ask()
        job = jobs.open_intent(self.database, builders.intent())
        with self.connect().write() as connection:
            self.assertEqual(1, jobs._fan_out(connection, job, clock.now()))
            (lane,) = builders.claim(self.database)
            self.assertEqual(1, len(requests.next_batch(self.database, lane, 10).requests))
            connection.rollback()


@databases.on_every_backend
class LanesPerSubcloudTest(LanesTestCase):
    TYPES = ("compute", "identity", "image", "network")

    def setUp(self) -> None:
        super().setUp()
        lanes.ensure(self.database, self.TYPES)
        for name in self.TYPES:
            builders.accepted_job(self.database, endpoint_type=name, resource_type="thing")
        self.assertEqual(4, self.ask(*self.TYPES))

    def claim(self, **how: Any) -> list[ClaimedLane]:
        return builders.claim(self.database, endpoint_types=self.TYPES, per_subcloud=2, **how)

    def test_no_more_lanes_of_a_subcloud_run_than_may(self) -> None:
        first = self.claim()
        self.assertEqual(2, len(first))
        self.assertEqual([], self.claim())
        builders.finish_requests(self.database, first[0])
        self.release(first[0])
        self.assertEqual(1, len(self.claim()))

    def test_lanes_of_a_killed_worker_do_not_count(self) -> None:
        self.claim(lease=-1)
        self.assertEqual(2, len(self.claim()))

    def test_a_subcloud_at_its_limit_does_not_fill_the_claim_of_others(self) -> None:
        self.claim()
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        self.assertEqual([other.id], [lane.subcloud_id for lane in self.claim(limit=1)])


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
        kept = claims.renew(self.database, owner, lane_ids, 2 * builders.LEASE)
        return len(kept)

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

    def test_a_lease_that_has_ended_stays_ended(self) -> None:
        # Its holder was stopped for too long; nobody has taken the lane over yet.
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        builders.end_leases(self.database)
        self.assertEqual(0, self.renew("worker", lane.id))
        self.assertEqual(builders.PAST, self.column("lease_until"))

    def test_the_generations_of_what_is_kept_are_told(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        kept = claims.renew(self.database, "worker", [lane.id], 60)
        self.assertEqual({(lane.id, lane.generation)}, kept)

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
        self.assertEqual(2, self.renew("worker", first.id, second.id, databases.NO_ID))
        self.assertEqual(0, self.renew("worker"))


@databases.on_every_backend
class NextDueTest(LanesTestCase):
    def test_it_is_the_earliest_end_of_a_back_off(self) -> None:
        self.assertIsNone(claims.next_due(self.database, ["identity"]))
        other = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.ask()
        sooner, later = 100.0, 200.0
        for claimed in builders.claim(self.database):
            moment = sooner if claimed.subcloud_id == other.id else later
            self.release(claimed, moment, "busy")
        due = claims.next_due(self.database, ["identity"])
        assert due is not None
        self.assertTrue(40 < due <= sooner, due)

    def test_a_lane_that_runs_is_due_when_its_lease_ends(self) -> None:
        builders.accepted_job(self.database)
        builders.claimed_lane(self.database, lease=100)
        due = claims.next_due(self.database, ["identity"])
        assert due is not None
        self.assertTrue(40 < due <= 100, due)

    def test_a_lane_that_is_done_is_not_waited_for(self) -> None:
        builders.accepted_job(self.database)
        self.release(builders.claimed_lane(self.database), EARLIER, "busy")
        again = builders.claimed_lane(self.database)
        builders.finish_requests(self.database, again)
        self.release(again)
        self.assertIsNone(claims.next_due(self.database, ["identity"]))

    def test_a_lane_that_nobody_may_claim_is_not_waited_for(self) -> None:
        # A moment in the past that nothing ever moves would keep the worker's loop spinning.
        builders.accepted_job(self.database)
        self.release(builders.claimed_lane(self.database), EARLIER, "busy")
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual([], builders.claim(self.database))
        self.assertIsNone(claims.next_due(self.database, ["identity"]))

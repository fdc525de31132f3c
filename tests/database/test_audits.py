# SPDX-License-Identifier: Apache-2.0
"""Audits of lanes: asked for, written with their repairs, and what the lane is then."""

from typing import Any
from unittest import mock

from headwater.common import clock
from headwater.common.errors import LeaseLost
from headwater.common.states import (
    AuditStatus,
    DriftAction,
    DriftKind,
    InitialSync,
    Operation,
    RequestState,
    SyncRequest,
    SyncStatus,
)
from headwater.db import (
    audits,
    drift,
    jobs,
    lanes,
    moments,
    requests,
    resources,
    subclouds,
    unmanaged,
)
from headwater.db.models import subcloud_sync
from headwater.db.records import ClaimedLane, Finding, LaneAudit, MappingChange
from tests.support import builders, databases
from tests.support.lanes_case import LanesTestCase


def finding(
    master_id: str = "u1", action: DriftAction = DriftAction.REPAIR, **changes: Any
) -> Finding:
    values: dict[str, Any] = {
        "kind": DriftKind.MISSING,
        "resource_type": "user",
        "master_id": master_id,
        "drift_key": master_id,
        "name": f"name of {master_id}",
        "fields": (),
    }
    return Finding(action=action, **{**values, **changes})


def mapping(master_id: str, there: str | None) -> MappingChange:
    return MappingChange("identity", "user", master_id, {"name": master_id}, there)


@databases.on_every_backend
class AuditsTest(LanesTestCase):
    def setUp(self) -> None:
        super().setUp()
        audits.request(self.database, ["identity"], [self.subcloud.id])

    def claimed(self) -> ClaimedLane:
        (lane,) = builders.claim(self.database)
        return lane

    def audited(self) -> LaneAudit:
        lane_id = self.lane().id
        return audits.of_lanes(self.database, [lane_id])[lane_id]

    def save(
        self, lane: ClaimedLane, *findings: Finding, mappings: tuple[MappingChange, ...] = ()
    ) -> int:
        audits.begin(self.database, lane, builders.LEASE)
        return audits.save(
            self.database,
            lane,
            findings=findings,
            mappings=mappings,
            totals={"user": 3},
            next_in=100,
            keep=1000,
            lease=builders.LEASE,
        )

    def turn(self, *findings: Finding, state: RequestState = RequestState.COMPLETED) -> None:
        """One audit as a worker runs it, with all that follows."""
        audits.request(self.database, ["identity"], [self.subcloud.id])
        lane = self.claimed()
        self.save(lane, *findings)
        builders.finish_requests(self.database, lane, state)
        self.release(lane)

    def test_a_lane_whose_audit_is_asked_for_is_claimed_without_any_request(self) -> None:
        batch = requests.next_batch(self.database, self.claimed(), 10)
        self.assertEqual((True, True, ()), (batch.audit_wanted, batch.audit_fresh, batch.requests))

    def test_a_lane_is_not_done_while_its_audit_is_wanted(self) -> None:
        lane = self.claimed()
        self.assertIs(SyncRequest.REQUESTED, self.release(lane))
        lane = self.claimed()
        audits.begin(self.database, lane, builders.LEASE)
        self.assertIs(SyncRequest.REQUESTED, self.release(lane))
        lane = self.claimed()
        self.save(lane)
        self.assertIs(SyncRequest.COMPLETED, self.release(lane))

    def test_an_audit_that_is_asked_for_during_another_one_is_run_too(self) -> None:
        lane = self.claimed()
        audits.begin(self.database, lane, builders.LEASE)
        audits.request(self.database, ["identity"], [self.subcloud.id])
        audits.fail(self.database, lane, "cut", next_in=10, lease=builders.LEASE)
        self.assertIs(AuditStatus.REQUESTED, self.audited().status)
        self.assertIs(SyncRequest.REQUESTED, self.release(lane))

    def test_repairs_are_jobs_with_a_request_each_in_their_order(self) -> None:
        lane = self.claimed()
        found = [finding("p1", resource_type="project"), finding("u1"), finding("u2")]
        self.assertEqual(3, self.save(lane, *found, finding("u3", DriftAction.OBSERVE)))
        batch = requests.next_batch(self.database, lane, 10)
        self.assertEqual(
            [("project", "p1"), ("user", "u1"), ("user", "u2")],
            [(each.resource_type, each.master_id) for each in batch.requests],
        )
        self.assertEqual({Operation.ALIGN}, {each.operation for each in batch.requests})
        job = jobs.get(self.database, batch.requests[1].job_uuid).job
        self.assertEqual(("headwater", "name of u1"), (job.user_name, job.resource_name))
        self.assertTrue((job.request_id or "").startswith("audit-"))
        self.assertFalse(batch.audit_wanted)

    def test_a_worker_whose_lease_is_gone_writes_nothing(self) -> None:
        lane = self.claimed()
        builders.end_leases(self.database)
        with self.assertRaises(LeaseLost):
            self.save(lane, finding(), mappings=(mapping("u1", "t1"),))
        with self.assertRaises(LeaseLost):
            audits.fail(self.database, lane, "late", next_in=1, lease=builders.LEASE)
        self.assertEqual({}, drift.of_lane(self.database, lane.id))
        self.assertEqual({}, resources.of_subcloud(self.database, self.subcloud.id, "identity"))
        self.assertEqual([], jobs.list_page(self.database, limit=10))

    def test_the_number_of_statements_does_not_grow_with_that_of_resources(self) -> None:
        lane = self.claimed()
        sent = []
        for number in (3, 300):
            with self.statements() as statements:
                audits.busy(self.database, lane, clock.now())
                drift.of_lane(self.database, lane.id)
                unmanaged.of_lane(self.database, lane.id)
                resources.of_subcloud(self.database, lane.subcloud_id, "identity")
                self.save(
                    lane,
                    *(finding(f"u{each}") for each in range(number)),
                    mappings=tuple(mapping(f"m{each}", f"t{each}") for each in range(number)),
                )
            sent.append(len(statements))
        self.assertEqual(sent[0], sent[1], statements)

    def test_counterparts_are_learnt_and_forgotten(self) -> None:
        lane = self.claimed()
        self.save(lane, mappings=(mapping("m1", "t1"), mapping("m2", "t2")))
        self.save(lane, mappings=(mapping("m2", None), mapping("m1", "t9"), mapping("m7", None)))
        self.assertEqual(
            {("user", "m1"): "t9"},
            resources.of_subcloud(self.database, self.subcloud.id, "identity"),
        )

    def test_a_difference_is_counted_resolved_and_comes_back(self) -> None:
        self.turn(finding())
        self.turn(finding())
        (found,) = drift.of_lane(self.database, self.lane().id).values()
        self.assertEqual((2, 2, None), (found.times_seen, found.repairs, found.resolved_at))
        self.turn()
        self.assertEqual([], drift.list_page(self.database, limit=10))
        (former,) = drift.list_page(self.database, limit=10, resolved=True, region_name="one")
        self.assertIsNotNone(former.resolved_at)
        self.turn(finding(action=DriftAction.QUARANTINE, fields=("email",)))
        (again,) = drift.list_page(self.database, limit=10, region_name="one")
        self.assertEqual(found.first_seen_at, again.first_seen_at)
        self.assertEqual((3, 2, ("email",)), (again.times_seen, again.repairs, again.fields))
        self.assertEqual([], drift.list_page(self.database, limit=10, region_name="two"))
        self.assertEqual(1, drift.forget(self.database, self.subcloud.id))

    def test_what_an_audit_cannot_tell_is_not_resolved(self) -> None:
        self.turn(finding("u1"), finding("u2"))
        lane = self.next_audit()
        unseen = drift.of_lane(self.database, lane.id)["user", "u1"].id
        audits.begin(self.database, lane, builders.LEASE)
        audits.save(
            self.database,
            lane,
            findings=(),
            mappings=(),
            totals={},
            next_in=1,
            keep=1000,
            undecided=[unseen],
            lease=builders.LEASE,
        )
        self.release(lane)
        self.assertEqual([unseen], [each.id for each in drift.list_page(self.database, limit=9)])
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)

    def test_an_audit_that_is_to_see_the_repairs_follows_them(self) -> None:
        lane = self.claimed()
        audits.begin(self.database, lane, builders.LEASE)
        audits.save(
            self.database,
            lane,
            findings=[finding()],
            mappings=(),
            totals={},
            next_in=1,
            keep=1000,
            again=True,
            lease=builders.LEASE,
        )
        builders.finish_requests(self.database, lane)
        batch = requests.next_batch(self.database, lane, 9)
        self.assertEqual((True, True), (batch.audit_wanted, batch.audit_fresh))

    def test_a_lane_is_in_sync_only_where_nothing_is_left_to_repair(self) -> None:
        for action, status in (
            # Until an audit has seen that it is.
            (DriftAction.REPAIR, SyncStatus.OUT_OF_SYNC),
            (DriftAction.OBSERVE, SyncStatus.OUT_OF_SYNC),
            (DriftAction.LEFT_ALONE, SyncStatus.IN_SYNC),
            (DriftAction.UNMANAGED, SyncStatus.IN_SYNC),
            (DriftAction.QUARANTINE, SyncStatus.OUT_OF_SYNC),
        ):
            with self.subTest(action):
                self.turn(finding(action=action))
                self.assertIs(status, self.lane().sync_status)
        self.turn()
        self.assertIs(SyncStatus.IN_SYNC, self.lane().sync_status)
        self.turn(finding(), state=RequestState.FAILED)
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)

    def test_an_initial_sync_lasts_until_all_it_found_has_run(self) -> None:
        audits.request(self.database, ["identity"], [self.subcloud.id], initial=True)
        self.assertIs(InitialSync.REQUESTED, self.audited().initial_sync)
        lane = self.claimed()
        self.assertTrue(requests.next_batch(self.database, lane, 10).initial_sync)
        self.save(lane, finding("u1"), finding("u2"))
        self.release(lane)
        self.assertIs(InitialSync.IN_PROGRESS, self.audited().initial_sync)
        waiting = audits.waiting(self.database, [lane.id, databases.NO_ID])
        self.assertEqual({lane.id: {"user": 2}, databases.NO_ID: {}}, waiting)
        lane = builders.claimed_lane(self.database)
        builders.finish_requests(self.database, lane)
        self.release(lane)
        self.assertIs(InitialSync.COMPLETED, self.audited().initial_sync)
        self.assertEqual({"user": 3}, self.audited().totals)

    def test_an_initial_sync_with_failures_is_tried_again_by_the_next_audit(self) -> None:
        audits.request(self.database, ["identity"], [self.subcloud.id], initial=True)
        self.turn(finding(), state=RequestState.FAILED)
        self.assertIs(InitialSync.FAILED, self.audited().initial_sync)
        lane = self.next_audit()
        self.assertTrue(requests.next_batch(self.database, lane, 10).initial_sync)

    def next_audit(self) -> ClaimedLane:
        audits.request(self.database, ["identity"], [self.subcloud.id])
        return self.claimed()

    def test_a_failed_audit_leaves_the_initial_sync_requested(self) -> None:
        audits.request(self.database, ["identity"], [self.subcloud.id], initial=True)
        lane = self.claimed()
        audits.begin(self.database, lane, builders.LEASE)
        audits.fail(self.database, lane, "The list is cut.", next_in=60, lease=builders.LEASE)
        self.release(lane)
        audit = self.audited()
        self.assertEqual(
            (AuditStatus.FAILED, "The list is cut.", InitialSync.REQUESTED, None),
            (audit.status, audit.error, audit.initial_sync, audit.audited_at),
        )
        self.assertIsNotNone(audit.next_audit_at)

    def test_due_audits_are_asked_for_so_many_at_a_time(self) -> None:
        self.turn()  # due in 100 s
        builders.add_subcloud(self.database, "unmanaged", managed=False)
        for name in ("two", "three", "four"):
            builders.add_subcloud(self.database, name)
        asked = [audits.request_due(self.database, ["identity"], limit=2) for _ in range(3)]
        self.assertEqual([2, 1, 0], asked)
        self.assertEqual(0, audits.request_due(self.database, ["compute"], limit=2))
        names = set()
        for lane in builders.claim(self.database):
            batch = requests.next_batch(self.database, lane, 10)
            self.assertEqual((True, False), (batch.audit_wanted, batch.audit_fresh))
            names.add(batch.subcloud.region_name)
        self.assertEqual({"two", "three", "four"}, names)

    def test_the_audit_of_a_subcloud_that_returns_is_due_and_not_before(self) -> None:
        for _ in range(2):
            subclouds.note_silence(
                self.database, self.subcloud.id, offline_after=2, breaker_after=9, rest=1
            )
        lane = self.claimed()
        self.save(lane)
        self.release(lane)
        with self.database.write() as connection:
            connection.execute(subcloud_sync.update().values(next_audit_at=builders.PAST))
        self.assertEqual(0, audits.request_due(self.database, ["identity"], limit=2))
        subclouds.note_answer(self.database, self.subcloud.id)
        self.assertEqual(1, audits.request_due(self.database, ["identity"], limit=2))

    def test_a_host_whose_clock_is_wrong_audits_when_the_others_do(self) -> None:
        self.turn(finding())  # due in 100 s
        for seconds in (-7200, 7200):
            wrong = clock.after(seconds)
            with mock.patch.object(clock, "now", return_value=wrong):
                self.assertEqual(0, audits.request_due(self.database, ["identity"], limit=9))
                (found,) = drift.of_lane(self.database, self.lane().id).values()
                age = moments.read(self.database) - found.last_seen_at
                self.assertLess(abs(age.total_seconds()), 60)
                self.turn(finding())
        (found,) = drift.of_lane(self.database, self.lane().id).values()
        self.assertEqual(3, found.times_seen)
        self.assertGreater(found.last_seen_at, found.first_seen_at)

    def test_an_audit_is_due_soon_after_a_failure(self) -> None:
        self.turn()
        calm = self.audited().next_audit_at
        builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        due = self.audited().next_audit_at
        assert calm is not None
        assert due is not None
        self.assertLess(due, calm)
        self.assertGreater(due, clock.now())

    def test_a_natural_key_that_a_change_told_is_kept(self) -> None:
        lane = self.claimed()
        builders.accepted_job(self.database, master_id="m1", natural_key={"name": "new"})
        self.save(lane, mappings=(mapping("m1", "t1"), mapping("m2", "t2")))
        keys = resources.natural_keys(self.database, "identity", ["m1", "m2"])
        self.assertEqual({"m1": {"name": "new"}, "m2": {"name": "m2"}}, keys)

    def test_nothing_is_said_about_what_is_on_its_way(self) -> None:
        lane = self.claimed()
        builders.accepted_job(self.database, master_id="waiting")
        jobs.open_intent(self.database, builders.intent(master_id="forwarded"))
        jobs.open_intent(self.database, builders.intent(Operation.CREATE, None))
        before = clock.after(-60)
        expected = {("user", "waiting"), ("user", "forwarded")}
        self.assertEqual(expected, audits.busy(self.database, lane, None))
        builders.finish_requests(self.database, lane)
        self.assertEqual(expected, audits.busy(self.database, lane, before))
        self.assertEqual({("user", "forwarded")}, audits.busy(self.database, lane, None))
        lanes.release(self.database, lane, seen_wakeups=0)

# SPDX-License-Identifier: Apache-2.0
"""Requests: read in order, written only by the holder of their lane, retried by the operator."""

from dataclasses import replace

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import LeaseLost, NotFound
from headwater.common.states import Availability, Management, Operation, RequestState
from headwater.db import jobs, lanes, requests, resources, subclouds
from headwater.db.models import orch_request, subcloud_sync
from headwater.db.records import ClaimedLane, MappedResource, MappingChange, Request, RequestResult
from tests.support import builders, databases


class RequestsTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subcloud = builders.add_subcloud(self.database)

    def states(self) -> list[RequestState]:
        """States of all requests in the order of acceptance."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(orch_request.c.state).order_by(orch_request.c.id))
            return [RequestState(state) for (state,) in rows]

    def accept(self, number: int) -> list[str]:
        """Accept changes of different resources; returns their jobs' uuids."""
        return [
            builders.accepted_job(self.database, master_id=f"u{index}").uuid
            for index in range(number)
        ]

    def take_over(self, lane: ClaimedLane) -> ClaimedLane:
        """Let the lane's lease end and another worker claim it."""
        with self.database.write() as connection:
            connection.execute(
                subcloud_sync.update()
                .where(subcloud_sync.c.id == lane.id)
                .values(lease_until=builders.PAST)
            )
        (other,) = builders.claim(self.database, "other")
        return other

    def save(self, lane: ClaimedLane, *results: RequestResult) -> None:
        requests.save_results(self.database, lane, results, builders.LEASE)

    def shown(self, job_uuid: str) -> Request:
        job = jobs.get(self.database, job_uuid).job
        (request,) = requests.of_job(self.database, job.id, limit=10)
        return request


@databases.on_every_backend
class NextBatchTest(RequestsTestCase):
    def test_requests_come_in_the_order_of_their_acceptance(self) -> None:
        first, second = (
            jobs.open_intent(self.database, builders.intent(master_id=name)) for name in "ab"
        )
        for job in (second, first):
            jobs.accept(self.database, job, builders.change(master_id=str(job.master_id)))
        batch = requests.next_batch(self.database, builders.claimed_lane(self.database), 10)
        self.assertEqual(
            [second.uuid, first.uuid], [request.job_uuid for request in batch.requests]
        )

    def test_a_batch_has_what_a_replay_needs(self) -> None:
        job = builders.accepted_job(self.database, Operation.DELETE, "u1", resource_info="cipher-9")
        batch = requests.next_batch(self.database, builders.claimed_lane(self.database), 10)
        (request,) = batch.requests
        self.assertEqual((job.id, job.uuid), (request.job_id, request.job_uuid))
        self.assertEqual(("identity", "user"), (request.endpoint_type, request.resource_type))
        self.assertIs(Operation.DELETE, request.operation)
        self.assertEqual(("u1", "cipher-9"), (request.master_id, request.resource_info))
        self.assertEqual((0, False), (request.try_count, request.superseded))
        self.assertIs(Availability.UNKNOWN, batch.subcloud.availability_status)

    def test_what_is_taken_is_in_progress_and_the_rest_queued(self) -> None:
        uuids = self.accept(3)
        lane = builders.claimed_lane(self.database)
        batch = requests.next_batch(self.database, lane, 2)
        self.assertEqual(uuids[:2], [request.job_uuid for request in batch.requests])
        self.assertEqual(
            [RequestState.IN_PROGRESS, RequestState.IN_PROGRESS, RequestState.QUEUED],
            self.states(),
        )

    def test_the_next_batch_goes_on_behind_what_is_done(self) -> None:
        uuids = self.accept(5)
        lane = builders.claimed_lane(self.database)
        seen: list[str] = []
        while (batch := requests.next_batch(self.database, lane, 2)).requests:
            seen += [request.job_uuid for request in batch.requests]
            self.save(lane, *(builders.result(request) for request in batch.requests))
        self.assertEqual(uuids, seen)

    def test_what_a_lost_worker_had_begun_is_taken_again_first(self) -> None:
        uuids = self.accept(3)
        lane = builders.claimed_lane(self.database)
        requests.next_batch(self.database, lane, 2)
        batch = requests.next_batch(self.database, self.take_over(lane), 10)
        self.assertEqual(uuids, [request.job_uuid for request in batch.requests])

    def test_requests_of_other_lanes_are_not_in_it(self) -> None:
        builders.add_subcloud(self.database, "two", endpoint_types=("identity", "compute"))
        builders.accepted_job(self.database)
        builders.accepted_job(self.database, endpoint_type="compute", resource_type="flavor")
        lanes.request(self.database, ["identity", "compute"])
        found = builders.claim(self.database, endpoint_types=("identity", "compute"))
        self.assertEqual(3, len(found))
        taken = [
            (lane.subcloud_id, request.endpoint_type)
            for lane in found
            for request in requests.next_batch(self.database, lane, 10).requests
        ]
        self.assertEqual(3, len(set(taken)))
        self.assertEqual({(lane.subcloud_id, lane.endpoint_type) for lane in found}, set(taken))

    def test_it_is_empty_when_nothing_is_pending(self) -> None:
        self.accept(1)
        lane = builders.claimed_lane(self.database)
        builders.finish_requests(self.database, lane)
        self.assertEqual((), requests.next_batch(self.database, lane, 10).requests)

    def test_it_is_empty_once_the_subcloud_is_unmanaged_and_nothing_is_lost(self) -> None:
        self.accept(1)
        lane = builders.claimed_lane(self.database)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual((), requests.next_batch(self.database, lane, 10).requests)
        self.assertEqual([RequestState.QUEUED], self.states())

    def test_it_tells_the_counter_as_it_was_before_the_read(self) -> None:
        self.accept(1)
        lane = builders.claimed_lane(self.database)
        before = requests.next_batch(self.database, lane, 10).wakeups
        self.assertEqual(before, requests.next_batch(self.database, lane, 10).wakeups)
        self.accept(2)
        lanes.request(self.database, ["identity"])
        self.assertEqual(before + 1, requests.next_batch(self.database, lane, 10).wakeups)

    def test_whoever_lost_the_lease_reads_nothing(self) -> None:
        self.accept(1)
        lane = builders.claimed_lane(self.database)
        self.take_over(lane)
        with self.assertRaisesRegex(LeaseLost, f"Lane {lane.id}: its lease has ended"):
            requests.next_batch(self.database, lane, 10)
        self.assertEqual([RequestState.QUEUED], self.states())

    def test_the_lane_of_a_deleted_subcloud_is_lost(self) -> None:
        self.accept(1)
        lane = builders.claimed_lane(self.database)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        with self.assertRaisesRegex(LeaseLost, "or it was deleted"):
            requests.next_batch(self.database, lane, 10)


@databases.on_every_backend
class SaveResultsTest(RequestsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.uuids = self.accept(3)
        self.lane = builders.claimed_lane(self.database)
        self.batch = requests.next_batch(self.database, self.lane, 10).requests

    def lease_until(self) -> object:
        with self.database.read() as connection:
            return connection.execute(sa.select(subcloud_sync.c.lease_until)).scalar_one()

    def mapped(self, *master_ids: str) -> list[MappedResource]:
        return list(resources.mapped(self.database, self.subcloud.id, "identity", list(master_ids)))

    def learn(self, master_id: str, subcloud_id: str | None, **key: str) -> RequestResult:
        fact = MappingChange("identity", "user", master_id, key or None, subcloud_id)
        return builders.result(self.batch[0], RequestState.QUEUED, mappings=(fact,))

    def test_each_result_is_written_to_its_own_request(self) -> None:
        started = clock.now()
        finished = clock.after(1)
        self.save(
            self.lane,
            builders.result(self.batch[0], started_at=started, finished_at=finished),
            builders.result(self.batch[1], RequestState.FAILED, error="Nö: ☂", try_count=7),
        )
        done, failed, untouched = (self.shown(uuid) for uuid in self.uuids)
        self.assertEqual(Request("one", RequestState.COMPLETED, 1, None, started, finished), done)
        self.assertEqual(
            (RequestState.FAILED, 7, "Nö: ☂"), (failed.state, failed.try_count, failed.error)
        )
        self.assertEqual((RequestState.IN_PROGRESS, 0), (untouched.state, untouched.try_count))

    def test_times_keep_their_microseconds(self) -> None:
        moment = clock.now().replace(microsecond=123457)
        self.save(self.lane, builders.result(self.batch[0], started_at=moment, finished_at=moment))
        shown = self.shown(self.uuids[0])
        self.assertEqual((moment, moment), (shown.started_at, shown.finished_at))

    def test_the_start_of_the_first_try_is_kept(self) -> None:
        first, second = clock.now(), clock.after(60)
        waiting = builders.result(self.batch[0], RequestState.QUEUED, started_at=first, error="no")
        self.save(self.lane, waiting)
        self.assertEqual(RequestState.QUEUED, self.shown(self.uuids[0]).state)
        self.assertIsNone(self.shown(self.uuids[0]).finished_at)
        again = requests.next_batch(self.database, self.lane, 1).requests[0]
        self.assertEqual(1, again.try_count)
        self.save(self.lane, builders.result(again, started_at=second))
        shown = self.shown(self.uuids[0])
        self.assertEqual((first, 2, None), (shown.started_at, shown.try_count, shown.error))

    def test_saving_renews_the_lease(self) -> None:
        before = self.lease_until()
        requests.save_results(self.database, self.lane, [], 2 * builders.LEASE)
        self.assertGreater(self.lease_until(), before)  # type: ignore[type-var]

    def test_whoever_lost_the_lease_writes_nothing(self) -> None:
        self.take_over(self.lane)
        before = self.lease_until()
        fact = MappingChange("identity", "user", "u0", None, "there")
        with self.assertRaisesRegex(LeaseLost, "its lease has ended"):
            self.save(self.lane, builders.result(self.batch[0], mappings=(fact,)))
        self.assertEqual(3 * [RequestState.IN_PROGRESS], self.states())
        self.assertEqual(before, self.lease_until())
        self.assertEqual([None], [found.subcloud_resource_id for found in self.mapped("u0")])

    def test_nothing_is_written_to_a_lane_that_was_released(self) -> None:
        lanes.release(self.database, self.lane, seen_wakeups=0)
        with self.assertRaises(LeaseLost):
            self.save(self.lane, builders.result(self.batch[0]))
        self.assertNotIn(RequestState.COMPLETED, self.states())

    def test_a_release_writes_the_last_results_and_forgets_nothing(self) -> None:
        wakeups = requests.next_batch(self.database, self.lane, 1).wakeups
        results = [builders.result(request) for request in self.batch[:2]]
        lanes.release(self.database, self.lane, seen_wakeups=wakeups, results=results)
        self.assertEqual(2, self.states().count(RequestState.COMPLETED))
        # The third was taken and has no result: the lane is claimed again for it.
        (lane,) = builders.claim(self.database)
        self.assertEqual(1, len(requests.next_batch(self.database, lane, 10).requests))

    def test_a_release_without_the_lease_writes_no_result(self) -> None:
        builders.end_leases(self.database)
        with self.assertRaises(LeaseLost):
            lanes.release(
                self.database,
                self.lane,
                seen_wakeups=0,
                results=[builders.result(self.batch[0])],
            )
        self.assertNotIn(RequestState.COMPLETED, self.states())

    def test_a_request_that_is_done_is_not_done_again(self) -> None:
        self.save(self.lane, builders.result(self.batch[0]))
        late = builders.result(self.batch[0], RequestState.FAILED, error="late")
        self.save(self.lane, late)
        self.assertIs(RequestState.COMPLETED, self.shown(self.uuids[0]).state)

    def test_a_mapping_is_learnt_changed_and_forgotten(self) -> None:
        for there in ("a", "a", "b", None, None, "c"):
            self.save(self.lane, self.learn("u0", there))
            (found,) = self.mapped("u0")
            self.assertEqual(there, found.subcloud_resource_id)

    def test_a_mapping_of_an_unknown_resource_makes_it_known(self) -> None:
        self.assertEqual([], self.mapped("new"))
        self.save(self.lane, self.learn("new", "there", name="n"))
        self.assertEqual(
            [MappedResource("user", "new", {"name": "n"}, "there")], self.mapped("new")
        )

    def test_forgetting_what_was_never_known_does_nothing(self) -> None:
        self.save(self.lane, self.learn("new", None))
        self.assertEqual([], self.mapped("new"))

    def test_facts_are_applied_in_order(self) -> None:
        facts = tuple(
            MappingChange("identity", "user", "u0", None, there) for there in ("a", None, "b")
        )
        self.save(self.lane, builders.result(self.batch[0], RequestState.QUEUED, mappings=facts))
        self.assertEqual(["b"], [found.subcloud_resource_id for found in self.mapped("u0")])

    def test_a_mapping_belongs_to_one_subcloud_and_one_resource_type(self) -> None:
        other = builders.add_subcloud(self.database, "two")
        group = MappingChange("identity", "group", "u0", None, "the-group")
        self.save(self.lane, self.learn("u0", "the-user"))
        self.save(self.lane, builders.result(self.batch[1], RequestState.QUEUED, mappings=(group,)))
        self.assertEqual(
            {("user", "the-user"), ("group", "the-group")},
            {(found.resource_type, found.subcloud_resource_id) for found in self.mapped("u0")},
        )
        elsewhere = resources.mapped(self.database, other.id, "identity", ["u0"])
        self.assertEqual({None}, {found.subcloud_resource_id for found in elsewhere})
        self.assertEqual(
            [], list(resources.mapped(self.database, self.subcloud.id, "compute", ["u0"]))
        )

    def test_a_resource_of_the_subcloud_is_the_counterpart_of_one_resource_only(self) -> None:
        self.save(self.lane, self.learn("u0", "there"))
        group = MappingChange("identity", "group", "g0", None, "there")
        self.save(self.lane, builders.result(self.batch[1], RequestState.QUEUED, mappings=(group,)))
        self.save(self.lane, self.learn("u1", "there"))
        self.assertEqual(
            {"u0": None, "u1": "there"},
            {found.master_id: found.subcloud_resource_id for found in self.mapped("u0", "u1")},
        )
        # An id of another type may be the same by chance.
        (kept,) = self.mapped("g0")
        self.assertEqual("there", kept.subcloud_resource_id)

    def test_the_counterpart_of_a_resource_of_the_subcloud_is_found(self) -> None:
        def owner(there: str, resource_type: str = "user") -> MappedResource | None:
            return resources.owner(
                self.database, self.subcloud.id, "identity", resource_type, there
            )

        self.assertIsNone(owner("there"))
        self.save(self.lane, self.learn("new", "there", name="n"))
        self.assertEqual(MappedResource("user", "new", {"name": "n"}, "there"), owner("there"))
        self.assertIsNone(owner("there", "group"))
        self.assertIsNone(owner("elsewhere"))
        builders.accepted_job(self.database, Operation.DELETE, "new")
        found = owner("there")
        assert found is not None
        self.assertTrue(found.deleted)
        self.assertTrue(self.mapped("new")[0].deleted)

    def test_it_is_known_when_a_resource_was_first_met(self) -> None:
        before = clock.now()
        self.assertIsNone(resources.known_since(self.database, "identity", "user", "new"))
        self.save(self.lane, self.learn("new", "there"))
        met = resources.known_since(self.database, "identity", "user", "new")
        assert met is not None
        self.assertLessEqual(before, met)
        builders.accepted_job(self.database, master_id="new", natural_key={"name": "n"})
        self.assertEqual(met, resources.known_since(self.database, "identity", "user", "new"))

    def test_many_mappings_are_read_in_one_statement(self) -> None:
        for index in range(3):
            self.save(self.lane, self.learn(f"m{index}", f"there{index}"))
        with self.statements() as sent:
            found = self.mapped("m0", "m1", "m2", "unknown")
        self.assertEqual(
            ["there0", "there1", "there2"],
            sorted(str(mapping.subcloud_resource_id) for mapping in found),
        )
        self.assertEqual(1, len([text for text in sent if not text.startswith("BEGIN")]))


@databases.on_every_backend
class OfJobTest(RequestsTestCase):
    def test_pages_follow_each_other_by_region_name(self) -> None:
        names = ["one", *(f"cloud{index}" for index in range(6))]
        for name in names[1:]:
            builders.add_subcloud(self.database, name)
        job = builders.accepted_job(self.database)
        seen: list[str] = []
        while page := requests.of_job(
            self.database, job.id, limit=3, after=seen[-1] if seen else ""
        ):
            self.assertLessEqual(len(page), 3)
            seen += [request.region_name for request in page]
        self.assertEqual(sorted(names), seen)

    def test_an_unknown_job_has_none(self) -> None:
        self.assertEqual([], list(requests.of_job(self.database, databases.NO_ID, limit=10)))


@databases.on_every_backend
class RetryTest(RequestsTestCase):
    def superseded(self) -> list[bool]:
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(orch_request.c.superseded).order_by(orch_request.c.id)
            )
            return [bool(value) for (value,) in rows]

    def test_failed_requests_are_queued_with_fresh_tries_and_others_left_alone(self) -> None:
        builders.add_subcloud(self.database, "two")
        job = builders.accepted_job(self.database)
        lanes.request(self.database, ["identity"])
        done, failed = builders.claim(self.database)
        builders.finish_requests(self.database, done)
        builders.finish_requests(self.database, failed, RequestState.FAILED)
        self.assertEqual(1, len(requests.retry(self.database, job.id)))
        found = requests.of_job(self.database, job.id, limit=10)
        self.assertEqual(
            {(RequestState.COMPLETED, 1, False), (RequestState.QUEUED, 0, True)},
            {(each.state, each.try_count, each.finished_at is None) for each in found},
        )
        self.assertEqual([], requests.retry(self.database, job.id))

    def test_a_retried_request_runs_before_what_is_queued_behind_it(self) -> None:
        first = builders.accepted_job(self.database, master_id="u1")
        builders.run_lane(self.database, RequestState.FAILED)
        second = builders.accepted_job(self.database, master_id="u2")
        requests.retry(self.database, first.id)
        self.assertEqual(
            [first.uuid, second.uuid],
            [request.job_uuid for request in builders.run_lane(self.database)],
        )

    def test_a_change_that_nothing_overtook_is_replayed_as_it_was(self) -> None:
        job = builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        requests.retry(self.database, job.id)
        self.assertEqual([False], self.superseded())

    def test_a_change_that_a_later_one_overtook_is_superseded(self) -> None:
        failed = builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        builders.accepted_job(self.database)
        builders.run_lane(self.database)
        requests.retry(self.database, failed.id)
        self.assertEqual([True, False], self.superseded())
        (request,) = builders.run_lane(self.database)
        self.assertTrue(request.superseded)

    def test_a_change_of_another_resource_overtakes_nothing(self) -> None:
        failed = builders.accepted_job(self.database, master_id="u1")
        builders.run_lane(self.database, RequestState.FAILED)
        builders.accepted_job(self.database, master_id="u2")
        builders.accepted_job(self.database, master_id="u1", resource_type="group")
        builders.run_lane(self.database)
        requests.retry(self.database, failed.id)
        self.assertEqual([False, False, False], self.superseded())

    def test_an_earlier_change_overtakes_nothing(self) -> None:
        builders.accepted_job(self.database)
        builders.run_lane(self.database)
        failed = builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        requests.retry(self.database, failed.id)
        self.assertEqual([False, False], self.superseded())

    def test_a_later_change_that_failed_too_overtakes_nothing(self) -> None:
        jobs_ = [builders.accepted_job(self.database) for _ in range(2)]
        builders.run_lane(self.database, RequestState.FAILED)
        requests.retry(self.database, jobs_[0].id)
        self.assertEqual([False, False], self.superseded())

    def test_what_overtook_it_on_one_subcloud_says_nothing_about_another(self) -> None:
        builders.add_subcloud(self.database, "two")
        failed = builders.accepted_job(self.database)
        lanes.request(self.database, ["identity"])
        for lane in builders.claim(self.database):
            builders.finish_requests(self.database, lane, RequestState.FAILED)
            lanes.release(self.database, lane, seen_wakeups=-1)
        builders.accepted_job(self.database)
        runs, waits = builders.claim(self.database)
        builders.finish_requests(self.database, runs)
        requests.retry(self.database, failed.id)
        again = {
            lane.subcloud_id: request.superseded
            for lane in (runs, waits)
            for request in requests.next_batch(self.database, lane, 1).requests
        }
        self.assertEqual({runs.subcloud_id: True, waits.subcloud_id: False}, again)

    def test_later_means_accepted_later_and_not_opened_later(self) -> None:
        # Accepted in the other order than opened: on the subcloud the job that was opened first
        # ran last. What failed before it is out of date.
        opened_first, opened_second = (
            jobs.open_intent(self.database, builders.intent()) for _ in range(2)
        )
        jobs.accept(self.database, opened_second, builders.change())
        jobs.accept(self.database, opened_first, builders.change())
        lane = builders.claimed_lane(self.database)
        ran_first, ran_second = requests.next_batch(self.database, lane, 10).requests
        self.assertEqual(opened_second.uuid, ran_first.job_uuid)
        self.save(
            lane, builders.result(ran_first, RequestState.FAILED), builders.result(ran_second)
        )
        requests.retry(self.database, opened_second.id)
        self.assertEqual([True, False], self.superseded())

    def test_a_later_change_that_runs_at_the_moment_has_overtaken_it_too(self) -> None:
        failed = builders.accepted_job(self.database)
        builders.run_lane(self.database, RequestState.FAILED)
        builders.accepted_job(self.database)
        requests.next_batch(self.database, builders.claimed_lane(self.database), 10)
        requests.retry(self.database, failed.id)
        self.assertEqual([True, False], self.superseded())

    def test_secrets_are_out_of_date_only_when_a_later_change_set_them_anew(self) -> None:
        for later_has_secrets in (False, True):
            with self.subTest(later_has_secrets=later_has_secrets):
                failed = builders.accepted_job(self.database)
                builders.run_lane(self.database, RequestState.FAILED)
                later = jobs.open_intent(self.database, builders.intent())
                change = replace(builders.change(), has_secrets=later_has_secrets)
                jobs.accept(self.database, later, change)
                builders.run_lane(self.database)
                requests.retry(self.database, failed.id)
                (request,) = builders.run_lane(self.database)
                self.assertEqual(
                    (True, later_has_secrets), (request.superseded, request.secrets_superseded)
                )

    def test_an_unknown_job_is_not_found(self) -> None:
        with self.assertRaises(NotFound):
            requests.retry(self.database, databases.NO_ID)


@databases.on_every_backend
class PendingKeyTest(RequestsTestCase):
    """By which name the subcloud knows a resource that was renamed but not there yet."""

    def rename(self, before: str, master_id: str = "u1", resource_type: str = "user") -> None:
        intent = replace(
            builders.intent(master_id=master_id, resource_type=resource_type),
            key_before={"name": before},
        )
        job = jobs.open_intent(self.database, intent)
        jobs.accept(self.database, job, builders.change(master_id=master_id))

    def key(self, lane: ClaimedLane) -> object:
        return requests.pending_key(self.database, lane.id, "user", "u1")

    def test_it_is_the_name_before_the_oldest_change_that_waits(self) -> None:
        for name in ("one", "two", "three"):
            self.rename(name)
        lane = builders.claimed_lane(self.database)
        seen = []
        while batch := requests.next_batch(self.database, lane, 1).requests:
            seen.append(self.key(lane))
            self.save(lane, builders.result(batch[0]))
        self.assertEqual([{"name": "one"}, {"name": "two"}, {"name": "three"}], seen)
        self.assertIsNone(self.key(lane))

    def test_other_resources_and_other_lanes_do_not_count(self) -> None:
        self.rename("a", master_id="u2")
        self.rename("b", resource_type="group")
        builders.accepted_job(self.database, master_id="u1")
        lane = builders.claimed_lane(self.database)
        self.assertIsNone(self.key(lane))
        self.rename("c")
        builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database, master_id="u1")
        other = builders.claimed_lane(self.database)
        self.assertNotEqual(lane.id, other.id)
        self.assertEqual(({"name": "c"}, None), (self.key(lane), self.key(other)))

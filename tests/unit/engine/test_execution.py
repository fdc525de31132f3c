# SPDX-License-Identifier: Apache-2.0
"""One lane is run: in order, each request to its end, whatever a replay does."""

import pathlib
import tempfile
from collections.abc import Callable
from unittest import mock

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import DatabaseFailed, DatabaseUnavailable
from headwater.common.secrets import KeyRing
from headwater.common.states import (
    Availability,
    Management,
    Operation,
    RequestState,
    SyncRequest,
    SyncStatus,
)
from headwater.db import jobs, lanes, requests, resources, subclouds
from headwater.db.records import ClaimedLane, Lane, MappingChange, Request
from headwater.engine import execution
from headwater.engine.execution import LaneRun, LaneRunner
from headwater.engine.lease import Lease, ticks
from headwater.engine.outcome import Done, Failed, Gone, Outcome, Retry
from headwater.engine.retry import Policy
from headwater.engine.task import LaneWork, ResourceInfo, Work
from tests.support import builders, databases

LOGGER = "headwater.engine.execution"

AWAY = Retry("No answer", counts=False, unreachable=True)
BUSY = Retry("500 oops", counts=True)


class ScriptedHandler:
    """A handler whose outcomes are written down per resource; what is not written is Done."""

    def __init__(self) -> None:
        self.script: dict[str, list[Outcome | Exception]] = {}
        self.executed: list[str] = []
        self.infos: list[ResourceInfo] = []
        self.opened: list[int] = []
        #: Called before each execution, with the resource.
        self.meanwhile: Callable[[str], object] = lambda master_id: None

    def open(self, batch: LaneWork) -> "ScriptedHandler":
        self.opened.append(len(batch.works))
        return self

    def execute(self, work: Work) -> Outcome:
        master_id = work.request.master_id
        self.meanwhile(master_id)
        self.executed.append(master_id)
        self.infos.append(work.info)
        outcomes = self.script.get(master_id, [])
        outcome = outcomes.pop(0) if outcomes else Done()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class ExecutionTestCase(databases.DatabaseTestCase):
    BATCH = 3

    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.ring = KeyRing.ensure(directory)
        self.handler = ScriptedHandler()
        self.runner = LaneRunner(
            self.database,
            self.ring,
            self.handler,
            policy=Policy(max_tries=3, retry_delay=100.0, max_retry_delay=1000.0),
            batch=self.BATCH,
            breaker_after=3,
        )
        self.subcloud = builders.add_subcloud(self.database)
        self.jobs: dict[str, str] = {}

    def accept(self, *master_ids: str) -> None:
        for master_id in master_ids:
            info = ResourceInfo(fields={"name": master_id}).to_json()
            job = builders.accepted_job(
                self.database, master_id=master_id, resource_info=self.ring.encrypt(info)
            )
            self.jobs[master_id] = job.uuid

    def run_once(self) -> set[int]:
        """One turn of the lane, now, whatever its back-off."""
        lanes.request(self.database, ["identity"], at_once=True)
        (lane,) = builders.claim(self.database)
        return self.run_lane(lane).touched

    def run_lane(self, lane: ClaimedLane) -> LaneRun:
        return self.runner.run(Lease(lane, builders.LEASE, ticks()))

    def request(self, master_id: str) -> Request:
        job = jobs.get(self.database, self.jobs[master_id]).job
        (found,) = requests.of_job(self.database, job.id, limit=2)
        return found

    def states(self, *master_ids: str) -> list[RequestState]:
        return [self.request(master_id).state for master_id in master_ids]

    def lane(self) -> Lane:
        return builders.lane_of(self.database, self.subcloud)

    def availability(self) -> Availability:
        return subclouds.by_id(self.database, self.subcloud.id).availability_status


class OrderTest(ExecutionTestCase):
    def test_a_lane_is_run_to_its_end_in_order(self) -> None:
        names = [f"u{index}" for index in range(2 * self.BATCH + 1)]
        builders.audited(self.database)
        self.accept(*names)
        touched = self.run_once()
        self.assertEqual(names, self.handler.executed)
        self.assertEqual(
            {jobs.get(self.database, uuid).job.id for uuid in self.jobs.values()}, touched
        )
        self.assertEqual({RequestState.COMPLETED}, set(self.states(*names)))
        self.assertIs(SyncRequest.COMPLETED, self.lane().sync_request)
        self.assertIs(SyncStatus.IN_SYNC, self.lane().sync_status)

    def test_it_is_read_in_batches_that_are_opened_once_each(self) -> None:
        self.accept(*(f"u{index}" for index in range(2 * self.BATCH + 1)))
        self.run_once()
        self.assertEqual([3, 3, 1], self.handler.opened)

    def test_nothing_more_is_sent_once_an_operator_says_so(self) -> None:
        self.enterContext(mock.patch.object(execution, "_LOOK", 0.0))

        def say(master_id: str) -> None:
            if master_id == "u2":
                subclouds.set_management(self.database, "one", Management.UNMANAGED)

        self.handler.meanwhile = say
        self.accept("u1", "u2", "u3")
        self.run_once()
        self.assertEqual(["u1", "u2"], self.handler.executed)
        subclouds.set_management(self.database, "one", Management.MANAGED)
        self.run_once()
        self.assertEqual(["u1", "u2", "u3"], self.handler.executed)

    def test_a_replay_gets_the_decrypted_body(self) -> None:
        self.accept("u1")
        self.run_once()
        self.assertEqual([ResourceInfo(fields={"name": "u1"})], self.handler.infos)

    def test_a_request_whose_body_was_dropped_is_replayed_without_it(self) -> None:
        self.accept("u1")
        with self.database.write() as connection:
            connection.execute(sa.text("UPDATE orch_job SET resource_info = NULL"))
        self.run_once()
        self.assertEqual([ResourceInfo()], self.handler.infos)
        self.assertEqual([RequestState.COMPLETED], self.states("u1"))

    def test_after_its_share_a_lane_makes_room_for_others_and_stays_requested(self) -> None:
        names = [f"u{index}" for index in range(5 * self.BATCH)]
        self.accept(*names)
        self.run_once()
        self.assertEqual(names[: 4 * self.BATCH], self.handler.executed)
        self.assertIs(SyncRequest.REQUESTED, self.lane().sync_request)
        (lane,) = builders.claim(self.database)
        self.run_lane(lane)
        self.assertEqual(names, self.handler.executed)
        self.assertIs(SyncRequest.COMPLETED, self.lane().sync_request)

    def test_what_comes_while_it_runs_keeps_the_lane_requested(self) -> None:
        self.accept("u1")

        def more(master_id: str) -> None:
            if master_id == "u1":
                self.accept("u2")
                lanes.request(self.database, ["identity"])

        self.handler.meanwhile = more
        self.run_once()
        self.assertIs(SyncRequest.REQUESTED, self.lane().sync_request)
        (lane,) = builders.claim(self.database)
        self.run_lane(lane)
        self.assertEqual(["u1", "u2"], self.handler.executed)
        self.assertIs(SyncRequest.COMPLETED, self.lane().sync_request)

    def test_an_empty_lane_is_released(self) -> None:
        self.accept("u1")
        lanes.request(self.database, ["identity"])
        (lane,) = builders.claim(self.database)
        builders.finish_requests(self.database, lane)
        self.assertEqual(set(), self.run_lane(lane).touched)
        self.assertEqual([], self.handler.opened)
        self.assertIs(SyncRequest.COMPLETED, self.lane().sync_request)

    def test_a_subcloud_that_is_unmanaged_meanwhile_is_left_after_the_batch(self) -> None:
        names = [f"u{index}" for index in range(self.BATCH + 1)]
        self.accept(*names)
        self.handler.meanwhile = lambda _: subclouds.set_management(
            self.database, "one", Management.UNMANAGED
        )
        self.run_once()
        self.assertEqual(names[: self.BATCH], self.handler.executed)
        self.assertEqual([RequestState.QUEUED], self.states(names[-1]))
        self.assertIs(SyncStatus.UNKNOWN, self.lane().sync_status)
        self.assertIsNone(self.lane().lease_owner)


class ResultTest(ExecutionTestCase):
    def test_a_result_has_tries_times_and_note(self) -> None:
        before = clock.now()
        self.handler.script = {"u1": [Done("Adopted.")], "u2": [Gone("Was not there.")]}
        self.accept("u1", "u2", "u3")
        self.run_once()
        for name, note in (("u1", "Adopted."), ("u2", "Was not there."), ("u3", None)):
            got = self.request(name)
            self.assertEqual(
                (RequestState.COMPLETED, 1, note), (got.state, got.try_count, got.error)
            )
            assert got.started_at is not None
            assert got.finished_at is not None
            self.assertLessEqual(before, got.started_at)
            self.assertLessEqual(got.started_at, got.finished_at)

    def test_a_failed_request_lets_the_lane_go_on(self) -> None:
        self.handler.script = {"u1": [Failed("400 wrong")]}
        self.accept("u1", "u2")
        self.run_once()
        self.assertEqual([RequestState.FAILED, RequestState.COMPLETED], self.states("u1", "u2"))
        self.assertEqual("400 wrong", self.request("u1").error)
        self.assertIs(SyncRequest.FAILED, self.lane().sync_request)
        self.assertIs(SyncStatus.OUT_OF_SYNC, self.lane().sync_status)

    def test_what_a_replay_found_out_is_kept_whatever_its_outcome(self) -> None:
        def fact(there: str) -> tuple[MappingChange, ...]:
            return (MappingChange("identity", "user", there, None, f"there-{there}"),)

        self.handler.script = {
            "u1": [Done(mappings=fact("a"))],
            "u2": [Failed("x", mappings=fact("b"))],
            "u3": [Retry("x", counts=True, mappings=fact("c"))],
        }
        self.accept("u1", "u2", "u3")
        self.run_once()
        found = resources.mapped(self.database, self.subcloud.id, "identity", ["a", "b", "c"])
        self.assertEqual(
            {"there-a", "there-b", "there-c"}, {each.subcloud_resource_id for each in found}
        )

    def test_a_line_of_the_log_tells_job_subcloud_and_outcome(self) -> None:
        self.handler.script = {"u1": [Failed("400 wrong")]}
        self.accept("u1")
        with self.assertLogs(LOGGER, "INFO") as logged:
            self.run_once()
        (line,) = logged.output
        for part in (self.jobs["u1"], "one", "failed", "try 1", "400 wrong"):
            self.assertIn(part, line)


class PauseTest(ExecutionTestCase):
    def test_a_pause_stops_the_lane_and_nothing_overtakes(self) -> None:
        self.handler.script = {"u2": [BUSY]}
        self.accept("u1", "u2", "u3")
        self.run_once()
        self.assertEqual(["u1", "u2"], self.handler.executed)
        self.assertEqual(
            [RequestState.COMPLETED, RequestState.QUEUED, RequestState.QUEUED],
            self.states("u1", "u2", "u3"),
        )
        lane = self.lane()
        self.assertIs(SyncRequest.REQUESTED, lane.sync_request)
        self.assertEqual("500 oops", lane.last_error)
        assert lane.next_try_at is not None
        self.assertGreater(lane.next_try_at, clock.after(40))
        self.assertLess(lane.next_try_at, clock.after(101))
        self.assertEqual([], builders.claim(self.database))

    def test_after_the_pause_it_goes_on_where_it_stopped(self) -> None:
        self.handler.script = {"u2": [BUSY]}
        self.accept("u1", "u2", "u3")
        self.run_once()
        self.run_once()
        self.assertEqual(["u1", "u2", "u2", "u3"], self.handler.executed)
        self.assertEqual(2, self.request("u2").try_count)
        self.assertIsNone(self.request("u2").error)
        self.assertIsNone(self.lane().last_error)

    def test_a_poison_request_is_failed_after_its_tries_and_the_lane_goes_on(self) -> None:
        self.handler.script = {"u1": 10 * [BUSY]}
        self.accept("u1", "u2")
        for tries in (1, 2):
            self.run_once()
            self.assertEqual(tries, self.request("u1").try_count)
            self.assertEqual([RequestState.QUEUED], self.states("u2"))
        self.run_once()
        self.assertEqual([RequestState.FAILED, RequestState.COMPLETED], self.states("u1", "u2"))
        self.assertEqual("500 oops Given up after 3 tries.", self.request("u1").error)

    def test_an_unreachable_subcloud_uses_up_no_tries(self) -> None:
        self.handler.script = {"u1": 10 * [AWAY]}
        self.accept("u1", "u2")
        for _ in range(10):
            self.run_once()
        got = self.request("u1")
        self.assertEqual(
            (RequestState.QUEUED, 0, "No answer"), (got.state, got.try_count, got.error)
        )
        self.assertEqual([RequestState.QUEUED], self.states("u2"))
        self.run_once()
        self.assertEqual(2 * [RequestState.COMPLETED], self.states("u1", "u2"))

    def test_the_pauses_of_an_unreachable_subcloud_grow(self) -> None:
        self.handler.script = {"u1": 10 * [AWAY]}
        self.accept("u1")
        ends = []
        for _ in range(4):
            self.run_once()
            next_try_at = self.lane().next_try_at
            assert next_try_at is not None
            ends.append((next_try_at - clock.now()).total_seconds())
        # Doubled each time; jitter takes away less than half.
        self.assertEqual(sorted(ends), ends)
        self.assertGreater(ends[-1], 390)

    def test_a_success_in_an_earlier_batch_starts_the_pauses_anew_too(self) -> None:
        names = [f"u{index}" for index in range(self.BATCH + 1)]
        self.handler.script = {"u0": 5 * [AWAY], names[-1]: [AWAY]}
        self.accept(*names)
        for _ in range(6):
            self.run_once()
        next_try_at = self.lane().next_try_at
        assert next_try_at is not None
        self.assertLess(next_try_at, clock.after(101))

    def test_a_success_in_between_starts_the_pauses_anew(self) -> None:
        self.handler.script = {"u1": 5 * [AWAY], "u2": [AWAY]}
        self.accept("u1", "u2")
        for _ in range(6):
            self.run_once()
        self.assertEqual([RequestState.COMPLETED, RequestState.QUEUED], self.states("u1", "u2"))
        next_try_at = self.lane().next_try_at
        assert next_try_at is not None
        # The subcloud answered a moment ago: this is its first silence, not its sixth.
        self.assertLess(next_try_at, clock.after(101))


class AvailabilityTest(ExecutionTestCase):
    def test_a_subcloud_that_answers_is_online(self) -> None:
        for outcome in (Done(), Gone("x"), Failed("x"), BUSY):
            builders.measured(self.database, self.subcloud, Availability.OFFLINE)
            self.handler.script = {"u1": [outcome]}
            self.accept("u1")
            self.run_once()
            self.assertIs(Availability.ONLINE, self.availability(), outcome)
            while self.lane().pending:
                self.run_once()

    def test_one_silence_is_no_outage_but_two_are(self) -> None:
        self.handler.script = {"u1": 2 * [AWAY]}
        self.accept("u1")
        self.run_once()
        self.assertIs(Availability.UNKNOWN, self.availability())
        self.run_once()
        self.assertIs(Availability.OFFLINE, self.availability())
        self.run_once()
        self.assertIs(Availability.ONLINE, self.availability())

    def test_silences_in_a_row_open_the_circuit_breaker_and_an_answer_closes_it(self) -> None:
        self.handler.script = {"u1": 3 * [AWAY]}
        self.accept("u1")
        for number in range(1, 4):
            self.run_once()
            found = subclouds.by_id(self.database, self.subcloud.id)
            self.assertEqual((number, number == 3), (found.failures, bool(found.breaker_until)))
        lanes.request(self.database, ["identity"])
        self.assertEqual([], builders.claim(self.database))
        self.run_once()
        found = subclouds.by_id(self.database, self.subcloud.id)
        self.assertEqual((0, None), (found.failures, found.breaker_until))

    def test_a_sound_subcloud_costs_no_statement(self) -> None:
        self.accept("u1")
        self.run_once()
        self.accept("u2", "u3")
        with self.statements() as sent:
            self.run_once()
        # Nothing but what lets its lanes run at once.
        written = [text for text in sent if text.startswith("UPDATE subcloud ")]
        self.assertLessEqual(len(written), 1, written)

    def test_a_central_cloud_that_is_away_says_nothing_about_the_subcloud(self) -> None:
        for known in (Availability.ONLINE, Availability.OFFLINE):
            builders.measured(self.database, self.subcloud, known)
            self.handler.script = {"u1": 3 * [Retry("central is away", counts=False)]}
            self.accept("u1")
            for _ in range(3):
                self.run_once()
            self.assertIs(known, self.availability())
            self.run_once()


class TroubleTest(ExecutionTestCase):
    def test_a_clouds_odd_characters_are_stored_and_do_not_stop_the_lane(self) -> None:
        self.handler.script = {"u1": [Failed("bad \0 and \ud800 there")]}
        self.accept("u1", "u2")
        self.run_once()
        self.assertEqual([RequestState.FAILED, RequestState.COMPLETED], self.states("u1", "u2"))
        self.assertEqual("bad \ufffd and ? there", self.request("u1").error)

    def test_results_that_the_database_refuses_pause_the_lane_and_say_why(self) -> None:
        self.accept("u1")
        refuse = mock.patch.object(
            requests, "write_results", side_effect=[DatabaseFailed("value too long"), None]
        )
        with refuse, self.assertLogs(LOGGER, "ERROR"):
            self.run_once()
        lane = self.lane()
        self.assertIs(SyncRequest.REQUESTED, lane.sync_request)
        self.assertEqual("value too long", lane.last_error)
        self.assertIsNotNone(lane.next_try_at)
        self.run_once()
        self.assertEqual([RequestState.COMPLETED], self.states("u1"))

    def test_a_database_that_is_away_during_a_replay_uses_no_try_up(self) -> None:
        self.handler.script = {"u1": [DatabaseUnavailable("away")]}
        self.accept("u1")
        self.run_once()
        self.assertEqual(0, self.request("u1").try_count)
        self.assertEqual([RequestState.QUEUED], self.states("u1"))

    def test_an_error_in_a_replay_counts_as_a_try_and_is_logged(self) -> None:
        self.handler.script = {"u1": [ValueError("secret: tiger")]}
        self.accept("u1", "u2")
        with self.assertLogs(LOGGER, "ERROR") as logged:
            self.run_once()
        self.assertIn(self.jobs["u1"], logged.output[0])
        self.assertIn("Traceback", logged.output[0])
        got = self.request("u1")
        self.assertEqual((RequestState.QUEUED, 1), (got.state, got.try_count))
        self.assertEqual("Internal error: ValueError; see the log.", got.error)
        self.run_once()
        self.assertEqual(2 * [RequestState.COMPLETED], self.states("u1", "u2"))

    def test_a_replay_that_always_breaks_is_failed_in_the_end(self) -> None:
        self.handler.script = {"u1": [ValueError(str(index)) for index in range(9)]}
        self.accept("u1", "u2")
        with self.assertLogs(LOGGER, "ERROR"):
            for _ in range(3):
                self.run_once()
        self.assertEqual([RequestState.FAILED, RequestState.COMPLETED], self.states("u1", "u2"))

    def test_a_body_that_cannot_be_understood_is_failed_in_the_end_and_the_lane_goes_on(
        self,
    ) -> None:
        # Such as one that a gateway of a later version wrote during an upgrade.
        body = self.ring.encrypt({"of_a_later_version": 1})
        job = builders.accepted_job(self.database, master_id="u1", resource_info=body)
        self.jobs["u1"] = job.uuid
        self.accept("u2")
        for _ in range(3):
            try:
                self.run_once()
            except TypeError:
                self.fail("the lane is left to its lease, and runs into the same error again")
        self.assertEqual([RequestState.FAILED, RequestState.COMPLETED], self.states("u1", "u2"))

    def test_a_lane_without_its_key_waits_and_says_so(self) -> None:
        self.accept("u1")
        self.ring = KeyRing.ensure(
            pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "other")
        )
        self.accept("u2")
        with self.assertLogs(LOGGER, "ERROR") as logged:
            self.run_once()
        self.assertIn("one waits: No key in", logged.output[0])
        self.assertEqual([], self.handler.executed)
        self.assertIn("No key in", str(self.lane().last_error))
        self.assertIsNotNone(self.lane().next_try_at)
        self.assertEqual(2 * [RequestState.QUEUED], self.states("u1", "u2"))
        self.assertEqual(0, self.request("u1").try_count)

    def test_a_subcloud_that_was_deleted_meanwhile_ends_the_lane(self) -> None:
        def delete(_: str) -> None:
            subclouds.set_management(self.database, "one", Management.UNMANAGED)
            subclouds.delete(self.database, "one")

        self.handler.meanwhile = delete
        self.accept("u1")
        with self.assertLogs(LOGGER, "WARNING") as logged:
            self.run_once()
        self.assertIn("it was deleted", logged.output[0])

    def lose_lease(self) -> None:
        """Another worker takes the lane over."""
        builders.end_leases(self.database)
        builders.claim(self.database, "other")

    def test_a_lost_lane_stops_after_the_request_at_hand_and_writes_nothing(self) -> None:
        self.accept("u1", "u2", "u3", "u4")
        self.handler.meanwhile = lambda name: self.lose_lease() if name == "u3" else None
        with self.assertLogs(LOGGER, "WARNING") as logged:
            touched = self.run_once()
        self.assertIn("another worker holds it", logged.output[0])
        self.assertEqual(["u1", "u2", "u3"], self.handler.executed)
        self.assertEqual(3, len(touched))
        self.assertNotIn(RequestState.COMPLETED, self.states("u1", "u2", "u3", "u4"))
        self.assertEqual("other", self.lane().lease_owner)
        self.assertIs(SyncRequest.IN_PROGRESS, self.lane().sync_request)

    def test_a_lease_that_has_ended_stops_it_before_the_next_request(self) -> None:
        self.accept("u1", "u2")
        lanes.request(self.database, ["identity"])
        (lane,) = builders.claim(self.database)
        lease = Lease(lane, builders.LEASE, ticks())
        self.handler.meanwhile = lambda _: lease.lose()
        with self.assertLogs(LOGGER, "WARNING"):
            self.runner.run(lease)
        self.assertEqual(["u1"], self.handler.executed)
        self.assertIs(SyncRequest.IN_PROGRESS, self.lane().sync_request)

    def test_a_lane_that_is_lost_at_its_pause_is_not_paused(self) -> None:
        self.handler.script = {"u1": [AWAY]}
        self.handler.meanwhile = lambda _: self.lose_lease()
        self.accept("u1")
        with self.assertLogs(LOGGER, "WARNING"):
            self.run_once()
        self.assertIs(SyncRequest.IN_PROGRESS, self.lane().sync_request)
        self.assertIsNone(self.lane().next_try_at)


class RepeatedTest(ExecutionTestCase):
    def test_a_second_run_of_a_finished_lane_does_nothing(self) -> None:
        self.accept("u1")
        self.run_once()
        self.assertEqual(0, lanes.request(self.database, ["identity"]))
        self.assertEqual(["u1"], self.handler.executed)

    def test_what_a_killed_worker_did_not_write_is_replayed(self) -> None:
        self.accept("u1", "u2")
        lanes.request(self.database, ["identity"])
        (killed,) = builders.claim(self.database, "killed")
        requests.next_batch(self.database, killed, 10)
        builders.end_leases(self.database)
        (lane,) = builders.claim(self.database)
        self.run_lane(lane)
        self.assertEqual(["u1", "u2"], self.handler.executed)
        self.assertEqual(2 * [RequestState.COMPLETED], self.states("u1", "u2"))

    def test_an_overtaken_request_says_so_to_its_replay(self) -> None:
        seen: list[tuple[Operation, bool]] = []
        self.handler.script = {"u1": [Failed("x")]}
        self.accept("u1")
        first = jobs.get(self.database, self.jobs["u1"]).job
        self.run_once()
        self.accept("u1")
        self.run_once()
        requests.retry(self.database, first.id)
        lanes.request(self.database, ["identity"])
        (lane,) = builders.claim(self.database)
        for request in requests.next_batch(self.database, lane, 10).requests:
            seen.append((request.operation, request.superseded))
        self.assertEqual([(Operation.UPDATE, True)], seen)

# SPDX-License-Identifier: Apache-2.0
"""/v1/jobs: found, watched, tried again, given up."""

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from headwater.common.states import RequestState
from headwater.db import jobs, lanes, requests
from headwater.db.models import orch_job, orch_request
from headwater.orchestrator.api.events import events_of
from headwater.orchestrator.api.v1 import views
from tests.support import builders, databases
from tests.support.api import ADMIN, ApiTestCase
from tests.support.waiting import PATIENCE


class JobsTestCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subclouds = builders.add_subclouds(self.database, 3)
        self.job = builders.accepted_job(self.database, natural_key={"name": "alice"})
        lanes.request(self.database, ["identity"])
        self.claimed = builders.claim(self.database)

    def run_lanes(self, *states: RequestState) -> None:
        """Let as many lanes run, each to a state."""
        for state in states:
            builders.finish_requests(self.database, self.claimed.pop(0), state)

    def set_job(self, **values: object) -> None:
        with self.database.write() as connection:
            connection.execute(
                sa.update(orch_job).where(orch_job.c.id == self.job.id).values(**values)
            )


@databases.on_every_backend
class ShownJobsTest(JobsTestCase):
    def show(self, query: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/jobs/{self.job.uuid}{query}").json["job"]
        return found

    def test_a_job_tells_how_far_it_is(self) -> None:
        self.run_lanes(RequestState.COMPLETED, RequestState.FAILED)
        shown = self.show()
        self.assertEqual("in-progress", shown["state"])
        self.assertEqual(
            {
                "queued": 1,
                "in-progress": 0,
                "completed": 1,
                "failed": 1,
                "cancelled": 0,
                "total": 3,
            },
            shown["requests"],
        )
        self.run_lanes(RequestState.COMPLETED)
        self.assertEqual("failed", self.show()["state"])

    def test_it_is_found_by_the_clients_own_request_id(self) -> None:
        self.set_job(request_id="req-mine")
        self.assertEqual(self.job.uuid, self.call("GET", "/v1/jobs/req-mine").json["job"]["id"])
        self.assertEqual(404, self.refused(self.call("GET", "/v1/jobs/req-other"))["status"])

    def test_requests_are_paged_and_picked_by_state(self) -> None:
        self.run_lanes(RequestState.FAILED)
        path = f"/v1/jobs/{self.job.uuid}/requests"
        page = self.call("GET", f"{path}?limit=2").json
        link = page["links"][0]["href"].removeprefix("https://cloud.example:25080")
        rest = self.call("GET", link).json
        names = [each["subcloud"] for each in [*page["requests"], *rest["requests"]]]
        self.assertEqual([each.region_name for each in self.subclouds], names)
        failed = self.call("GET", f"{path}?state=failed").json["requests"]
        self.assertEqual([1], [each["try_count"] for each in failed])

    def test_lists_are_filtered(self) -> None:
        self.set_job(request_id="req-mine", user_id="u", user_name="ann", project_id="p")
        other = builders.accepted_job(self.database, resource_type="project", master_id="p1")
        still_open = jobs.open_intent(self.database, builders.intent(master_id="u9"))
        self.run_lanes(*3 * [RequestState.FAILED])
        for query, found in (
            ("", [still_open, other, self.job]),
            ("sort_dir=asc&limit=1", [self.job]),
            ("limit=1", [still_open]),
            (f"marker={still_open.uuid}&limit=1", [other]),
            (f"marker={self.job.uuid}&sort_dir=asc&limit=1", [other]),
            ("resource_type=project", [other]),
            ("resource_id=u1", [self.job]),
            ("endpoint_type=compute", []),
            ("state=open", [still_open]),
            ("state=completed", []),
            ("user=ann", [self.job]),
            ("user=u", [self.job]),
            ("project_id=p", [self.job]),
            ("request_id=req-mine", [self.job]),
            ("since=2026-01-01T00:00:00Z", [still_open, other, self.job]),
            ("since=2999-01-01", []),
            ("subcloud=cloud0001", [other, self.job]),
        ):
            with self.subTest(query):
                page = self.call("GET", f"/v1/jobs?{query}").json["jobs"]
                self.assertEqual([job.uuid for job in found], [each["id"] for each in page])

    def test_they_are_filtered_by_state_as_each_is_shown(self) -> None:
        other = builders.accepted_job(self.database, master_id="u2")
        with self.database.write() as connection:
            connection.execute(
                sa.delete(orch_request).where(orch_request.c.orch_job_id == other.id)
            )
        self.run_lanes(*3 * [RequestState.FAILED])
        jobs.finish(self.database)
        for state, found in (("failed", [self.job]), ("completed", [other]), ("in-progress", [])):
            page = self.call("GET", f"/v1/jobs?state={state}").json["jobs"]
            self.assertEqual([job.uuid for job in found], [each["id"] for each in page], state)
            self.assertEqual({state} if found else set(), {each["state"] for each in page})

    def test_a_time_that_is_none_is_refused(self) -> None:
        answer = self.call("GET", "/v1/jobs?since=yesterday")
        self.assertIn("?since=yesterday", self.refused(answer)["detail"])

    def test_a_time_that_is_before_the_calendar_in_utc_is_refused(self) -> None:
        answer = self.call("GET", "/v1/jobs?since=0001-01-01T00:00:00%2B14:00")
        self.assertEqual(400, self.refused(answer)["status"])

    def test_waiting_ends_when_nothing_is_left_to_run(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.show, f"?wait={PATIENCE}")
            self.run_lanes(RequestState.COMPLETED, RequestState.COMPLETED)
            self.assertFalse(waiting.done())
            self.run_lanes(RequestState.FAILED)
            self.assertEqual("failed", waiting.result(PATIENCE)["state"])

    def test_waiting_ends_after_its_time_with_what_there_is(self) -> None:
        self.assertEqual("in-progress", self.show("?wait=0.05")["state"])
        answer = self.call("GET", f"/v1/jobs/{self.job.uuid}?wait=61")
        self.assertEqual(400, self.refused(answer)["status"])


@databases.on_every_backend
class ChangedJobsTest(JobsTestCase):
    def states(self) -> dict[str, int]:
        shown = self.call("GET", f"/v1/jobs/{self.job.uuid}").json["job"]["requests"]
        return {state: number for state, number in shown.items() if number and state != "total"}

    def test_what_failed_is_tried_again(self) -> None:
        self.run_lanes(RequestState.COMPLETED, RequestState.FAILED, RequestState.FAILED)
        answer = self.call("POST", f"/v1/jobs/{self.job.uuid}/retry", {})
        self.assertEqual((202, {"requests": 2}), (answer.status_int, answer.json))
        self.assertEqual(f"https://cloud.example:25080/v1/jobs/{self.job.uuid}", answer.location)
        self.assertEqual({"completed": 1, "queued": 2}, self.states())
        self.assertEqual(["look"], self.woken)

    def test_what_waits_or_failed_is_given_up_and_what_runs_ends(self) -> None:
        self.run_lanes(RequestState.FAILED)
        requests.next_batch(self.database, self.claimed[0], 10)
        answer = self.call("POST", f"/v1/jobs/{self.job.uuid}/cancel", {})
        self.assertEqual({"cancelled": 2, "running": 1}, answer.json)
        self.run_lanes(RequestState.COMPLETED)
        self.assertEqual({"completed": 1, "cancelled": 2}, self.states())
        jobs.finish(self.database)
        shown = self.call("GET", f"/v1/jobs/{self.job.uuid}").json["job"]
        self.assertEqual("completed", shown["state"])
        self.assertIsNotNone(shown["finished_at"])
        again = self.call("POST", f"/v1/jobs/{self.job.uuid}/cancel", {})
        self.assertEqual({"cancelled": 0, "running": 0}, again.json)

    def test_a_lane_whose_requests_were_given_up_is_audited(self) -> None:
        self.call("POST", f"/v1/jobs/{self.job.uuid}/cancel", {})
        found = self.call("GET", "/v1/lanes").json["lanes"]
        self.assertEqual({"requested"}, {each["audit"]["status"] for each in found})


class EventsTest(JobsTestCase):
    def stream(self, last: str | None = None) -> Iterator[bytes]:
        found = jobs.get(self.database, self.job.uuid)
        return events_of(self.parts.watch, found, views.job, last)

    def read(self, event: bytes) -> tuple[str, str, dict[str, Any]]:
        fields = dict(line.split(": ", 1) for line in event.decode().strip().splitlines())
        return fields["id"], fields["event"], json.loads(fields["data"])["requests"]

    def test_each_step_is_told_until_the_end(self) -> None:
        stream = self.stream()
        _, name, counts = self.read(next(stream))
        self.assertEqual(("progress", 0), (name, counts["completed"]))
        self.run_lanes(RequestState.COMPLETED)
        _, name, counts = self.read(next(stream))
        self.assertEqual(("progress", 1), (name, counts["completed"]))
        self.run_lanes(RequestState.COMPLETED, RequestState.COMPLETED)
        *_, last = stream
        _, name, counts = self.read(last)
        self.assertEqual(("end", 3), (name, counts["completed"]))

    def test_who_comes_back_gets_what_was_missed_and_nothing_twice(self) -> None:
        key, _, _ = self.read(next(self.stream()))
        again = self.stream(key)
        told = threading.Event()

        def one() -> bytes:
            told.set()
            return next(again)

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            following = pool.submit(one)
            self.assertTrue(told.wait(PATIENCE))
            self.run_lanes(RequestState.COMPLETED)
            missed, _, counts = self.read(following.result(PATIENCE))
        self.assertNotEqual(key, missed)
        self.assertEqual(1, counts["in-progress"] + counts["completed"])
        _, _, counts = self.read(next(self.stream(key)))
        self.assertEqual(1, counts["completed"])

    def test_a_job_that_has_ended_is_told_once(self) -> None:
        self.run_lanes(*3 * [RequestState.COMPLETED])
        answer = self.ask(f"/v1/jobs/{self.job.uuid}/events", caller=ADMIN)
        self.assertEqual("text/event-stream", answer.content_type)
        self.assertEqual("no-store", answer.headers["Cache-Control"])
        (event,) = answer.body.strip().split(b"\n\n")
        self.assertEqual("end", self.read(event)[1])

    def test_a_job_that_is_forgotten_meanwhile_ends_the_stream(self) -> None:
        stream = self.stream()
        next(stream)
        with self.database.write() as connection:
            connection.execute(sa.delete(orch_job))
        *_, last = stream
        self.assertEqual("end", self.read(last)[1])

    def test_a_client_that_takes_no_events_is_refused(self) -> None:
        path = f"/v1/jobs/{self.job.uuid}/events"
        answer = self.ask(path, caller=ADMIN, Accept="image/png")
        self.assertEqual(406, self.refused(answer)["status"])
        for accept in ("text/event-stream", "*/*"):
            self.run_lanes(*len(self.claimed) * [RequestState.COMPLETED])
            self.assertEqual(200, self.ask(path, caller=ADMIN, Accept=accept).status_int)

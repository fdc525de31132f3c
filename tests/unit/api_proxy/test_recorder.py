# SPDX-License-Identifier: Apache-2.0
"""Changes are written down before they are forwarded, and queued when they were accepted."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from headwater.api_proxy.interpreter import Change
from headwater.api_proxy.recorder import Recorder
from headwater.api_proxy.router import Recorded
from headwater.common.context import Caller
from headwater.common.errors import DatabaseUnavailable, NotFound
from headwater.common.secrets import KeyRing
from headwater.common.states import IntentState, Operation, RequestState
from headwater.db import jobs, lanes, requests, resources, schema
from headwater.db.records import Job
from headwater.engine.task import ResourceInfo
from tests.support import builders, databases
from tests.support.waiting import PATIENCE, eventually
from tests.unit.api_proxy.test_router import router


class Notes:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, endpoint_type: str) -> None:
        self.told.append(endpoint_type)


class RecorderTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.ring = KeyRing.ensure(directory)
        self.notes = Notes()
        self.recorder = Recorder(self.database, self.ring, self.notes, "identity")

    def meaning(self, method: str, path: str) -> Recorded:
        meaning = router().match(method, path)
        assert isinstance(meaning, Recorded)
        return meaning

    def open(
        self, method: str = "POST", path: str = "/v3/users", **fields: Any
    ) -> tuple[Job, ResourceInfo]:
        info = ResourceInfo(fields=fields)
        return self.recorder.open(self.meaning(method, path), info, Caller(user_id="c1")), info

    def change(
        self,
        info: ResourceInfo,
        operation: Operation = Operation.CREATE,
        master_id: str = "u1",
        natural_key: Mapping[str, Any] | None = None,
    ) -> Change:
        return Change(operation, master_id, natural_key, info)

    def stored(self, job: Job) -> Job:
        return jobs.get(self.database, job.uuid).job

    def queued_info(self) -> list[ResourceInfo]:
        """What a worker would get to read."""
        lane = builders.claimed_lane(self.database)
        batch = requests.next_batch(self.database, lane, 10)
        lanes.release(self.database, lane, seen_wakeups=-1)
        return [
            ResourceInfo.from_json(self.ring.decrypt(str(request.resource_info)))
            for request in batch.requests
        ]


class RecorderTest(RecorderTestCase):
    def test_an_intent_holds_the_body_encrypted(self) -> None:
        job, info = self.open(name="Alice", password="tiger")
        self.assertIs(IntentState.OPEN, self.stored(job).intent_state)
        self.assertEqual(("c1", "Alice"), (job.user_id, job.resource_name))
        self.assertIsNone(job.master_id)
        text = jobs.open_info(self.database, job.id)
        self.assertNotIn("tiger", text)
        self.assertEqual(info, ResourceInfo.from_json(self.ring.decrypt(text)))
        file = pathlib.Path(str(self.database.engine.url.database))
        self.database.dispose()
        self.assertNotIn(b"tiger", b"".join(each.read_bytes() for each in file.parent.iterdir()))

    def test_an_intent_for_a_known_resource_names_its_id(self) -> None:
        job, _ = self.open("PATCH", "/v3/users/u1")
        self.assertEqual(("u1", Operation.UPDATE), (job.master_id, job.operation))

    def test_a_refused_change_is_forgotten(self) -> None:
        job, _ = self.open()
        for _ in range(2):
            self.recorder.drop(job)
            with self.assertRaises(NotFound):
                self.stored(job)

    def test_an_accepted_change_is_queued_and_told_about(self) -> None:
        builders.add_subcloud(self.database)
        job, info = self.open(name="Alice", password="tiger")
        self.recorder.close(job, self.change(info, natural_key={"name": "Alice"}), "req-central")
        stored = self.stored(job)
        self.assertIs(IntentState.ACCEPTED, stored.intent_state)
        self.assertEqual(("u1", "Alice", "req-central"), (
            stored.master_id, stored.resource_name, stored.request_id,
        ))  # fmt: skip
        self.assertEqual(["identity"], self.notes.told)
        self.assertEqual([info], self.queued_info())
        self.assertEqual(
            {"name": "Alice"}, self.recorder.known_key(self.meaning("PATCH", "/v3/users/u1"))
        )

    def test_nobody_is_woken_for_nothing(self) -> None:
        builders.add_subcloud(self.database, managed=False)
        job, info = self.open(name="Alice")
        self.recorder.close(job, self.change(info), None)
        self.assertIs(IntentState.ACCEPTED, self.stored(job).intent_state)
        self.assertEqual([], self.notes.told)

    def test_a_change_that_tells_no_name_keeps_the_one_from_before(self) -> None:
        job, _ = self.open("POST", "/v3/users/u1/password")
        info = ResourceInfo(fields={"password": "p"}, key_before={"name": "Alice"})
        self.recorder.close(job, self.change(info, Operation.UPDATE), None)
        self.assertEqual(
            {"name": "Alice"}, resources.natural_key(self.database, "identity", "user", "u1")
        )
        self.assertEqual("Alice", self.stored(job).resource_name)

    def test_a_link_is_shown_by_the_names_of_its_ends(self) -> None:
        for kind, known, name in (("group", "g1", "admins"), ("user", "u1", "Alice")):
            builders.accepted_job(
                self.database, master_id=known, resource_type=kind, natural_key={"name": name}
            )
        for path, shown in (("g1/users/u1", "admins / Alice"), ("g1/users/u9", "admins / u9")):
            job, info = self.open("PUT", f"/v3/groups/{path}")
            self.recorder.close(
                job, self.change(info, master_id=path.replace("/users/", "/")), None
            )
            self.assertEqual(shown, self.stored(job).resource_name)

    def test_only_resources_with_names_are_looked_up(self) -> None:
        for method, path in (
            ("POST", "/v3/users"),
            ("PUT", "/v3/groups/g/users/u"),
            ("PATCH", "/v3/users/unknown"),
        ):
            self.assertIsNone(self.recorder.known_key(self.meaning(method, path)))


class SettledMeanwhileTest(RecorderTestCase):
    """A slow exchange whose intent the engine settled before its answer came."""

    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)
        self.job, self.info = self.open(name="Alice")

    def test_what_the_engine_took_for_not_done_is_written_again(self) -> None:
        jobs.drop_intent(self.database, self.job.id)
        same = self.recorder.close(self.job, self.change(self.info), "req-1")
        self.assertEqual(self.job.uuid, same)
        stored = self.stored(self.job)
        self.assertIs(IntentState.ACCEPTED, stored.intent_state)
        # What else was accepted meanwhile did not see it.
        self.assertIs(Operation.ALIGN, stored.operation)
        self.assertEqual((self.job.uuid, "c1"), (stored.uuid, stored.user_id))
        self.assertEqual([self.info], self.queued_info())
        self.assertEqual(["identity"], self.notes.told)

    def test_what_the_engine_queued_too_early_is_followed_by_the_present_state(self) -> None:
        jobs.accept(self.database, self.job, builders.change(Operation.CREATE))
        with self.assertLogs("headwater.api_proxy.recorder", "WARNING") as logged:
            follower = self.recorder.close(self.job, self.change(self.info), "req-1")
        self.assertNotEqual(self.job.uuid, follower)
        self.assertIn(f"job {follower} follows it", logged.output[0])
        self.assertIs(Operation.CREATE, self.stored(self.job).operation)
        stored = jobs.get(self.database, follower)
        self.assertIs(Operation.ALIGN, stored.job.operation)
        self.assertEqual({RequestState.QUEUED: 1}, stored.counts)
        self.assertEqual(["identity"], self.notes.told)


class TroubleTest(RecorderTestCase):
    """The client's answer is the central cloud's, whatever happens on our side."""

    def break_database(self) -> None:
        schema.downgrade(self.database)

    def test_without_a_database_nothing_may_be_forwarded(self) -> None:
        self.break_database()
        with self.assertRaises(DatabaseUnavailable):
            self.open()
        with self.assertRaises(DatabaseUnavailable):
            self.recorder.known_key(self.meaning("PATCH", "/v3/users/u1"))

    def test_what_cannot_be_closed_while_the_database_is_away_is_queued_when_it_is_back(
        self,
    ) -> None:
        builders.add_subcloud(self.database)
        job, info = self.open(name="Alice", password="tiger")
        self.hurry()
        self.addCleanup(self.recorder.stop, PATIENCE)
        with self.connect().write():
            with self.assertLogs("headwater.api_proxy.recorder", "WARNING") as logged:
                self.recorder.close(job, self.change(info), "req-1")
            self.assertEqual([], self.notes.told)
        self.assertIn(f"Job {job.uuid} is queued later", logged.output[0])
        eventually(lambda: self.notes.told, "the wake-up for the late change")
        self.assertIs(IntentState.ACCEPTED, self.stored(job).intent_state)
        self.assertEqual([info], self.queued_info())

    def test_closing_what_cannot_be_stored_never_raises_and_keeps_the_intent(self) -> None:
        job, info = self.open()
        with self.assertLogs("headwater.api_proxy.recorder", "ERROR"):
            self.recorder.close(job, self.change(info, natural_key={"name": object()}), None)
        self.assertIs(IntentState.OPEN, self.stored(job).intent_state)

    def test_dropping_never_raises(self) -> None:
        job, _ = self.open()
        self.break_database()
        with self.assertLogs("headwater.api_proxy.recorder", "ERROR") as logged:
            self.recorder.drop(job)
        self.assertIn(f"Job {job.uuid} stays open", logged.output[0])

    def test_dropping_never_raises_while_another_process_holds_the_lock(self) -> None:
        job, _ = self.open()
        self.hurry()
        with self.connect().write(), self.assertLogs("headwater.api_proxy.recorder", "ERROR"):
            self.recorder.drop(job)

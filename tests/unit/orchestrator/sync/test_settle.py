# SPDX-License-Identifier: Apache-2.0
"""Open intents are settled by what the central cloud shows."""

import pathlib
import tempfile
from collections.abc import Collection
from typing import Any

from headwater.common.endpoints.registry import load_registry
from headwater.common.errors import HeadwaterError, NotFound, Unreachable
from headwater.common.secrets import KeyRing
from headwater.common.sessions import Answer
from headwater.common.states import IntentState, Operation
from headwater.db import jobs
from headwater.db.records import Job
from headwater.engine.task import ResourceInfo
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.settle import Settler
from tests.support import builders, databases
from tests.unit.orchestrator.sync.test_replay import Cloud

LOGGER = "headwater.orchestrator.sync.settle"

ALICE = {"id": "u1", "name": "alice", "domain_id": "default", "enabled": True}


class SettlerTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.ring = KeyRing.ensure(directory)
        self.central = Cloud({})
        self.woken: list[Collection[str]] = []
        builders.add_subcloud(self.database)

    def settler(self, age: float = -1.0) -> Settler:
        return Settler(
            self.database,
            self.ring,
            load_registry(None),
            {"identity": CentralReader(lambda: self.central)},
            self.woken.append,
            age=age,
        )

    def settle(self, age: float = -1.0) -> int:
        return self.settler(age).run()

    def open(
        self,
        operation: Operation,
        master_id: str | None = "u1",
        info: ResourceInfo | None = None,
        resource_type: str = "user",
    ) -> Job:
        encrypted = self.ring.encrypt((info or ResourceInfo(fields={})).to_json())
        return jobs.open_intent(
            self.database,
            builders.intent(
                operation, master_id, resource_type=resource_type, resource_info=encrypted
            ),
        )

    def shows(self, path: str, answer: dict[str, Any] | HeadwaterError | None) -> None:
        """What the central cloud answers for a path."""
        got = answer if isinstance(answer, HeadwaterError) else Answer(200, answer, "OK")
        self.central.answers["GET", path] = got

    def shows_alice(self) -> None:
        self.shows("/v3/users/u1", {"user": ALICE})
        self.shows("/v3/users", {"users": [ALICE]})

    def happened(self, job: Job, operation: Operation) -> None:
        found = jobs.get(self.database, job.uuid).job
        self.assertEqual((IntentState.ACCEPTED, operation), (found.intent_state, found.operation))
        self.assertEqual([["identity"]], self.woken)

    def did_not_happen(self, job: Job) -> None:
        with self.assertRaises(NotFound):
            jobs.get(self.database, job.uuid)
        self.assertEqual([], self.woken)

    def is_open(self, job: Job) -> None:
        self.assertIs(IntentState.OPEN, jobs.get(self.database, job.uuid).job.intent_state)

    def test_a_create_that_is_there_happened(self) -> None:
        self.shows("/v3/users", {"users": [ALICE]})
        job = self.open(Operation.CREATE, None, ResourceInfo(fields={"name": "alice"}))
        self.assertEqual(1, self.settle())
        self.happened(job, Operation.ALIGN)
        self.assertEqual("u1", jobs.get(self.database, job.uuid).job.master_id)

    def test_a_create_with_a_password_is_left_to_the_operator(self) -> None:
        # What is there may be older than the gateway, with a password of its own.
        self.shows("/v3/users", {"users": [ALICE]})
        info = ResourceInfo(fields={"name": "alice", "password": "p"})
        job = self.open(Operation.CREATE, None, info)
        with self.assertLogs(LOGGER, "WARNING"):
            self.assertEqual(0, self.settle())
        self.is_open(job)

    def test_a_create_that_is_not_there_did_not_happen(self) -> None:
        self.shows("/v3/users", {"users": []})
        job = self.open(Operation.CREATE, None, ResourceInfo(fields={"name": "alice"}))
        self.assertEqual(1, self.settle())
        self.did_not_happen(job)

    def test_a_create_whose_name_somebody_else_had_before_did_not_happen(self) -> None:
        builders.accepted_job(self.database, Operation.CREATE, "u1", natural_key={"name": "alice"})
        self.shows("/v3/users", {"users": [ALICE]})
        job = self.open(Operation.CREATE, None, ResourceInfo(fields={"name": "alice"}))
        self.settle()
        self.did_not_happen(job)

    def test_a_create_that_looks_different_now_is_left_to_the_operator(self) -> None:
        self.shows("/v3/users", {"users": [{**ALICE, "enabled": False}]})
        info = ResourceInfo(fields={"name": "alice", "enabled": True})
        job = self.open(Operation.CREATE, None, info)
        with self.assertLogs(LOGGER, "WARNING") as logged:
            self.assertEqual(0, self.settle())
        self.is_open(job)
        self.assertIn("headwater-manage job settle", logged.output[0])

    def test_a_delete_happened_when_it_is_gone(self) -> None:
        job = self.open(Operation.DELETE)
        self.settle()
        self.happened(job, Operation.DELETE)

    def test_a_delete_did_not_happen_when_it_is_there(self) -> None:
        self.shows_alice()
        job = self.open(Operation.DELETE)
        self.settle()
        self.did_not_happen(job)

    def test_a_delete_of_what_only_a_cache_still_shows_is_settled_later(self) -> None:
        self.shows_alice()
        self.shows("/v3/users", {"users": []})
        job = self.open(Operation.DELETE)
        with self.assertLogs(LOGGER, "WARNING"):
            self.settle()
        self.is_open(job)

    def test_an_update_is_settled_by_the_present_state_whether_it_happened_or_not(self) -> None:
        self.shows_alice()
        job = self.open(Operation.UPDATE, "u1", ResourceInfo(fields={"enabled": False}))
        self.settle()
        self.happened(job, Operation.ALIGN)

    def test_an_update_of_what_is_gone_did_not_happen(self) -> None:
        job = self.open(Operation.UPDATE, "u1", ResourceInfo(fields={"enabled": False}))
        self.settle()
        self.did_not_happen(job)

    def test_a_change_of_a_password_cannot_be_read_and_is_left_to_the_operator(self) -> None:
        self.shows_alice()
        job = self.open(Operation.UPDATE, "u1", ResourceInfo(fields={"password": "p"}))
        with self.assertLogs(LOGGER, "WARNING"):
            self.assertEqual(0, self.settle())
        self.is_open(job)

    def test_a_link_is_settled_by_whether_it_is_there(self) -> None:
        made = self.open(Operation.CREATE, "g1/u1", resource_type="group_member")
        self.shows("/v3/groups/g1/users/u1", None)
        self.settle()
        self.happened(made, Operation.CREATE)

    def test_an_operator_is_told_once_about_each(self) -> None:
        self.shows_alice()
        self.open(Operation.UPDATE, "u1", ResourceInfo(fields={"password": "p"}))
        settler = self.settler()
        with self.assertLogs(LOGGER, "WARNING") as logged:
            for _ in range(3):
                settler.run()
        self.assertEqual(1, len(logged.output))

    def test_an_intent_of_an_endpoint_type_of_others_is_left_alone(self) -> None:
        job = jobs.open_intent(
            self.database, builders.intent(endpoint_type="compute", resource_type="flavor")
        )
        self.assertEqual(0, self.settle())
        self.is_open(job)

    def test_a_young_intent_is_left_alone(self) -> None:
        job = self.open(Operation.DELETE)
        self.assertEqual(0, self.settle(age=3600))
        self.is_open(job)

    def test_a_central_cloud_that_is_away_settles_nothing(self) -> None:
        self.shows("/v3/users/u1", Unreachable("No answer"))
        job = self.open(Operation.DELETE)
        with self.assertLogs(LOGGER, "WARNING"):
            self.assertEqual(0, self.settle())
        self.is_open(job)

    def test_an_intent_that_cannot_be_settled_keeps_no_other_from_it(self) -> None:
        self.shows("/v3/users/u1", {"html": "a page of some proxy"})
        poison = self.open(Operation.UPDATE, "u1", ResourceInfo(fields={"enabled": False}))
        job = self.open(Operation.DELETE, "u2")
        with self.assertLogs(LOGGER, "WARNING"):
            self.assertEqual(1, self.settle())
        self.is_open(poison)
        self.happened(job, Operation.DELETE)

    def test_many_that_only_an_operator_can_decide_keep_no_other_from_it(self) -> None:
        self.shows_alice()
        info = ResourceInfo(fields={"password": "p"})
        for _ in range(101):
            self.open(Operation.UPDATE, "u1", info)
        job = self.open(Operation.DELETE, "u2")
        with self.assertLogs(LOGGER, "WARNING"):
            for _ in range(3):
                self.settle()
        self.happened(job, Operation.DELETE)

    def test_a_second_run_does_nothing(self) -> None:
        self.open(Operation.DELETE)
        self.assertEqual([1, 0], [self.settle(), self.settle()])

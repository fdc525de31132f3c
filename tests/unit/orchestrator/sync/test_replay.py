# SPDX-License-Identifier: Apache-2.0
"""Every answer of a subcloud gets its meaning, and no text of it gives a secret away."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from unittest import mock

import requests

from headwater.common import sessions
from headwater.common.endpoints.registry import load_registry
from headwater.common.errors import HeadwaterError, LoginRefused, NoEndpoint, Unreachable
from headwater.common.sessions import Answer, ServiceClient
from headwater.common.states import Operation
from headwater.db.records import QueuedRequest
from headwater.engine.outcome import Done, Failed, Gone, Outcome, Retry
from headwater.engine.task import ResourceInfo, Work
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.mapping import MappingView
from headwater.orchestrator.sync.replay import SubcloudReplay
from headwater.orchestrator.sync.subject import Subject
from tests.support import builders, databases

KEY = {"domain_id": "default", "name": "alice"}


NOT_FOUND = Answer(404, {"error": {"code": 404, "message": "Not found"}}, "Not found")


class Cloud(ServiceClient):
    """A service whose answers are written down; remembers what it was asked."""

    #: Who headwater is there.
    user: str | None = "headwater"

    def __init__(self, answers: Mapping[tuple[str, str], Answer | HeadwaterError]):
        self.answers = dict(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def user_id(self) -> str | None:
        return self.user

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self.asked.append((method, path, json))
        answer = self.answers.get((method, path), Answer(404, {"error": {}}, "Not found"))
        if isinstance(answer, HeadwaterError):
            raise answer
        return answer


class ReplayTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.registry = load_registry(None)
        self.subcloud = builders.add_subcloud(self.database)

    def execute(
        self,
        operation: Operation,
        info: ResourceInfo,
        subcloud: Mapping[tuple[str, str], Answer | HeadwaterError],
        central: Mapping[tuple[str, str], Answer | HeadwaterError] | None = None,
        *,
        resource_type: str = "user",
        master_id: str = "u1",
    ) -> Outcome:
        self.cloud, self.central = Cloud(subcloud), Cloud(central or {})
        mappings = MappingView(self.database, self.subcloud.id, "identity")
        # The domain is known: these tests are not about references.
        mappings.learn("domain", "default", "there", {"name": "Default"})
        subject = Subject(
            self.registry.endpoint_type("identity"),
            self.cloud,
            CentralReader(lambda: self.central),
            mappings,
        )
        request = QueuedRequest(
            id=1,
            job_id=1,
            job_uuid="job",
            endpoint_type="identity",
            resource_type=resource_type,
            operation=operation,
            master_id=master_id,
            resource_info=None,
            try_count=0,
            superseded=False,
        )
        return SubcloudReplay(self.registry, subject).execute(Work(request, info))

    def update(self, answer: Answer | HeadwaterError, **fields: Any) -> Outcome:
        """Replay an update of a user that the subcloud has, which answers so."""
        found = Answer(200, {"users": [{"id": "s1", "domain_id": "there", "name": "alice"}]}, "OK")
        return self.execute(
            Operation.UPDATE,
            ResourceInfo(fields=fields or {"enabled": False}, key_before=KEY),
            {("GET", "/v3/users"): found, ("PATCH", "/v3/users/s1"): answer},
        )


class MeaningTest(ReplayTestCase):
    def test_a_success_is_done_and_what_was_found_is_learnt(self) -> None:
        outcome = self.update(Answer(200, {"user": {}}, "OK"))
        self.assertIsInstance(outcome, Done)
        self.assertIn("s1", [fact.subcloud_resource_id for fact in outcome.mappings])

    def test_an_answer_that_says_the_call_is_wrong_is_final(self) -> None:
        for status in (400, 405, 406, 413, 414, 415, 422):
            outcome = self.update(Answer(status, None, "wrong"))
            self.assertIsInstance(outcome, Failed, status)
            self.assertIn(f"PATCH /v3/users/s1: {status} wrong", outcome.reason)  # type: ignore[union-attr]

    def test_every_other_error_is_tried_again_and_counted(self) -> None:
        for status in (401, 403, 409, 423, 500, 501, 302):
            outcome = self.update(Answer(status, None, "oops"))
            assert isinstance(outcome, Retry), status
            self.assertTrue(outcome.counts)
            self.assertFalse(outcome.unreachable)

    def test_credentials_that_are_refused_are_counted(self) -> None:
        for error in (LoginRefused("Login refused: 401"), NoEndpoint("no identity")):
            outcome = self.update(error)
            self.assertEqual((str(error), True), (outcome.reason, outcome.counts))  # type: ignore[union-attr]

    def test_a_subcloud_that_is_away_is_not_counted(self) -> None:
        outcome = self.update(Unreachable("No answer: Connection refused", 7.0))
        assert isinstance(outcome, Retry)
        self.assertEqual((False, True, 7.0), (outcome.counts, outcome.unreachable, outcome.after))

    def test_a_central_cloud_that_cannot_be_read_is_not_the_subclouds_fault(self) -> None:
        outcome = self.execute(
            Operation.ALIGN,
            ResourceInfo(),
            {},
            {("GET", "/v3/users/u1"): Unreachable("No answer")},
        )
        assert isinstance(outcome, Retry)
        self.assertEqual((False, False), (outcome.counts, outcome.unreachable))
        self.assertIn("central cloud cannot be read", outcome.reason)

    def test_a_central_answer_that_is_no_document_is_not_the_subclouds_fault(self) -> None:
        # A proxy in front of it may answer 200 with a page of its own.
        for answer in (Answer(200, None, "OK"), Answer(200, {"html": 1}, "OK")):
            outcome = self.execute(
                Operation.ALIGN, ResourceInfo(), {}, {("GET", "/v3/users/u1"): answer}
            )
            assert isinstance(outcome, Retry)
            self.assertFalse(outcome.counts)

    def test_what_the_subcloud_never_had_is_gone(self) -> None:
        outcome = self.execute(
            Operation.DELETE,
            ResourceInfo(fields={}, key_before=KEY),
            {("GET", "/v3/users"): Answer(200, {"users": []}, "OK")},
        )
        self.assertEqual("The subcloud did not have it.", outcome.note)  # type: ignore[union-attr]
        self.assertIsInstance(outcome, Gone)

    def test_what_nobody_can_identify_is_failed(self) -> None:
        outcome = self.execute(Operation.DELETE, ResourceInfo(fields={}), {})
        self.assertIsInstance(outcome, Failed)

    def test_a_resource_that_no_file_describes_any_more_is_failed(self) -> None:
        outcome = self.execute(Operation.UPDATE, ResourceInfo(), {}, resource_type="dragon")
        assert isinstance(outcome, Failed)
        self.assertIn("No endpoint file describes identity dragon", outcome.reason)


class OwnLoginTest(ReplayTestCase):
    """headwater logs in to the subcloud as the user that a change is about."""

    present: ClassVar = {"id": "s1", "domain_id": "there", "name": "alice", "enabled": True}

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.object(Cloud, "user", "s1"))

    def replay(self, operation: Operation, **fields: Any) -> Outcome:
        """Replay a change of that user."""
        done = Answer(200, {"user": {}}, "OK")
        return self.execute(
            operation,
            ResourceInfo(fields=fields, key_before=KEY),
            {
                ("GET", "/v3/users"): Answer(200, {"users": [self.present]}, "OK"),
                ("GET", "/v3/users/s1"): Answer(200, {"user": self.present}, "OK"),
                ("PATCH", "/v3/users/s1"): done,
                ("DELETE", "/v3/users/s1"): Answer(204, None, "No Content"),
            },
        )

    def written(self) -> list[str]:
        return [method for method, _, _ in self.cloud.asked if method != "GET"]

    def test_what_would_lock_headwater_out_fails_and_says_what_to_do(self) -> None:
        for fields in ({"password": "new"}, {"enabled": False}, {"name": "bob", "email": "b@c"}):
            with self.subTest(fields):
                outcome = self.replay(Operation.UPDATE, **fields)
                assert isinstance(outcome, Failed)
                self.assertIn(f"its {next(iter(fields))} is not changed", outcome.reason)
                self.assertIn("'subcloud set'", outcome.reason)
                self.assertEqual([], self.written())
        outcome = self.replay(Operation.DELETE)
        assert isinstance(outcome, Failed)
        self.assertIn("is not deleted", outcome.reason)
        self.assertEqual([], self.written())

    def test_what_is_the_same_and_all_else_is_changed(self) -> None:
        self.assertIsInstance(self.replay(Operation.UPDATE, name="alice", enabled=True), Done)
        self.assertIsInstance(self.replay(Operation.UPDATE, email="a@b"), Done)
        self.assertEqual(["PATCH"], self.written())

    def test_other_users_cost_no_further_call(self) -> None:
        with mock.patch.object(Cloud, "user", "s2"):
            self.assertIsInstance(self.replay(Operation.UPDATE, password="new"), Done)
        self.assertNotIn(("GET", "/v3/users/s1", None), self.cloud.asked)


class RedactionTest(ReplayTestCase):
    def reason(self, password: str, text: str) -> str:
        """What is kept of an answer with that text to a change of that password."""
        outcome = self.update(Answer(400, None, text), password=password)
        assert isinstance(outcome, Failed)
        return outcome.reason

    def test_a_subcloud_that_repeats_a_password_does_not_get_it_into_our_texts(self) -> None:
        self.assertEqual(
            "PATCH /v3/users/s1: 400 The password *** (***) is too weak",
            self.reason("tiger9", "The password tiger9 (tiger9) is too weak"),
        )

    def test_a_password_that_json_writes_differently_is_masked_too(self) -> None:
        for password in ('ti"ger9', "tiger\\9", "tigér9", "ti\nger9"):
            escaped = json.dumps(password)[1:-1]
            with self.subTest(password):
                reason = self.reason(password, f"invalid: {escaped}")
                self.assertNotIn(escaped, reason)
                self.assertNotIn(password, reason)

    def test_a_password_that_a_shortened_text_cuts_in_two_is_masked_too(self) -> None:
        password = "correct-horse-battery-staple"
        for padding in range(0, 1200, 9):
            response = requests.Response()
            response.status_code = 400
            response._content = f"{'x' * padding} {password} was refused".encode()
            outcome = self.update(sessions._answer(response), password=password)
            self.assertNotIn("correct", outcome.reason, padding)  # type: ignore[union-attr]

    def test_harmless_fields_are_shown(self) -> None:
        outcome = self.update(Answer(400, None, "bad email a@b"), email="a@b", password="tiger9")
        self.assertIn("a@b", outcome.reason)  # type: ignore[union-attr]

    def test_a_long_text_is_cut(self) -> None:
        self.assertLessEqual(len(self.reason("tiger9", "x" * 5000)), 1000)

    def test_the_password_itself_reaches_the_subcloud(self) -> None:
        self.update(Answer(200, {"user": {}}, "OK"), password="tiger9")
        self.assertIn(("PATCH", "/v3/users/s1", {"user": {"password": "tiger9"}}), self.cloud.asked)

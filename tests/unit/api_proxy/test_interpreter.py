# SPDX-License-Identifier: Apache-2.0
"""What an exchange changes, from its bodies alone."""

import json
import unittest
from typing import Any

from headwater.api_proxy import interpreter
from headwater.api_proxy.exchange import Exchange, from_environ
from headwater.api_proxy.interpreter import Change
from headwater.api_proxy.router import Recorded
from headwater.common.states import Operation
from headwater.engine.task import ResourceInfo
from tests.unit.api_proxy.test_exchange import environ
from tests.unit.api_proxy.test_router import router

ALICE = {
    "id": "u1",
    "name": "Alice",
    "domain_id": "default",
    "enabled": True,
    "links": {"self": "http://central/v3/users/u1"},
    "default_project_id": None,
    "password_expires_at": None,
}
#: Bodies that are not the JSON object that a call should carry.
NOT_A_USER = (
    b"",
    b"not json",
    b'{"user": ',
    b"[]",
    b"null",
    b'"user"',
    b'{"User": {}}',
    b'{"user": []}',
    b'{"user": null}',
    b'{"user": "Alice"}',
    b"\xff\xfe",
    b'{"user": ' + 5000 * b"9" + b"}",
)


def body(**fields: Any) -> bytes:
    return json.dumps({"user": fields}).encode()


class InterpreterTestCase(unittest.TestCase):
    maxDiff = None

    def meaning(self, method: str, path: str) -> Recorded:
        meaning = router().match(method, path)
        assert isinstance(meaning, Recorded)
        return meaning

    def exchange(self, *headers: tuple[str, str]) -> Exchange:
        return from_environ(environ(*headers))

    def intended(
        self, method: str, path: str, content: bytes = b"", *headers: tuple[str, str]
    ) -> ResourceInfo:
        return interpreter.intended(self.meaning(method, path), self.exchange(*headers), content)

    def accepted(
        self, method: str, path: str, intent: ResourceInfo, answer: bytes = b""
    ) -> Change | None:
        return interpreter.accepted(self.meaning(method, path), intent, answer)


class IntendedTest(InterpreterTestCase):
    def test_a_create_intends_the_fields_of_its_body(self) -> None:
        fields = {"name": "Alice", "password": "p", "options": {"a": [1]}, "ü": None}
        self.assertEqual(fields, self.intended("POST", "/v3/users", body(**fields)).fields)

    def test_an_update_intends_the_fields_of_its_body(self) -> None:
        self.assertEqual(
            {"enabled": False},
            self.intended("PATCH", "/v3/users/u1", body(enabled=False)).fields,
        )
        self.assertEqual({}, self.intended("PATCH", "/v3/users/u1", body()).fields)

    def test_a_delete_intends_no_fields_whatever_its_body(self) -> None:
        for content in (b"", b"not json", body(name="x")):
            self.assertEqual({}, self.intended("DELETE", "/v3/users/u1", content).fields)

    def test_an_action_keeps_only_the_fields_that_are_replayed(self) -> None:
        content = body(password="new", original_password="old")
        self.assertEqual(
            {"password": "new"}, self.intended("POST", "/v3/users/u1/password", content).fields
        )
        self.assertEqual(
            {}, self.intended("POST", "/v3/users/u1/password", body(original_password="o")).fields
        )

    def test_an_align_intends_no_fields_because_it_reads_them_later(self) -> None:
        info = self.intended("PUT", "/v3/projects/p1/tags", b'{"tags": ["a"]}')
        self.assertIsNone(info.fields)
        self.assertIsNone(self.intended("DELETE", "/v3/projects/p1/tags/a").fields)

    def test_a_link_has_no_fields_whatever_its_body(self) -> None:
        for method in ("PUT", "DELETE"):
            for content in (b"", b"{}", b"not json"):
                info = self.intended(method, "/v3/groups/g/users/u", content)
                self.assertEqual({}, info.fields)

    def test_a_body_that_is_not_what_it_should_be_leaves_the_fields_unknown(self) -> None:
        for content in NOT_A_USER:
            for method, path in (
                ("POST", "/v3/users"),
                ("PATCH", "/v3/users/u1"),
                ("POST", "/v3/users/u1/password"),
            ):
                with self.subTest(f"{method} {path} {content[:20]!r}"):
                    self.assertIsNone(self.intended(method, path, content).fields)

    def test_a_body_that_is_nested_too_deep_leaves_the_fields_unknown(self) -> None:
        # A password change needs no token: anybody can send this.
        content = b'{"user": ' + 100_000 * b"[" + 100_000 * b"]" + b"}"
        self.assertIsNone(self.intended("POST", "/v3/users/u1/password", content).fields)

    def test_headers_that_change_the_meaning_are_kept_as_they_came(self) -> None:
        info = self.intended(
            "POST",
            "/v3/users",
            body(),
            ("OpenStack-API-Version", "compute 2.90"),
            ("x-openstack-nova-api-version", "2.1"),
            ("X-Auth-Token", "secret"),
            ("Content-Type", "application/json"),
        )
        self.assertEqual(
            {"OpenStack-API-Version": "compute 2.90", "x-openstack-nova-api-version": "2.1"},
            info.headers,
        )


class MasterIdTest(InterpreterTestCase):
    def test_a_create_has_none_before_its_answer(self) -> None:
        self.assertIsNone(interpreter.master_id(self.meaning("POST", "/v3/users")))

    def test_everything_else_has_it_in_its_path(self) -> None:
        for method, path, known in (
            ("PATCH", "/v3/users/u1", "u1"),
            ("POST", "/v3/users/u1/password", "u1"),
            ("PUT", "/v3/projects/p1/tags/t1", "p1"),
            ("PUT", "/v3/groups/g1/users/u1", "g1/u1"),
            ("DELETE", "/v3/projects/p/users/u/roles/r", "p/u/r"),
        ):
            with self.subTest(path):
                self.assertEqual(known, interpreter.master_id(self.meaning(method, path)))


class AcceptedTest(InterpreterTestCase):
    def answer(self, **changes: Any) -> bytes:
        return json.dumps({"user": {**ALICE, **changes}}).encode()

    def test_a_create_takes_its_id_and_its_key_from_the_answer(self) -> None:
        intent = ResourceInfo(fields={"name": "Alice", "password": "p"}, headers={"A": "b"})
        change = self.accepted("POST", "/v3/users", intent, self.answer())
        self.assertEqual(
            Change(
                Operation.CREATE,
                "u1",
                {"domain_id": "default", "name": "Alice"},
                ResourceInfo(
                    # The central cloud has chosen the domain.
                    fields={"name": "Alice", "password": "p", "domain_id": "default"},
                    headers={"A": "b"},
                ),
                has_secrets=True,
            ),
            change,
        )

    def test_what_the_central_cloud_decided_wins_over_what_was_asked_for(self) -> None:
        intent = ResourceInfo(fields={"name": " Alice ", "enabled": False})
        change = self.accepted(
            "POST", "/v3/users", intent, self.answer(default_project_id="p1", enabled=True)
        )
        assert change is not None
        self.assertEqual(
            # Fields that only change later, such as enabled, stay as they were asked for.
            {
                "name": "Alice",
                "domain_id": "default",
                "default_project_id": "p1",
                "enabled": False,
            },
            change.info.fields,
        )

    def test_a_reference_that_nobody_set_is_not_decided(self) -> None:
        change = self.accepted("POST", "/v3/users", ResourceInfo(fields={}), self.answer())
        assert change is not None
        self.assertNotIn("default_project_id", change.info.fields or {})

    def test_a_create_whose_answer_has_no_id_is_not_understood(self) -> None:
        intent = ResourceInfo(fields={"name": "Alice"})
        for answer in (*NOT_A_USER, self.answer(id=None), self.answer(id=7), body(name="Alice")):
            with self.subTest(answer[:30]):
                self.assertIsNone(self.accepted("POST", "/v3/users", intent, answer))

    def test_an_answer_that_was_cut_off_is_not_understood(self) -> None:
        intent = ResourceInfo(fields={"name": "Alice"})
        self.assertIsNone(self.accepted("POST", "/v3/users", intent, self.answer()[:-1]))

    def test_an_answer_that_is_nested_too_deep_is_not_understood(self) -> None:
        answer = b'{"user": ' + 100_000 * b"[" + 100_000 * b"]" + b"}"
        self.assertIsNone(self.accepted("POST", "/v3/users", ResourceInfo(fields={}), answer))

    def test_a_create_with_an_unreadable_body_is_aligned(self) -> None:
        change = self.accepted("POST", "/v3/users", ResourceInfo(fields=None), self.answer())
        assert change is not None
        self.assertIs(Operation.ALIGN, change.operation)
        self.assertEqual("u1", change.master_id)
        self.assertIsNone(change.info.fields)

    def test_an_update_keeps_its_own_fields_and_has_the_new_key(self) -> None:
        key_before = {"domain_id": "default", "name": "Alice"}
        intent = ResourceInfo(fields={"name": "Bob"}, key_before=key_before)
        change = self.accepted("PATCH", "/v3/users/u1", intent, self.answer(name="Bob"))
        self.assertEqual(
            Change(Operation.UPDATE, "u1", {"domain_id": "default", "name": "Bob"}, intent), change
        )

    def test_an_update_without_an_answer_keeps_the_key_from_before(self) -> None:
        key_before = {"domain_id": "default", "name": "Alice"}
        intent = ResourceInfo(fields={"password": "p"}, key_before=key_before)
        for answer in (b"", b"not json"):
            change = self.accepted("POST", "/v3/users/u1/password", intent, answer)
            self.assertEqual(
                Change(Operation.UPDATE, "u1", key_before, intent, has_secrets=True), change
            )

    def test_an_update_with_an_unreadable_body_is_aligned(self) -> None:
        change = self.accepted("PATCH", "/v3/users/u1", ResourceInfo(fields=None), self.answer())
        assert change is not None
        self.assertIs(Operation.ALIGN, change.operation)

    def test_a_delete_needs_no_answer(self) -> None:
        key_before = {"domain_id": "default", "name": "Alice"}
        intent = ResourceInfo(fields={}, key_before=key_before)
        self.assertEqual(
            Change(Operation.DELETE, "u1", key_before, intent),
            self.accepted("DELETE", "/v3/users/u1", intent),
        )

    def test_a_link_needs_no_answer_and_has_no_key(self) -> None:
        intent = ResourceInfo(fields={})
        for method, operation in (("PUT", Operation.CREATE), ("DELETE", Operation.DELETE)):
            self.assertEqual(
                Change(operation, "g/u", None, intent),
                self.accepted(method, "/v3/groups/g/users/u", intent),
            )

    def test_an_align_stays_one(self) -> None:
        intent = ResourceInfo(fields=None, key_before={"domain_id": "d", "name": "P"})
        change = self.accepted("PUT", "/v3/projects/p1/tags/a", intent)
        self.assertEqual(
            Change(Operation.ALIGN, "p1", {"domain_id": "d", "name": "P"}, intent), change
        )


class NamesTest(InterpreterTestCase):
    def test_the_key_in_an_answer_that_shows_a_resource(self) -> None:
        user = self.meaning("PATCH", "/v3/users/u1").resource
        self.assertEqual(
            {"domain_id": "default", "name": "Alice"},
            interpreter.natural_key(user, json.dumps({"user": ALICE}).encode()),
        )
        for answer in (*NOT_A_USER, body(name="Alice")):
            self.assertIsNone(interpreter.natural_key(user, answer))
        link = self.meaning("PUT", "/v3/groups/g/users/u").resource
        self.assertIsNone(interpreter.natural_key(link, b"{}"))

    def test_the_first_name_is_shown(self) -> None:
        self.assertEqual("b", interpreter.name(None, {}, {"name": 7}, {"name": "b"}, {"name": "c"}))
        self.assertIsNone(interpreter.name(None, {}))

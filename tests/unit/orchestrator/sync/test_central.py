# SPDX-License-Identifier: Apache-2.0
"""What the central cloud's present state is, where its answers are not of one age."""

import unittest
from typing import Any

from headwater.common.endpoints.registry import load_registry
from headwater.common.sessions import Answer
from headwater.orchestrator.sync.central import (
    CentralInconsistent,
    CentralReader,
    CentralUnreadable,
)
from tests.unit.orchestrator.sync.test_replay import Cloud

OLD = {"id": "u1", "name": "alice", "domain_id": "default", "email": "old@example.org"}
NEW = {**OLD, "email": "new@example.org"}
NAMESAKE = {**OLD, "id": "u2", "email": "other@example.org"}


class StateTest(unittest.TestCase):
    def state(self, member: dict[str, Any], listed: list[dict[str, Any]] | None) -> Any:
        answers = {("GET", "/v3/users/u1"): Answer(200, {"user": member}, "OK")}
        if listed is not None:
            answers["GET", "/v3/users"] = Answer(200, {"users": listed}, "OK")
        user = load_registry(None).resource("identity", "user")
        return CentralReader(lambda: Cloud(answers)).state(user, "u1")

    def test_a_list_is_believed_more_than_a_cache(self) -> None:
        self.assertEqual(NEW, self.state(OLD, [NAMESAKE, NEW]))

    def test_what_no_list_has_by_its_name_is_in_doubt(self) -> None:
        for listed in ([], [NAMESAKE], [{**NEW, "name": "bob"}]):
            with self.subTest(listed=listed), self.assertRaises(CentralInconsistent):
                self.state(OLD, listed)

    def test_nothing_is_known_without_the_list(self) -> None:
        with self.assertRaises(CentralUnreadable):
            self.state(OLD, None)

    def test_what_is_gone_is_not_looked_for_in_a_list(self) -> None:
        user = load_registry(None).resource("identity", "user")
        cloud = Cloud({})
        self.assertIsNone(CentralReader(lambda: cloud).state(user, "u1"))
        self.assertEqual([("GET", "/v3/users/u1", None)], cloud.asked)

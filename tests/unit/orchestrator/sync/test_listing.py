# SPDX-License-Identifier: Apache-2.0
"""Lists of clouds: pages, parents, and answers from which nothing may be concluded."""

import unittest
from collections.abc import Mapping
from typing import Any

from headwater.common.endpoints import loader
from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import load_registry
from headwater.common.sessions import Answer
from headwater.orchestrator.sync.listing import Unlistable, list_all

IDENTITY = load_registry(None).endpoint_type("identity")

LISTS = "domains projects roles users groups role_assignments role_inferences".split()  # noqa: SIM905

THINGS = """
endpoint_type: things
service_type: things
default_port: 1
resources:
  thing:
    strategy: rest
    collection: /v1/things
    member: /v1/things/{thing_id}
    body: thing
    match: [name]
    operations: {POST: create}
  part:
    strategy: link
    member: /v1/things/{thing_id}/parts/{part_id}
    operations: {PUT: create}
    references: {thing_id: thing, part_id: thing}
    listings:
      - {path: "/v1/things/{thing_id}/parts", each: thing, ids: {part_id: id}}
"""


class Service:
    """Answers from a table: by path and query, or by path alone."""

    def __init__(self, answers: Mapping[str, Any]):
        self._answers = answers
        self.asked: list[str] = []

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        query = "&".join(f"{name}={value}" for name, value in params.items())
        asked = f"{path}?{query}" if query else path
        self.asked.append(asked)
        body = self._answers.get(asked, 404)
        return Answer(body, None, "no") if isinstance(body, int) else Answer(200, body, "OK")


class ListingTest(unittest.TestCase):
    def things(self, answers: Mapping[str, Any]) -> Any:
        return list_all(loader.loads(THINGS, "things.yaml"), Service(answers).get)

    def test_pages_are_followed_by_their_queries_alone(self) -> None:
        found = self.things(
            {
                "/v1/things": {
                    "things": [{"id": "a"}],
                    "links": {"next": "http://unreachable:1/x?marker=a&limit=1"},
                    # What Keystone says of every page but the last.
                    "truncated": True,
                },
                "/v1/things?marker=a&limit=1": {"things": [{"id": "b"}], "links": {"next": None}},
                "/v1/things/b/parts": {"parts": [{"id": "a"}]},
            }
        )
        self.assertEqual({"a", "b"}, set(found["thing"]))
        # The parts of `a` are gone with it: 404.
        self.assertEqual({"b/a": {}}, found["part"])

    def test_nothing_is_concluded_from_a_list_that_may_not_be_whole(self) -> None:
        circle = {"things": [{"id": "a"}], "links": {"next": "?marker=a"}}
        for name, answers in {
            "an error": {"/v1/things": 500},
            "not found": {"/v1/things": 404},
            "no list": {"/v1/things": {"others": []}},
            "no objects": {"/v1/things": {"things": ["a"]}},
            "a cut one": {"/v1/things": {"things": [], "truncated": True}},
            "a circle": {"/v1/things": circle, "/v1/things?marker=a": circle},
            "a later page": {"/v1/things": circle, "/v1/things?marker=a": 503},
            "the list of a parent": {
                "/v1/things": {"things": [{"id": "a"}]},
                "/v1/things/a/parts": 500,
            },
        }.items():
            with self.subTest(name), self.assertRaises(Unlistable):
                self.things(answers)

    def identity(self, **lists: Any) -> tuple[Any, Service]:
        answers: dict[str, Any] = {f"/v3/{name}": {name: []} for name in LISTS}
        answers.update({f"/v3/{name}": {name: value} for name, value in lists.items()})
        for name in ("domains", "projects", "users", "groups"):
            answers[f"/v3/{name}?limit=1000"] = answers.pop(f"/v3/{name}")
        answers["/v3/roles?domain_id=d1"] = {"roles": [{"id": "of-d1", "name": "r"}]}
        service = Service(answers)
        return list_all(IDENTITY, service.get), service

    def test_roles_of_domains_are_listed_domain_by_domain(self) -> None:
        found, _ = self.identity(domains=[{"id": "d1"}], roles=[{"id": "global", "name": "r"}])
        self.assertEqual({"global", "of-d1"}, set(found["role"]))

    def test_one_list_of_assignments_is_sorted_by_what_they_join(self) -> None:
        inherited = {"OS-INHERIT:inherited_to": "projects"}
        scopes = {
            "project_user_role": ("user", {"project": {"id": "x"}}),
            "domain_group_role": ("group", {"domain": {"id": "x"}}),
            "system_user_role": ("user", {"system": {"all": True}}),
            "inherited_domain_user_role": ("user", {"domain": {"id": "x"}, **inherited}),
        }
        found, service = self.identity(
            role_assignments=[
                {actor: {"id": "y"}, "role": {"id": "z"}, "scope": scope}
                for actor, scope in scopes.values()
            ]
        )
        links = {name: set(ids) for name, ids in found.items() if name.endswith("_role") and ids}
        self.assertEqual(
            {name: {"y/z" if name == "system_user_role" else "x/y/z"} for name in scopes},
            links,
        )
        self.assertEqual(1, service.asked.count("/v3/role_assignments"))

    def test_a_list_on_the_way_means_each_of_its_members(self) -> None:
        implies = {"prior_role": {"id": "a"}, "implies": [{"id": "b"}, {"id": "c"}]}
        found, _ = self.identity(role_inferences=[implies])
        self.assertEqual({"a/b", "a/c"}, set(found["implied_role"]))


class ListingsInFilesTest(unittest.TestCase):
    def load(self, old: str, new: str) -> EndpointType:
        self.assertIn(old, THINGS)
        return loader.loads(THINGS.replace(old, new), "things.yaml")

    def test_a_wrong_listing_is_refused_with_file_key_and_reason(self) -> None:
        for old, new, message in (
            ("each: thing", "each: other", r"listings\.0\.each: no resource 'other' stands before"),
            ('/{thing_id}/parts", each', '", each', r"listings\.0\.path: its \{parameter\} must"),
            (", ids: {part_id: id}", "", r"listings\.0\.ids: does not say where part_id stands"),
            ("each: thing", "eech: thing", r"listings\.0: Additional properties"),
        ):
            with (
                self.subTest(new),
                self.assertRaisesRegex(Exception, rf"things\.yaml: .*{message}"),
            ):
                self.load(old, new)

# SPDX-License-Identifier: Apache-2.0
"""Paths and ids of resources, forth and back."""

import unittest
from urllib.parse import unquote

from headwater.common.endpoints import loader
from headwater.common.endpoints.model import PathTemplate, ResourceType
from headwater.common.endpoints.registry import load_registry

WITH_PARENT = """
endpoint_type: dns
service_type: dns
default_port: 25001
resources:
  recordset:
    strategy: rest
    collection: /v2/zones/{zone_id}/recordsets
    member: /v2/zones/{zone_id}/recordsets/{recordset_id}
    body: recordset
    match: [name, type]
    operations: {POST: create, PUT: update, DELETE: delete}
  plain:
    strategy: rest
    collection: /v2/plains
    member: /v2/plains/{plain_id}
    body: plain
    match: [name]
    operations: {POST: create, DELETE: delete}
"""


def identity(name: str) -> ResourceType:
    return load_registry(None).resource("identity", name)


class PathTemplateTest(unittest.TestCase):
    def test_its_parts(self) -> None:
        template = PathTemplate("/v3/projects/{project_id}/tags/{tag}")
        self.assertEqual(("v3", "projects", "{project_id}", "tags", "{tag}"), template.segments)
        self.assertEqual(("project_id", "tag"), template.parameters)
        self.assertEqual((), PathTemplate("/").segments)
        self.assertEqual((), PathTemplate("/v3/users").parameters)

    def test_expanding_percent_encodes_whatever_would_change_the_path(self) -> None:
        template = PathTemplate("/v3/projects/{project_id}/tags/{tag}")
        values = {
            "a/b": "a%2Fb",
            "a b": "a%20b",
            "?x=1#y": "%3Fx%3D1%23y",
            "50%": "50%25",
            "%2F": "%252F",
            "ü☂": "%C3%BC%E2%98%82",
            "a;b,c:d@e&f+g": "a%3Bb%2Cc%3Ad%40e%26f%2Bg",
            "-._~": "-._~",
        }
        for value, encoded in values.items():
            with self.subTest(value):
                path = template.expand({"project_id": "p1", "tag": value})
                self.assertEqual(f"/v3/projects/p1/tags/{encoded}", path)
                self.assertEqual(value, unquote(path.rpartition("/")[2]))

    def test_expanding_takes_only_the_values_that_it_needs(self) -> None:
        self.assertEqual(
            "/v3/users/u", PathTemplate("/v3/users/{id}").expand({"id": "u", "x": "y"})
        )
        with self.assertRaises(KeyError):
            PathTemplate("/v3/users/{id}").expand({"x": "y"})

    def test_a_path_without_parameters_is_itself(self) -> None:
        for path in ("/", "/v3/users"):
            self.assertEqual(path, PathTemplate(path).expand({}))


class MasterIdTest(unittest.TestCase):
    def test_a_noun_with_an_id_of_its_own_is_known_by_it(self) -> None:
        user = identity("user")
        self.assertEqual("u1", user.master_id({"user_id": "u1"}))
        self.assertEqual({"user_id": "u1"}, user.parameters("u1"))

    def test_a_link_is_known_by_the_ids_of_its_ends(self) -> None:
        link = identity("project_user_role")
        ends = {"project_id": "p", "user_id": "u", "role_id": "r"}
        self.assertEqual("p/u/r", link.master_id(ends))
        self.assertEqual(ends, link.parameters("p/u/r"))

    def test_parameters_are_the_inverse_for_every_resource_that_we_ship(self) -> None:
        for endpoint_type in load_registry(None):
            for resource in endpoint_type.resources.values():
                with self.subTest(resource.name):
                    given = {name: f"id-{name}" for name in resource.member.parameters}
                    known = resource.master_id(given)
                    self.assertEqual(given, resource.parameters(known))
                    self.assertEqual(known, resource.master_id(resource.parameters(known)))

    def test_an_id_of_a_link_with_a_missing_end_is_an_error(self) -> None:
        for wrong in ("g", "g/u/x", ""):
            with self.assertRaises(ValueError):
                identity("group_member").parameters(wrong)

    def test_a_noun_below_a_parent_is_known_by_its_own_id(self) -> None:
        dns = loader.loads(WITH_PARENT, "dns.yaml")
        recordset = dns.resources["recordset"]
        self.assertEqual("r", recordset.master_id({"zone_id": "z", "recordset_id": "r"}))


class NaturalKeyTest(unittest.TestCase):
    def test_it_is_cut_out_of_the_state(self) -> None:
        state = {"id": "u1", "name": "Alice", "domain_id": "default", "enabled": True}
        self.assertEqual(
            {"domain_id": "default", "name": "Alice"}, identity("user").natural_key(state)
        )

    def test_a_part_may_be_null(self) -> None:
        self.assertEqual(
            {"domain_id": None, "name": "admin"},
            identity("role").natural_key({"domain_id": None, "name": "admin"}),
        )

    def test_there_is_none_when_a_part_is_missing(self) -> None:
        self.assertIsNone(identity("user").natural_key({"name": "Alice"}))
        self.assertIsNone(identity("user").natural_key({}))

    def test_a_link_has_none(self) -> None:
        self.assertIsNone(identity("group_member").natural_key({"name": "x"}))


class UpdateMethodTest(unittest.TestCase):
    def test_it_is_the_one_that_the_file_names_for_the_member(self) -> None:
        resources = loader.loads(WITH_PARENT, "dns.yaml").resources
        self.assertEqual("PUT", resources["recordset"].update_method)
        self.assertEqual("PATCH", identity("user").update_method)

    def test_it_is_patch_where_the_file_names_none(self) -> None:
        plain = loader.loads(WITH_PARENT, "dns.yaml").resources["plain"]
        self.assertEqual("PATCH", plain.update_method)

# SPDX-License-Identifier: Apache-2.0
"""Endpoint files become values; a wrong one is refused with file, key and reason."""

import pathlib
import tempfile
import unittest
from collections.abc import Callable

from headwater.common.endpoints import loader
from headwater.common.endpoints.model import OpenPath, PathTemplate
from headwater.common.errors import EndpointFileError
from headwater.common.states import Operation

GOOD = """
endpoint_type: pets
service_type: pet-shop
default_port: 25009
open:
  - {methods: [GET, HEAD], path: /}
  - {methods: [POST], path: "/v1/{shop_id}/login"}
resources:
  owner:
    strategy: rest
    collection: /v1/owners
    member: /v1/owners/{owner_id}
    body: owner
    match: [name]
    operations: {POST: create}
  pet:
    strategy: rest
    collection: /v1/pets
    member: /v1/pets/{pet_id}
    body: pet
    list_key: all_pets
    match: [owner_id, name]
    operations: {POST: create, PATCH: update, DELETE: delete}
    references: {owner_id: owner, friend_id: [pet, owner]}
    secrets: [chip]
    compare: [name, colour]
    read_only: [id]
    create_only: [owner_id]
    id_field: wanted_id
    actions:
      rename: {method: POST, path: "/v1/pets/{pet_id}/rename", operation: update, keep: [name]}
      feed: {method: PUT, path: "/v1/pets/{pet_id}/feed", operation: align, token_required: false}
  ownership:
    strategy: link
    member: /v1/owners/{owner_id}/pets/{pet_id}
    operations: {PUT: create, DELETE: delete}
    references: {owner_id: owner, pet_id: pet}
"""

#: What is wrong: the text to replace, by what, the key that the error names, part of its reason.
WRONG: dict[str, tuple[str, str, str, str]] = {
    "name_missing": ("endpoint_type: pets\n", "", "(file)", "'endpoint_type' is a required"),
    "port_missing": ("default_port: 25009\n", "", "(file)", "'default_port' is a required"),
    "service_type_missing": ("service_type: pet-shop\n", "", "(file)", "'service_type' is a"),
    "name_with_capital": ("endpoint_type: pets", "endpoint_type: Pets", "endpoint_type", "Pets"),
    "name_is_a_number": ("endpoint_type: pets", "endpoint_type: 7", "endpoint_type", "7 is not of"),
    "name_is_too_long": ("type: pets", "type: " + 64 * "x", "endpoint_type", "does not match"),
    "port_is_a_text": ("25009", "'25009'", "default_port", "is not of type 'integer'"),
    "port_is_too_high": ("25009", "65536", "default_port", "maximum of 65535"),
    "port_is_zero": ("25009", "0", "default_port", "minimum of 1"),
    "unknown_key": (
        "default_port", "colour: red\ndefault_port", "(file)", "'colour' was unexpected",
    ),
    "open_method_that_changes": ("[POST], path", "[DELETE], path", "open.1.methods.0", "'DELETE'"),
    "open_without_methods": ("[GET, HEAD]", "[]", "open.0.methods", "[]"),
    "open_path_without_slash": ("path: /}", "path: v1}", "open.0.path", "'v1' does not match"),
    "strategy_is_unknown": (
        "strategy: link", "strategy: magic", "resources.ownership.strategy", "magic",
    ),
    "strategy_is_missing": ("    strategy: link\n", "", "resources.ownership", "'strategy' is a"),
    "member_is_missing": ("    member: /v1/pets/{pet_id}\n", "", "resources.pet", "'member' is a"),
    "member_without_parameter": (
        "member: /v1/owners/{owner_id}\n", "member: /v1/owners/all\n",
        "resources.owner.member", "has no {parameter}",
    ),
    "cached_without_a_list": (
        "    strategy: link\n", "    strategy: link\n    cached: true\n",
        "resources.ownership.cached", "in a list",
    ),
    "member_with_query": (
        "member: /v1/owners/{owner_id}\n", "member: /v1/owners/{owner_id}?x=1\n",
        "resources.owner.member", "does not match",
    ),
    "member_with_half_a_parameter": (
        "member: /v1/owners/{owner_id}\n", "member: /v1/owners/x{owner_id}\n",
        "resources.owner.member", "does not match",
    ),
    "member_ends_with_slash": (
        "member: /v1/owners/{owner_id}\n", "member: /v1/owners/{owner_id}/\n",
        "resources.owner.member", "does not match",
    ),
    "rest_without_collection": (
        "    collection: /v1/pets\n", "", "resources.pet", "'collection' is a required",
    ),
    "rest_without_body": ("    body: pet\n", "", "resources.pet", "'body' is a required"),
    "rest_without_match": (
        "    match: [owner_id, name]\n", "", "resources.pet", "'match' is a required",
    ),
    "match_names_a_field_twice": (
        "[owner_id, name]", "[name, name]", "resources.pet.match", "non-unique",
    ),
    "method_that_changes_nothing": (
        "{PUT: create, DELETE: delete}", "{GET: create}",
        "resources.ownership.operations", "'GET'",
    ),
    "operation_is_unknown": (
        "PATCH: update", "PATCH: paint", "resources.pet.operations.PATCH", "'paint'",
    ),
    "no_operation": ("{PUT: create, DELETE: delete}", "{}", "resources.ownership.operations", "{}"),
    "link_with_body": (
        "    strategy: link\n", "    strategy: link\n    body: x\n", "resources.ownership", "body",
    ),
    "link_without_references": (
        "    references: {owner_id: owner, pet_id: pet}\n", "",
        "resources.ownership", "'references' is a required",
    ),
    "link_with_an_end_that_is_nothing": (
        "{owner_id: owner, pet_id: pet}", "{owner_id: owner}",
        "resources.ownership.references", "does not say what {pet_id} of member is",
    ),
    "reference_to_nothing": (
        "friend_id: [pet, owner]", "friend_id: [pet, dragon]",
        "resources.pet.references.friend_id", "no resource named 'dragon'",
    ),
    "reference_to_an_empty_list": (
        "friend_id: [pet, owner]", "friend_id: []", "resources.pet.references.friend_id", "[]",
    ),
    "two_calls_of_two_resources": (
        "member: /v1/owners/{owner_id}/pets/{pet_id}\n"
        "    operations: {PUT: create, DELETE: delete}",
        "member: /v1/owners/{owner_id}/pets/{pet_id}\n"
        "    operations: {PUT: create, DELETE: delete}\n"
        "    references: {owner_id: owner, pet_id: pet}\n"
        "  again:\n"
        "    strategy: link\n"
        "    member: /v1/owners/{pet_id}/pets/{owner_id}\n"
        "    operations: {DELETE: delete}",
        "resources.again",
        "DELETE /v1/owners/{pet_id}/pets/{owner_id} is already recorded for 'ownership'",
    ),
    "two_calls_of_one_resource": (
        '{method: PUT, path: "/v1/pets/{pet_id}/feed"',
        '{method: PATCH, path: "/v1/pets/{pet_id}"',
        "resources.pet", "PATCH /v1/pets/{pet_id} is already recorded for 'pet'",
    ),
    "action_without_the_id": (
        "/v1/pets/{pet_id}/feed", "/v1/pets/feed",
        "resources.pet.actions.feed.path", "lacks {pet_id}, the id of its pet",
    ),
    "action_that_creates": (
        "operation: align", "operation: create", "resources.pet.actions.feed.operation", "'create'",
    ),
    "action_without_method": (
        "{method: PUT, path", "{path", "resources.pet.actions.feed", "'method' is a required",
    ),
    "no_resources": (
        GOOD[GOOD.index("resources:"):], "resources: {}\n", "resources", "{}",
    ),
    "resources_as_a_list": (
        GOOD[GOOD.index("resources:"):], "resources: [pet]\n",
        "resources", "is not of type 'object'",
    ),
    "resource_named_by_a_number": (
        "  owner:\n    strategy", "  7:\n    strategy", "resources", "7 ",
    ),
    "a_key_twice_at_the_top": (
        "default_port: 25009\n", "default_port: 25009\ndefault_port: 25010\n",
        "(file)", "the key 'default_port' stands twice",
    ),
    "a_resource_twice": (
        "  owner:\n    strategy", "  pet:\n    strategy", "(file)", "'pet' stands twice",
    ),
    "a_method_twice": ("PATCH: update", "POST: update", "(file)", "the key 'POST' stands twice"),
    "an_operation_twice_in_other_words": (
        "default_port: 25009", "default_port: 25009\n? default_port\n: 1", "(file)", "stands twice",
    ),
    "a_mapping_as_a_key": ("default_port:", "? {a: b}\n: 1\ndefault_port:", "(file)", ""),
    "a_list_as_a_key": ("default_port:", "? [a]\n: 1\ndefault_port:", "(file)", ""),
    "a_date_that_does_not_exist": ("25009", "2026-13-45", "", ""),
    "no_yaml": ("resources:", "resources: [", "(file)", "while parsing"),
    "a_tab": ("  owner:", "\towner:", "(file)", "cannot start any token"),
    "an_object_of_python": (
        "25009", "!!python/object/apply:os.getcwd []",
        "(file)", "could not determine a constructor",
    ),
    "a_list": (GOOD, "- pets\n", "(file)", "is not of type 'object'"),
    "nothing": (GOOD, "", "(file)", "None is not of type 'object'"),
    "several_documents": (GOOD, GOOD + "---\n" + GOOD, "(file)", "expected a single document"),
}  # fmt: skip


class WrongFileTest(unittest.TestCase):
    """One test per kind of wrong file; they are made from the table below the class."""


def _refused(old: str, new: str, key: str, reason: str) -> Callable[[unittest.TestCase], None]:
    def test(self: unittest.TestCase) -> None:
        self.assertIn(old, GOOD)
        with self.assertRaises(EndpointFileError) as caught:
            loader.loads(GOOD.replace(old, new, 1), "pets.yaml")
        error = caught.exception
        self.assertEqual("pets.yaml", error.file)
        if key:
            self.assertEqual(key, error.key)
        self.assertIn(reason, error.reason)
        self.assertTrue(error.reason)
        self.assertEqual(f"pets.yaml: {error.key}: {error.reason}", str(error))
        self.assertNotIn("\n", str(error))

    return test


for _name, _case in WRONG.items():
    setattr(WrongFileTest, f"test_{_name}", _refused(*_case))


class GoodFileTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pets = loader.loads(GOOD, "pets.yaml")

    def test_the_endpoint_type(self) -> None:
        self.assertEqual(
            ("pets", "pet-shop", 25009, "pets.yaml"),
            (
                self.pets.name,
                self.pets.service_type,
                self.pets.default_port,
                self.pets.source,
            ),
        )

    def test_open_paths_one_per_method(self) -> None:
        root, login = PathTemplate("/"), PathTemplate("/v1/{shop_id}/login")
        self.assertEqual(
            (OpenPath("GET", root), OpenPath("HEAD", root), OpenPath("POST", login)),
            self.pets.open_paths,
        )

    def test_resources_keep_their_order(self) -> None:
        self.assertEqual(["owner", "pet", "ownership"], list(self.pets.resources))

    def test_a_resource_has_what_the_file_says(self) -> None:
        pet = self.pets.resources["pet"]
        self.assertEqual(("pet", "rest", "pet"), (pet.name, pet.strategy, pet.body))
        self.assertEqual("all_pets", pet.list_key)
        self.assertEqual(("owner_id", "name"), pet.match)
        self.assertEqual({"owner_id": ("owner",), "friend_id": ("pet", "owner")}, pet.references)
        self.assertEqual({"chip"}, pet.secrets)
        self.assertEqual(("name", "colour"), pet.compare)
        self.assertEqual(({"id"}, {"owner_id"}), (pet.read_only, pet.create_only))
        self.assertEqual("wanted_id", pet.id_field)

    def test_what_the_file_does_not_say_has_a_default(self) -> None:
        owner = self.pets.resources["owner"]
        self.assertEqual("owners", owner.list_key)
        self.assertEqual({}, owner.references)
        self.assertEqual((set(), set(), set()), (owner.secrets, owner.read_only, owner.create_only))
        self.assertEqual(((), None), (owner.compare, owner.id_field))

    def test_a_create_goes_to_the_collection_and_the_rest_to_the_member(self) -> None:
        calls = {
            (call.method, call.path.text): call.operation
            for call in self.pets.resources["pet"].calls
        }
        self.assertEqual(
            {
                ("POST", "/v1/pets"): Operation.CREATE,
                ("PATCH", "/v1/pets/{pet_id}"): Operation.UPDATE,
                ("DELETE", "/v1/pets/{pet_id}"): Operation.DELETE,
                ("POST", "/v1/pets/{pet_id}/rename"): Operation.UPDATE,
                ("PUT", "/v1/pets/{pet_id}/feed"): Operation.ALIGN,
            },
            calls,
        )

    def test_an_action_may_keep_some_fields_and_need_no_token(self) -> None:
        calls = {call.path.text: call for call in self.pets.resources["pet"].calls}
        rename, feed = calls["/v1/pets/{pet_id}/rename"], calls["/v1/pets/{pet_id}/feed"]
        self.assertEqual(({"name"}, True), (rename.keep, rename.token_required))
        self.assertEqual((None, False), (feed.keep, feed.token_required))

    def test_a_link_has_neither_collection_nor_body(self) -> None:
        link = self.pets.resources["ownership"]
        self.assertEqual((None, None, None), (link.collection, link.body, link.list_key))
        self.assertEqual({"PUT", "DELETE"}, {call.method for call in link.calls})

    def test_one_path_may_have_several_methods_and_one_method_several_paths(self) -> None:
        self.assertEqual(8, sum(len(each.calls) for each in self.pets.resources.values()))


class FilesTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_a_file_is_read(self) -> None:
        file = self.directory / "pets.yaml"
        file.write_text(GOOD)
        loaded = loader.load_file(file)
        self.assertEqual(("pets", str(file)), (loaded.name, loaded.source))

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        (self.directory / "latin.yaml").write_bytes(b"endpoint_type: p\xe9ts\n")
        (self.directory / "directory.yaml").mkdir()
        for name in ("missing.yaml", "latin.yaml", "directory.yaml"):
            with self.subTest(name), self.assertRaises(EndpointFileError) as caught:
                loader.load_file(self.directory / name)
            self.assertEqual(str(self.directory / name), caught.exception.file)
            self.assertIn("cannot be read: ", caught.exception.reason)

    def test_every_file_that_we_ship_loads(self) -> None:
        files = list(loader.builtin_files())
        self.assertIn("identity.yaml", [file.name for file in files])
        for file in files:
            with self.subTest(file.name):
                self.assertEqual(file.stem, loader.load_file(file).name)

    def test_identity_has_the_resources_that_headwater_promises(self) -> None:
        (file,) = [file for file in loader.builtin_files() if file.stem == "identity"]
        identity = loader.load_file(file)
        self.assertLessEqual(
            {
                "domain",
                "project",
                "role",
                "user",
                "group",
                "group_member",
                "project_user_role",
                "project_group_role",
                "domain_user_role",
                "domain_group_role",
            },
            set(identity.resources),
        )

    def test_a_noun_stands_behind_those_that_it_refers_to(self) -> None:
        for file in loader.builtin_files():
            endpoint_type = loader.load_file(file)
            seen: set[str] = set()
            for resource in endpoint_type.resources.values():
                seen.add(resource.name)
                for types in resource.references.values():
                    self.assertLessEqual(set(types), seen, resource.name)

    def test_no_secret_is_part_of_a_natural_key_or_compared(self) -> None:
        # Both are shown to operators.
        for file in loader.builtin_files():
            for resource in loader.load_file(file).resources.values():
                shown = {*resource.match, *resource.compare}
                self.assertEqual(set(), shown & resource.secrets, resource.name)

# SPDX-License-Identifier: Apache-2.0
"""What a call means, by its method and path."""

import functools
import unittest

from headwater.api_proxy.exchange import from_environ
from headwater.api_proxy.router import Open, Recorded, Router, Unmatched
from headwater.common.endpoints import loader
from headwater.common.endpoints.registry import load_registry
from headwater.common.states import Operation
from tests.unit.api_proxy.test_exchange import environ

LITERALS = """
endpoint_type: pets
service_type: pets
default_port: 25001
open:
  - {methods: [POST], path: "/v1/{anything}/login"}
resources:
  pet:
    strategy: rest
    collection: /v1/pets
    member: /v1/pets/{pet_id}
    body: pet
    match: [name]
    operations: {POST: create, PUT: update}
    actions:
      any_verb: {method: POST, path: "/v1/pets/{pet_id}/{verb}", operation: align}
      feed: {method: POST, path: "/v1/pets/{pet_id}/feed", operation: update}
"""


@functools.cache
def router() -> Router:
    return Router(load_registry(None).endpoint_type("identity"))


class RouterTestCase(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.router = router()

    def recorded(self, method: str, path: str) -> Recorded:
        meaning = self.router.match(method, path)
        assert isinstance(meaning, Recorded), f"{method} {path}: {meaning}"
        return meaning

    def unmatched(self, method: str, path: str) -> None:
        self.assertIsInstance(self.router.match(method, path), Unmatched, f"{method} {path}")


class RecordedTest(RouterTestCase):
    def test_every_recorded_call_of_every_type_that_we_ship_is_matched(self) -> None:
        for endpoint_type in load_registry(None):
            matcher = Router(endpoint_type)
            for resource in endpoint_type.resources.values():
                for call in resource.calls:
                    values = {name: f"the-{name}" for name in call.path.parameters}
                    path = call.path.expand(values)
                    for written in (path, path + "/"):
                        with self.subTest(f"{call.method} {written}"):
                            meaning = matcher.match(call.method, written)
                            self.assertEqual(Recorded(resource, call, values), meaning)

    def test_parameters_are_whatever_stands_in_their_place(self) -> None:
        meaning = self.recorded("PATCH", "/v3/users/ü b%2F?")
        self.assertEqual({"user_id": "ü b%2F?"}, meaning.parameters)
        self.assertIs(Operation.UPDATE, meaning.call.operation)

    def test_a_link_has_all_its_ends(self) -> None:
        meaning = self.recorded("PUT", "/v3/projects/p/users/u/roles/r")
        self.assertEqual("project_user_role", meaning.resource.name)
        self.assertEqual({"project_id": "p", "user_id": "u", "role_id": "r"}, meaning.parameters)

    def test_letters_that_are_encoded_without_need_still_match(self) -> None:
        # Every WSGI server decodes them: to the service behind they are plain letters.
        for target in ("/v3/%75sers", "/%76%33/users", "/v3%2Fusers", "/v3/users%2F"):
            with self.subTest(target):
                client = from_environ(environ(RAW_PATH_INFO=target, REQUEST_METHOD="POST"))
                self.assertIs(Operation.CREATE, self.recorded("POST", client.path).call.operation)

    def test_letters_that_are_encoded_twice_do_not_match(self) -> None:
        client = from_environ(environ(RAW_PATH_INFO="/v3/%2575sers"))
        self.unmatched("POST", client.path)

    def test_slashes_at_the_end_are_ignored(self) -> None:
        # Keystone accepts them: the change would not be recorded.
        self.recorded("POST", "/v3/users/")
        self.recorded("POST", "/v3/users//")

    def test_an_empty_parameter_does_not_match(self) -> None:
        self.unmatched("DELETE", "/v3/users/")
        self.unmatched("DELETE", "/v3/users")
        self.unmatched("PUT", "/v3/groups//users/u")
        self.unmatched("PUT", "/v3/groups/g/users/")

    def test_paths_that_only_look_alike_do_not_match(self) -> None:
        for path in (
            "/v3/Users",
            "/v2.0/users",
            "/v3/users/u/x",
            "/x/v3/users",
            "v3/users/u/password/x",
            "/v3/user",
            "/v3",
        ):
            with self.subTest(path):
                self.unmatched("POST", path)

    def test_the_method_decides(self) -> None:
        self.assertIs(Operation.CREATE, self.recorded("POST", "/v3/users").call.operation)
        self.assertIs(Operation.UPDATE, self.recorded("PATCH", "/v3/users/u").call.operation)
        self.assertIs(Operation.DELETE, self.recorded("DELETE", "/v3/users/u").call.operation)
        for method in ("GET", "HEAD", "PUT", "post", "POSTX", ""):
            self.unmatched(method, "/v3/users")

    def test_a_literal_wins_over_a_parameter_in_whatever_order_the_file_has_them(self) -> None:
        matcher = Router(loader.loads(LITERALS, "pets.yaml"))
        fed = matcher.match("POST", "/v1/pets/p/feed")
        other = matcher.match("POST", "/v1/pets/p/wash")
        assert isinstance(fed, Recorded)
        assert isinstance(other, Recorded)
        self.assertIs(Operation.UPDATE, fed.call.operation)
        self.assertIs(Operation.ALIGN, other.call.operation)
        self.assertEqual({"pet_id": "p", "verb": "wash"}, other.parameters)

    def test_a_password_change_needs_no_token_and_everything_else_does(self) -> None:
        self.assertFalse(self.recorded("POST", "/v3/users/u/password").call.token_required)
        self.assertTrue(self.recorded("PATCH", "/v3/users/u").call.token_required)


class OpenTest(RouterTestCase):
    def test_logins_and_version_documents_are_open(self) -> None:
        for method, path in (
            ("GET", "/"),
            ("GET", ""),
            ("HEAD", "/v3"),
            ("GET", "/v3/"),
            ("POST", "/v3/auth/tokens"),
            ("POST", "/v3/OS-FEDERATION/identity_providers/i/protocols/p/auth"),
        ):
            with self.subTest(f"{method} {path}"):
                self.assertEqual(Open(), self.router.match(method, path))

    def test_the_same_paths_are_closed_for_other_methods(self) -> None:
        for method, path in (
            ("GET", "/v3/auth/tokens"),
            ("DELETE", "/v3/auth/tokens"),
            ("POST", "/v3"),
            ("POST", "/"),
        ):
            with self.subTest(f"{method} {path}"):
                self.unmatched(method, path)

    def test_nothing_that_is_recorded_is_open(self) -> None:
        for endpoint_type in load_registry(None):
            matcher = Router(endpoint_type)
            for open_path in endpoint_type.open_paths:
                values = dict.fromkeys(open_path.path.parameters, "x")
                path = open_path.path.expand(values)
                self.assertEqual(Open(), matcher.match(open_path.method, path), path)


class UnmatchedTest(RouterTestCase):
    def test_reading_a_resource_is_known(self) -> None:
        for path in ("/v3/users", "/v3/users/u", "/v3/projects/p/users/u/roles/r", "/v3/users/"):
            for method in ("GET", "HEAD"):
                self.assertEqual(Unmatched(known=True), self.router.match(method, path), path)

    def test_what_no_file_describes_is_unknown(self) -> None:
        for method, path in (
            ("GET", "/v3/policies"),
            ("POST", "/v3/credentials"),
            ("GET", "/v3/users/u/projects"),
        ):
            self.assertEqual(Unmatched(known=False), self.router.match(method, path), path)

    def test_a_change_that_no_file_describes_is_unknown_on_a_known_path_too(self) -> None:
        # Where the gateway passes documented calls only, it must not pass this one.
        for method, path in (
            ("PUT", "/v3/users"),
            ("PATCH", "/v3/users"),
            ("POST", "/v3/users/u"),
            ("PATCH", "/v3/projects/p/users/u/roles/r"),
        ):
            with self.subTest(f"{method} {path}"):
                self.assertEqual(Unmatched(known=False), self.router.match(method, path))

# SPDX-License-Identifier: Apache-2.0
"""All endpoint types of an installation: ours, and the operator's, which win."""

import pathlib
import tempfile
import unittest

from headwater.common.endpoints.registry import load_registry
from headwater.common.errors import ConfigurationError, EndpointFileError, InvalidInput, NotFound

OWN = """
endpoint_type: {name}
service_type: {name}
default_port: 25999
resources:
  pet:
    strategy: rest
    collection: /v1/pets
    member: /v1/pets/{{pet_id}}
    body: pet
    match: [name]
    operations: {{POST: create}}
"""


class RegistryTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, name: str, file: str | None = None) -> pathlib.Path:
        path = self.directory / (file or f"{name}.yaml")
        path.write_text(OWN.format(name=name))
        return path

    def test_without_a_directory_there_is_what_we_ship(self) -> None:
        known = load_registry(None)
        self.assertIn("identity", known.names)
        self.assertEqual(known.names, tuple(each.name for each in known))

    def test_the_operator_adds_a_type_without_code(self) -> None:
        self.write("pets")
        known = load_registry(str(self.directory))
        self.assertEqual((*load_registry(None).names, "pets"), known.names)
        self.assertEqual("pet", known.resource("pets", "pet").body)
        self.assertEqual(25999, known.endpoint_type("pets").default_port)

    def test_the_operators_file_replaces_ours_of_the_same_type(self) -> None:
        own = self.write("identity", "my-keystone.yaml")
        known = load_registry(str(self.directory))
        self.assertEqual(load_registry(None).names, known.names)
        self.assertEqual(str(own), known.endpoint_type("identity").source)
        with self.assertRaises(NotFound):
            known.resource("identity", "user")

    def test_the_operator_protects_more_than_the_file_does(self) -> None:
        known = load_registry(None).protecting("identity", ["user:backup-robot", "role:a:b"])
        for name, wanted in (("backup-robot", True), ("nova", True), ("alice", False)):
            user = known.resource("identity", "user")
            self.assertIs(wanted, user.is_protected({"name": name, "domain_id": "d"}), name)
        self.assertTrue(known.resource("identity", "role").is_protected({"name": "a:b"}))
        self.assertFalse(
            load_registry(None).resource("identity", "role").is_protected({"name": "a:b"})
        )

    def test_what_cannot_be_protected_is_refused_with_its_entry(self) -> None:
        for entry in ("alice", "user:", "person:alice", "group_member:x"):
            with self.subTest(entry), self.assertRaisesRegex(InvalidInput, entry):
                load_registry(None).protecting("identity", [entry])

    def test_other_files_in_the_directory_are_left_alone(self) -> None:
        (self.directory / "README.md").write_text("no endpoint file")
        (self.directory / "pets.yaml.orig").write_text("no endpoint file")
        self.assertEqual(load_registry(None).names, load_registry(str(self.directory)).names)

    def test_one_wrong_file_of_the_operator_is_an_error_that_names_it(self) -> None:
        self.write("pets")
        wrong = self.directory / "wrong.yaml"
        wrong.write_text("endpoint_type: wrong\n")
        with self.assertRaises(EndpointFileError) as caught:
            load_registry(str(self.directory))
        self.assertEqual(str(wrong), caught.exception.file)

    def test_what_is_no_directory_is_an_error_that_names_it(self) -> None:
        file = self.write("pets")
        for wrong in (file, self.directory / "missing"):
            with self.assertRaises(ConfigurationError) as caught:
                load_registry(str(wrong))
            self.assertEqual(
                f"[endpoints] directory = {wrong}: is not a directory.", str(caught.exception)
            )

    def test_it_can_be_cut_down_to_some_types(self) -> None:
        self.write("pets")
        known = load_registry(str(self.directory))
        self.assertEqual(("pets",), known.only(frozenset({"pets", "unknown"})).names)
        self.assertIn("identity", known.names)

    def test_what_no_file_describes_is_not_found(self) -> None:
        known = load_registry(None)
        with self.assertRaisesRegex(NotFound, "describes identity dragon"):
            known.resource("identity", "dragon")
        with self.assertRaisesRegex(NotFound, "describes zoo"):
            known.resource("zoo", "user")
        with self.assertRaisesRegex(NotFound, "describes zoo"):
            known.endpoint_type("zoo")

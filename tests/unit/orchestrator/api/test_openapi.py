# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: whole, valid, and true to what is answered."""

from typing import Any

import jsonschema

from headwater.orchestrator.api.v1 import ROUTES
from tests.support import builders
from tests.support.api import ADMIN, ApiTestCase


class OpenapiTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.document: dict[str, Any] = self.ask("/v1/openapi.json").json

    def schema(self, schema: object) -> dict[str, Any]:
        """A schema that finds what it refers to."""
        return {"components": self.document["components"], "allOf": [schema]}

    def test_it_has_every_route_with_an_id_of_its_own(self) -> None:
        found = {
            (method.upper(), path): operation["operationId"]
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        }
        self.assertEqual({(route.method, route.path) for route in ROUTES}, set(found))
        self.assertEqual(len(found), len(set(found.values())))

    def test_all_schemas_are_valid_and_refer_to_what_is_there(self) -> None:
        schemas: list[Any] = list(self.document["components"]["schemas"].values())
        for operations in self.document["paths"].values():
            for operation in operations.values():
                schemas += [parameter["schema"] for parameter in operation["parameters"]]
                for part in [operation.get("requestBody", {}), *operation["responses"].values()]:
                    schemas += [kind["schema"] for kind in part.get("content", {}).values()]
        self.assertGreater(len(schemas), 100)
        for schema in schemas:
            jsonschema.Draft202012Validator.check_schema(schema)
            for reference in references(schema):
                name = reference.removeprefix("#/components/schemas/")
                self.assertIn(name, self.document["components"]["schemas"])

    def test_what_is_answered_is_what_it_says(self) -> None:
        builders.add_subcloud(self.database, "one", endpoint_types=("identity",))
        known = self.known_paths(builders.accepted_job(self.database))
        for route in ROUTES:
            if route.method != "GET" or route.streams:
                continue
            with self.subTest(route.path):
                path = route.path.format(**known(route.path)) + self.impatient(route)
                answer = self.ask(path, caller=ADMIN)
                self.assertIn(answer.status_int, (200, 202))
                answers = self.document["paths"][route.path]["get"]["responses"]
                content = answers[str(answer.status_int)]["content"]
                if route.is_text:
                    self.assertEqual(["text/plain"], list(content))
                    continue
                schema = content["application/json"]["schema"]
                jsonschema.validate(
                    answer.json, self.schema(schema), jsonschema.Draft202012Validator
                )

    def test_errors_are_what_it_says(self) -> None:
        schema = self.schema(self.document["components"]["schemas"]["Errors"])
        for path in ("/v1/jobs/no", "/v1/jobs?limit=0", "/v1/no"):
            answer = self.ask(path, caller=ADMIN)
            jsonschema.validate(answer.json, schema, jsonschema.Draft202012Validator)

    def test_a_password_is_only_ever_written(self) -> None:
        for name, schema in self.document["components"]["schemas"].items():
            self.assertNotIn("password", schema.get("properties", {}), name)


def references(schema: object) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [found for value in schema.values() for found in references(value)]
    if isinstance(schema, list):
        return [found for value in schema for found in references(value)]
    return []

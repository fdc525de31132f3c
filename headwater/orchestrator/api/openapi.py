# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document, made from the table of routes."""

import re
from collections.abc import Mapping
from typing import Any

from headwater.orchestrator.api import schemas
from headwater.orchestrator.api.route import Route, RouteTable

_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "name": {**schemas.REGION_NAME, "description": "Name of what the path names."},
    "id": {
        "type": "string",
        "minLength": 1,
        "description": "Id of what the path names; of a job also the client's own request id.",
    },
    "volume": {"type": "string", "minLength": 1, "description": "Id of the volume."},
}

#: What any route may answer: why a call is refused, and what went wrong.
_ERRORS = {
    "400": "What was given is not acceptable; the detail names it.",
    "401": "The token is missing, wrong or expired.",
    "403": "The policy does not let the caller do this.",
    "404": "There is no such resource.",
    "405": "The resource does not take this method.",
    "406": "The answer is not available in what the header Accept names.",
    "409": "The wish contradicts the present state.",
    "411": "The length of the body is not given.",
    "412": "It was changed since the generation in If-Match.",
    "413": "The body is too long.",
    "415": "The body is not JSON.",
    "503": "The database or the central Keystone cannot be used now.",
}


def document(table: RouteTable, version: str) -> dict[str, Any]:
    """The document for all routes of a table."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headwater",
            "version": version,
            "description": "The orchestrator of headwater: subclouds, jobs, drift, pods.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(schemas.COMPONENTS),
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
        "security": [{"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": dict(_PARAMETERS[name])}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": dict(schema)}
        for name, schema in route.query.items()
    ]
    if route.method == "PATCH":
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[0-9]{1,18}")$'},
                "description": "The ETag of what was read, or *.",
            }
        )
    if route.streams:
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "The id of the last event that was received.",
            }
        )
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Policy rule: `{route.rule}`, by default `{route.check}`.",
        "tags": [route.rule.split(":")[1]],
        "parameters": parameters,
        "responses": _answers(route),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": bool(route.body.get("required")),
            "content": {"application/json": {"schema": dict(route.body)}},
        }
    return operation


def _answers(route: Route) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, schema in route.answers.items():
        answer: dict[str, Any] = {"description": route.summary}
        if route.streams:
            answer["content"] = {"text/event-stream": {"schema": schemas.EVENT}}
        elif route.is_text:
            answer["content"] = {"text/plain": {"schema": {"type": "string"}}}
        elif schema is not None:
            answer["content"] = {"application/json": {"schema": dict(schema)}}
        answers[str(status)] = answer
    errors = {"application/json": {"schema": schemas.named("Errors")}}
    for code, words in _ERRORS.items():
        answers[code] = {"description": words, "content": errors}
    return answers

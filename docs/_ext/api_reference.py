# SPDX-License-Identifier: Apache-2.0
"""The reference of the REST API, made from the OpenAPI document that the API itself serves.

`.. api-reference::` writes one section per tag and one per operation, and the schemas that they
name. A route that is new in the code is in the page with the next build.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from headwater.orchestrator.api import openapi
from headwater.orchestrator.api.route import RouteTable
from headwater.orchestrator.api.v1 import ROUTES

Json = Mapping[str, Any]

_SCHEMAS = "#/components/schemas/"
#: Patterns that say no more than "some text".
_ANY_TEXT = r"^[^\x00]*$"


def document() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    return openapi.document(RouteTable(ROUTES), version("headwater"))


def write(api: Json) -> Iterator[str]:
    """The lines of the reference, in reStructuredText."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    tags = dict.fromkeys(tag for _, _, operation in operations for tag in operation["tags"])
    for tag in tags:
        yield from _title(tag.replace("_", " ").capitalize(), "-")
        for method, path, operation in operations:
            if tag in operation["tags"]:
                yield from _operation(method, path, operation)
    yield from _title("What any call may answer", "-")
    yield from _errors(operations)
    yield from _title("Schemas", "-")
    for name, schema in api["components"]["schemas"].items():
        yield f".. _api-schema-{name.lower()}:"
        yield ""
        yield from _title(name, "~")
        yield from _fields(schema)


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f".. _api-{operation['operationId'].replace('_', '-')}:"
    yield ""
    yield from _title(f"{method} {path}", "~")
    yield _plain(operation["summary"])
    yield ""
    yield re.sub(r"`([^`]+)`", r"``\1``", operation["description"])
    yield ""
    rows = [
        (f"``{each['name']}``", each["in"], _kind(each["schema"]), _note(each))
        for each in operation["parameters"]
    ]
    yield from _table(("parameter", "in", "type", "meaning"), rows)
    if "requestBody" in operation:
        body = operation["requestBody"]
        words = "Body" if body["required"] else "Body, which may be left out"
        yield f"{words}:"
        yield ""
        yield from _fields(_content(body))
    for status, answer in operation["responses"].items():
        if status < "400":
            yield f"Answers {status}{_described(answer)}"
            yield ""


def _described(answer: Json) -> str:
    if not answer.get("content"):
        return ", without a body."
    if "text/event-stream" in answer["content"]:
        return " with server-sent events."
    schema = _content(answer)
    if not schema.get("properties"):
        return f" with {_kind(schema)}."
    fields = (f"``{name}`` ({_kind(field)})" for name, field in schema["properties"].items())
    return f" with {', '.join(fields)}."


def _errors(operations: list[tuple[str, str, Json]]) -> Iterator[str]:
    found = {
        status: answer["description"]
        for _, _, operation in operations
        for status, answer in operation["responses"].items()
        if status >= "400"
    }
    yield from _table(("status", "meaning"), sorted(found.items()))
    yield "The body is :ref:`Errors <api-schema-errors>`."
    yield ""


def _content(part: Json) -> Json:
    schema: Json = next(iter(part["content"].values()))["schema"]
    return schema


def _fields(schema: Json) -> Iterator[str]:
    """The fields of an object; those of objects in it with their path."""
    rows = list(_rows(schema, ""))
    if rows:
        yield from _table(("field", "type", "meaning"), rows)
    else:
        yield _kind(schema)
        yield ""


def _rows(schema: Json, prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        words = _words(field)
        if name in schema.get("required", []) and prefix.count("."):
            words = f"Required. {words}".strip()
        yield f"``{path}``", _kind(field), words
        inner = field.get("items", field)
        marks = "[]." if "items" in field else "."
        yield from _rows(inner, f"{path}{marks}")


def _kind(schema: Json) -> str:
    """The type of a value, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return f":ref:`{name} <api-schema-{name.lower()}>`"
    if "enum" in schema:
        return ", ".join("null" if each is None else f"``{each}``" for each in schema["enum"])
    if "const" in schema:
        return f"``{schema['const']}``"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(map(_kind, schema[key]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kind = schema.get("type", "any value")
    words = kind if isinstance(kind, str) else " or ".join(kind)
    return f"{words} ({schema['format']})" if "format" in schema else str(words)


def _note(parameter: Json) -> str:
    return _plain(parameter.get("description", "")) or _words(parameter["schema"])


def _words(schema: Json) -> str:
    """What is said about a value, and its limits."""
    found = [_plain(schema.get("description") or schema.get("items", {}).get("description", ""))]
    if "default" in schema:
        found.append(f"Default: ``{schema['default']}``.")
    for key, words in (
        ("minimum", "At least {}."),
        ("maximum", "At most {}."),
        ("maxLength", "At most {} characters."),
        ("maxItems", "At most {} times."),
    ):
        if key in schema:
            found.append(words.format(schema[key]))
    pattern = schema.get("pattern", _ANY_TEXT)
    if pattern != _ANY_TEXT and len(pattern) < 60:
        found.append(f"Matches ``{pattern}``.")
    return " ".join(filter(None, found))


def _plain(text: str) -> str:
    """A text that is no markup."""
    return re.sub(r"([*`|_\\])", r"\\\1", text)


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield "   :widths: auto"
    yield ""
    for row in (titles, *rows):
        for number, cell in enumerate(row):
            yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()
    yield ""


class ApiReference(SphinxDirective):
    """The whole reference, below the section that holds the directive."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        # What it is made from is code: read it again with every build.
        self.env.note_reread()
        section = nodes.section(document=self.state.document)
        nested_parse_with_titles(
            self.state, StringList(list(write(document())), "<OpenAPI document>"), section
        )
        return section.children


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("api-reference", ApiReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

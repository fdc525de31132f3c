# SPDX-License-Identifier: Apache-2.0
"""Routes: one table says what is answered, who may ask, and what comes in and goes out.

The dispatching, the rules and the OpenAPI document all come from it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jsonschema

from headwater.common.context import Caller
from headwater.common.errors import HeadwaterError, InvalidInput
from headwater.common.policy import Rule
from headwater.orchestrator.api.parts import Parts

Json = Mapping[str, Any]

#: Most entries of a page, and how many there are where the client does not say.
MOST, USUAL = 1000, 100


class Forbidden(HeadwaterError):
    """The caller may not do this."""


@dataclass(frozen=True)
class Call:
    """One exchange, checked against its route."""

    #: From the path.
    parameters: Mapping[str, str]
    #: From the query, with their types.
    query: Mapping[str, Any]
    #: The JSON object of the body; empty where the route takes none.
    body: Json
    headers: Mapping[str, str]
    caller: Caller
    #: Address of the API without a path, and the path that was asked for.
    base: str
    path: str
    #: Whether the caller passes a rule for a target.
    allows: Callable[[str, Mapping[str, Any]], bool]
    rule: str

    def authorize(self, target: Mapping[str, Any]) -> None:
        """Raise Forbidden unless the caller passes the route's rule for a target."""
        if not self.allows(self.rule, target):
            raise Forbidden(f"The rule {self.rule} does not let you do this.")

    @property
    def limit(self) -> int:
        """Most entries of the page."""
        return int(self.query.get("limit", USUAL))

    @property
    def labels(self) -> dict[str, str]:
        """What the query's labels (NAME=VALUE) ask for."""
        pairs = (text.partition("=") for text in self.query.get("label", []))
        return {name: value for name, _, value in pairs}

    def page(self, noun: str, entries: Sequence[Json], marker: Callable[[Json], object]) -> "Reply":
        """A list's answer; with a link to the next page where this one is full."""
        document: dict[str, Any] = {noun: list(entries), "links": []}
        if len(entries) == self.limit:
            query = {**self.query, "limit": self.limit, "marker": marker(entries[-1])}
            pairs = [
                (name, str(each).lower() if isinstance(each, bool) else each)
                for name, value in query.items()
                for each in (value if isinstance(value, list) else [value])
            ]
            href = f"{self.base}{self.path}?{urlencode(pairs)}"
            document["links"].append({"rel": "next", "href": href})
        return Reply(document)


@dataclass(frozen=True)
class Reply:
    """What a handler answers."""

    document: Json | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Instead of a document: server-sent events, or pieces of a text, as they come.
    events: Iterator[bytes] | None = None


@dataclass(frozen=True)
class Route:
    """One method on one path."""

    method: str
    #: With parameters as `{name}`; each is one segment.
    path: str
    #: For people, one sentence.
    summary: str
    handler: Callable[[Parts, Call], Reply]
    #: Name of the rule, and its default.
    rule: str
    check: str
    #: JSON schemas of the query's parameters; a list's is an array.
    query: Mapping[str, Json] = field(default_factory=dict)
    #: JSON schema of the body, an object; None where none is read.
    body: Json | None = None
    #: JSON schema of the document by status; None for an answer without one.
    answers: Mapping[int, Json | None] = field(default_factory=dict)
    #: The handler authorizes, because the rule looks at what the call is about.
    by_target: bool = False
    #: Answers with events and not with JSON.
    streams: bool = False
    #: Answers with plain text, as it is read.
    is_text: bool = False

    @property
    def name(self) -> str:
        """The name of the operation: that of its rule, which only one route has."""
        return self.rule.removeprefix("headwater:").replace(":", "_")

    def as_rule(self) -> Rule:
        """For the policy."""
        return self.rule, self.check, self.summary, ((self.method, self.path),)


class RouteTable:
    """Finds routes by method and path."""

    def __init__(self, routes: Iterable[Route]):
        self.routes = tuple(routes)
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in self.routes:
            segments = tuple(route.path.strip("/").split("/"))
            known = self._by_length.setdefault(len(segments), [])
            methods = next((found for path, found in known if path == segments), None)
            if methods is None:
                methods = {}
                known.append((segments, methods))
            methods[route.method] = route

    def find(self, segments: Sequence[str]) -> tuple[Mapping[str, Route], dict[str, str]] | None:
        """The routes of a path by method, and its parameters; None where no route has it."""
        for pattern, methods in self._by_length.get(len(segments), []):
            parameters = {}
            for wanted, given in zip(pattern, segments, strict=True):
                if wanted.startswith("{") and given:
                    parameters[wanted[1:-1]] = given
                elif wanted != given:
                    break
            else:
                return methods, parameters
        return None


def read_query(route: Route, given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The query's parameters with their types. Raises InvalidInput, also for unknown ones."""
    found: dict[str, Any] = {}
    for name, texts in given.items():
        schema = route.query.get(name)
        if schema is None:
            known = ", ".join(route.query) or "none"
            raise InvalidInput(f"?{name}: is not known here; known are: {known}.")
        if schema.get("type") == "array":
            found[name] = [_typed(text, schema["items"]) for text in texts]
        elif len(texts) > 1:
            raise InvalidInput(f"?{name}: may be given once.")
        else:
            found[name] = _typed(texts[0], schema)
    for name, value in found.items():
        _check(value, route.query[name], f"?{name}")
    return found


def read_body(route: Route, body: object) -> Json:
    """The body, checked. Raises InvalidInput that names the field and what is wrong with it."""
    if route.body is None:
        return {}
    if not isinstance(body, dict):
        raise InvalidInput("body: must be object.")
    _check(body, route.body, "body")
    fields = route.body.get("properties", {})
    defaults = {name: fields[name]["default"] for name in fields if "default" in fields[name]}
    return {**defaults, **body}


def moment(text: str | None) -> datetime | None:
    """The time that ?since names; of one without a zone UTC's. Raises InvalidInput."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"?since={text[:64]}: is no time such as 2026-03-01T12:00Z.") from None


def _typed(text: str, schema: Json) -> object:
    kind = schema.get("type")
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text  # which the schema refuses
    return text


def _check(value: object, schema: Json, where: str) -> None:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is None:
        return
    place = where + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    )
    # The value itself may be a password.
    raise InvalidInput(f"{place}: {_reason(error)}")


def _reason(error: Any) -> str:
    rule, wanted = error.validator, error.validator_value
    if rule == "required":
        missing = [name for name in wanted if name not in error.instance]
        return f"lacks {', '.join(missing)}."
    if rule == "additionalProperties":
        known = error.schema.get("properties", {})
        extra = [name for name in error.instance if name not in known]
        return f"has unknown fields: {', '.join(map(repr, extra))[:200]}."
    if isinstance(wanted, list):
        wanted = " or ".join(map(str, wanted))
    return _WORDS.get(rule, f"does not fit ({rule})").format(wanted) + "."


#: What a rule of JSON Schema demands.
_WORDS: Mapping[str, str] = {
    "type": "must be {}",
    "enum": "must be {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "minProperties": "must not be empty",
    "maxProperties": "must have at most {} fields",
    "maxItems": "may be given {} times",
    "pattern": "must match {}",
    "format": "must be a {}",
}

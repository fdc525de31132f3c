# SPDX-License-Identifier: Apache-2.0
"""Endpoint types as values: what an endpoint file says, checked and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from headwater.common.states import Operation


@dataclass(frozen=True)
class PathTemplate:
    """A path with parameters, such as `/v3/users/{user_id}`."""

    text: str

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts between slashes; a parameter keeps its braces."""
        return tuple(part for part in self.text.split("/") if part)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in order."""
        return tuple(name for name in map(parameter, self.segments) if name)

    def expand(self, values: Mapping[str, str]) -> str:
        """The path with every parameter replaced by its percent-encoded value."""
        parts = []
        for segment in self.segments:
            name = parameter(segment)
            parts.append(quote(values[name], safe="") if name else segment)
        return "/" + "/".join(parts)


def parameter(segment: str) -> str | None:
    """The name inside `{name}`, or None for a literal segment."""
    if segment.startswith("{") and segment.endswith("}"):
        return segment[1:-1]
    return None


@dataclass(frozen=True)
class Call:
    """One method on one path that is recorded: what it does to which resource."""

    method: str
    path: PathTemplate
    resource: str
    operation: Operation
    #: Fields of the body that are replayed; None means all.
    keep: frozenset[str] | None
    #: False where the body itself proves who is calling (a change of one's own password).
    token_required: bool


@dataclass(frozen=True)
class OpenPath:
    """A method on a path that passes the gateway without a token, such as a login."""

    method: str
    path: PathTemplate


@dataclass(frozen=True)
class Listing:
    """One way to list resources of a type; all ways together list all of them.

    Dotted paths such as `scope.project.id` lead into an entry; a list on the way means each of its
    members.
    """

    path: PathTemplate
    list_key: str
    #: One list per resource of this type, whose id is the parameter in the path or the query.
    each: str | None = None
    #: That parameter goes to the query and not into the path.
    in_query: bool = False
    #: Further parameters of the query, such as what makes a service give pages.
    query: Mapping[str, str] = field(default_factory=dict)
    #: For links: where the ids of the ends stand; an end that is missing here is `each`.
    ids: Mapping[str, str] = field(default_factory=dict)
    #: Only entries with these values count; None means that there must be no value.
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceType:
    """A noun of an API. Fields named here are fields of the noun's JSON object."""

    name: str
    #: Which strategy replays it.
    strategy: str
    member: PathTemplate
    collection: PathTemplate | None
    #: Key of the object in a body, and of the list in a listing.
    body: str | None
    list_key: str | None
    #: Natural key: the fields that identify the same noun in another cloud.
    match: tuple[str, ...]
    #: Fields and path parameters that hold ids of other nouns; the first type that has it counts.
    references: Mapping[str, tuple[str, ...]]
    secrets: frozenset[str]
    compare: tuple[str, ...]
    #: Fields that only the cloud sets; never sent.
    read_only: frozenset[str]
    #: Fields that can be given at creation only.
    create_only: frozenset[str]
    #: Field of a create body with which the id can be chosen, where the API has one.
    id_field: str | None
    calls: tuple[Call, ...]
    #: Without any, the type cannot be audited.
    listings: tuple[Listing, ...] = ()
    #: A GET of a member may be older than its answer to a list.
    cached: bool = False
    #: Fields that must have these values before the service lets a member be deleted.
    before_delete: Mapping[str, Any] = field(default_factory=dict)
    #: What every cloud makes for itself: values of the last field of `match`. Never touched by
    #: audits.
    protected: frozenset[str] = frozenset()
    #: Fields without which headwater could not log in to a subcloud any more, where this is its
    #: own user there.
    login: tuple[str, ...] = ()

    def is_protected(self, state: Mapping[str, Any]) -> bool:
        """Whether a cloud made this one for itself."""
        return bool(self.match) and state.get(self.match[-1]) in self.protected

    @property
    def update_method(self) -> str:
        """The method that changes fields of a member."""
        for call in self.calls:
            if call.path == self.member and call.operation is Operation.UPDATE:
                return call.method
        return "PATCH"

    def master_id(self, parameters: Mapping[str, str]) -> str:
        """The id under which headwater knows the noun, from the parameters of its member path.

        For a noun with an id of its own that is the id; for a link it is all ids, joined by `/`.
        """
        names = self.member.parameters
        if self.collection is not None:
            return parameters[names[-1]]
        return "/".join(parameters[name] for name in names)

    def parameters(self, master_id: str) -> dict[str, str]:
        """The inverse of `master_id` for nouns without a parent in their path, and for links."""
        names = self.member.parameters
        if self.collection is not None:
            return {names[-1]: master_id}
        return dict(zip(names, master_id.split("/"), strict=True))

    def natural_key(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """The natural key within a JSON object, or None where the object lacks a part of it."""
        if not self.match or any(field not in state for field in self.match):
            return None
        return {field: state[field] for field in self.match}


@dataclass(frozen=True)
class EndpointType:
    """An API that the gateway fronts."""

    name: str
    service_type: str
    default_port: int
    open_paths: tuple[OpenPath, ...]
    #: In dependency order: a noun stands behind those that it refers to.
    resources: Mapping[str, ResourceType]
    #: The file it was read from, for messages.
    source: str

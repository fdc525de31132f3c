# SPDX-License-Identifier: Apache-2.0
"""What a call means: recorded, open, or unmatched. Pure; built once from an endpoint type."""

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.common.endpoints.model import Call, EndpointType, OpenPath, ResourceType, parameter


@dataclass(frozen=True)
class Recorded:
    """The call changes a resource and is replayed on subclouds."""

    resource: ResourceType
    call: Call
    #: Values of the path's parameters, decoded.
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Open:
    """The call passes without a token."""


@dataclass(frozen=True)
class Unmatched:
    """No endpoint file describes the call."""

    #: The path is a resource's and is only read.
    known: bool


Meaning = Recorded | Open | Unmatched

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Segments, with None for a parameter; then the names of the parameters.
_Pattern = tuple[tuple[str | None, ...], tuple[str, ...]]


class Router:
    """Matches (method, decoded path below the upstream's own prefix)."""

    def __init__(self, endpoint_type: EndpointType):
        self.endpoint_type = endpoint_type
        self._routes: dict[tuple[str, int], list[tuple[_Pattern, Call | OpenPath]]] = {}
        self._known: dict[int, list[_Pattern]] = {}
        for resource in endpoint_type.resources.values():
            for call in resource.calls:
                self._add(call)
                self._known.setdefault(len(call.path.segments), []).append(_pattern(call))
        for open_path in endpoint_type.open_paths:
            self._add(open_path)

    def match(self, method: str, path: str) -> Meaning:
        """The meaning of a call. Trailing slashes are ignored, as OpenStack's services do."""
        segments = path.removeprefix("/").rstrip("/").split("/")
        if segments == [""]:
            segments = []
        for pattern, target in self._routes.get((method, len(segments)), ()):
            values = _match(pattern, segments)
            if values is None:
                continue
            if isinstance(target, OpenPath):
                return Open()
            resource = self.endpoint_type.resources[target.resource]
            return Recorded(resource, target, values)
        if method not in _READS:
            return Unmatched(known=False)
        known = self._known.get(len(segments), ())
        return Unmatched(any(_match(pattern, segments) is not None for pattern in known))

    def _add(self, target: Call | OpenPath) -> None:
        key = (target.method, len(target.path.segments))
        routes = self._routes.setdefault(key, [])
        routes.append((_pattern(target), target))
        # Literal segments win over parameters.
        routes.sort(key=lambda route: route[0][0].count(None))


def _pattern(target: Call | OpenPath) -> _Pattern:
    segments = target.path.segments
    return tuple(None if parameter(part) else part for part in segments), target.path.parameters


def _match(pattern: _Pattern, segments: list[str]) -> dict[str, str] | None:
    literals, names = pattern
    values = []
    for literal, segment in zip(literals, segments, strict=True):
        if literal is None:
            if not segment:
                return None
            values.append(segment)
        elif literal != segment:
            return None
    return dict(zip(names, values, strict=True))

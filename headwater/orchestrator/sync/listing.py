# SPDX-License-Identifier: Apache-2.0
"""Lists everything that a cloud has of an endpoint type, page by page."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from headwater.common.endpoints.model import EndpointType, Listing, ResourceType
from headwater.common.errors import HeadwaterError
from headwater.common.sessions import Answer

#: Resources of one cloud by type and id; for links the object is empty.
CloudState = Mapping[str, Mapping[str, Mapping[str, Any]]]

#: A GET of a path with query parameters; whatever it raises is the caller's.
Get = Callable[[str, Mapping[str, str]], Answer]

#: A list that has more pages than this never ends (Keystone's roles with a limit do not).
_MOST_PAGES = 10_000


class Unlistable(HeadwaterError):
    """A list is no list, does not end, or is cut: nothing may be concluded from it."""


def list_all(endpoint_type: EndpointType, get: Get) -> CloudState:
    """Everything that a cloud has of the types that can be listed, in dependency order.

    Raises Unlistable, and what `get` raises. A parent that vanishes meanwhile has no list.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    pages: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for resource in endpoint_type.resources.values():
        if not resource.listings:
            continue
        of_type = found.setdefault(resource.name, {})
        for listing in resource.listings:
            for given in _parents(endpoint_type, listing, found):
                path = listing.path.text if listing.in_query else listing.path.expand(given)
                query = {**listing.query, **(given if listing.in_query else {})}
                # Several types are often in one list, such as all kinds of role assignments.
                key = (path, repr(query))
                if key not in pages:
                    pages[key] = _entries(get, path, query, listing.list_key, gone=bool(given))
                for entry in pages[key]:
                    of_type.update(_resources(resource, listing, given, entry))
    return found


def _parents(
    endpoint_type: EndpointType, listing: Listing, found: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    if listing.each is None:
        return [{}]
    name = endpoint_type.resources[listing.each].member.parameters[-1]
    return [{name: parent} for parent in found[listing.each]]


def _entries(
    get: Get, path: str, query: Mapping[str, str], list_key: str, *, gone: bool
) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        answer = get(path, query)
        if gone and answer.status == 404 and not entries:
            return []
        if not answer.ok:
            raise Unlistable(f"GET {path}: {answer.status} {answer.reason}")
        body = answer.body if isinstance(answer.body, dict) else {}
        page = body.get(list_key)
        if not isinstance(page, list) or not all(isinstance(entry, dict) for entry in page):
            raise Unlistable(f"GET {path}: the answer has no list {list_key!r}.")
        entries += page
        following = (body.get("links") or {}).get("next")
        if body.get("truncated") and not following:
            raise Unlistable(f"GET {path}: the answer is cut; raise the service's list limit.")
        if not following:
            return entries
        # Only the query: its address may be one that only the cloud's own users can reach.
        query = dict(parse_qsl(urlsplit(following).query))
        if following in seen or not page:
            raise Unlistable(f"GET {path}: the pages of the list lead in a circle.")
        seen.add(following)
    raise Unlistable(f"GET {path}: the list does not end after {_MOST_PAGES} pages.")


def _resources(
    resource: ResourceType, listing: Listing, given: Mapping[str, str], entry: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Ids and objects of what an entry of a list stands for; often one, or none."""
    for path, wanted in listing.where.items():
        values = _values(entry, path.split("."))
        if values != ([] if wanted is None else [wanted]):
            return
    if resource.collection is not None:
        yield str(entry["id"]), entry
        return
    ends = [
        _values(entry, listing.ids[name].split(".")) if name in listing.ids else [given[name]]
        for name in resource.member.parameters
    ]
    for ids in itertools.product(*ends):
        yield "/".join(map(str, ids)), {}


def _values(value: Any, path: list[str]) -> list[Any]:
    """What stands at a path in an entry: nothing, one value, or those of a list on the way."""
    if isinstance(value, list):
        return [found for member in value for found in _values(member, path)]
    if not path:
        return [] if value is None else [value]
    if not isinstance(value, dict) or path[0] not in value:
        return []
    return _values(value[path[0]], path[1:])

# SPDX-License-Identifier: Apache-2.0
"""Reads endpoint files: YAML in, frozen values out, or an error with file, key and reason."""

import functools
import importlib.resources
import json
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from headwater.common.endpoints.model import (
    Call,
    EndpointType,
    Listing,
    OpenPath,
    PathTemplate,
    ResourceType,
    parameter,
)
from headwater.common.errors import EndpointFileError
from headwater.common.states import Operation


def builtin_files() -> Iterator[Path]:
    """The endpoint files that headwater ships."""
    directory = Path(str(importlib.resources.files(__package__)))
    yield from sorted(directory.glob("*.yaml"))


def load_file(path: Path) -> EndpointType:
    """The endpoint type that a file describes; raises EndpointFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EndpointFileError(str(path), "(file)", f"cannot be read: {error}") from error
    return loads(text, source=str(path))


def loads(text: str, source: str) -> EndpointType:
    """The endpoint type that `text` describes; `source` names it in errors."""
    try:
        # The loader is a SafeLoader: it makes plain values only.
        document = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506
    except (yaml.YAMLError, TypeError, ValueError) as error:  # such as a list as a key
        raise EndpointFileError(source, "(file)", " ".join(str(error).split())) from error
    _check_schema(document, source)
    resources = {
        name: _resource(name, entry, source) for name, entry in document["resources"].items()
    }
    endpoint_type = EndpointType(
        name=document["endpoint_type"],
        service_type=document["service_type"],
        default_port=document["default_port"],
        open_paths=tuple(
            OpenPath(method, PathTemplate(entry["path"]))
            for entry in document.get("open", ())
            for method in entry["methods"]
        ),
        resources=resources,
        source=source,
    )
    _check_references(endpoint_type)
    _check_calls(endpoint_type)
    _check_cached(endpoint_type)
    _check_listings(endpoint_type)
    return endpoint_type


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, which YAML loaders silently let win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    resource = importlib.resources.files(__package__).joinpath("schema.json")
    return jsonschema.Draft202012Validator(json.loads(resource.read_text(encoding="utf-8")))


def _check_schema(document: object, source: str) -> None:
    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path) or "(file)"
        raise EndpointFileError(source, key, error.message)


def _resource(name: str, entry: Mapping[str, Any], source: str) -> ResourceType:
    member = PathTemplate(entry["member"])
    collection = PathTemplate(entry["collection"]) if "collection" in entry else None
    if not member.parameters:
        raise EndpointFileError(source, f"resources.{name}.member", "has no {parameter}")
    calls = []
    for method, operation in entry["operations"].items():
        # A create without an id goes to the collection; everything else to the member.
        path = collection if collection is not None and method == "POST" else member
        calls.append(Call(method, path, name, Operation(operation), None, token_required=True))
    for action_name, action in entry.get("actions", {}).items():
        path = PathTemplate(action["path"])
        if member.parameters[-1] not in path.parameters:
            raise EndpointFileError(
                source,
                f"resources.{name}.actions.{action_name}.path",
                f"lacks {{{member.parameters[-1]}}}, the id of its {name}",
            )
        calls.append(
            Call(
                method=action["method"],
                path=path,
                resource=name,
                operation=Operation(action["operation"]),
                keep=frozenset(action["keep"]) if "keep" in action else None,
                token_required=action.get("token_required", True),
            )
        )
    return ResourceType(
        name=name,
        strategy=entry["strategy"],
        member=member,
        collection=collection,
        body=entry.get("body"),
        list_key=entry.get("list_key", collection.segments[-1] if collection else None),
        match=tuple(entry.get("match", ())),
        references={
            field: (types,) if isinstance(types, str) else tuple(types)
            for field, types in entry.get("references", {}).items()
        },
        secrets=frozenset(entry.get("secrets", ())),
        compare=tuple(entry.get("compare", ())),
        read_only=frozenset(entry.get("read_only", ())),
        create_only=frozenset(entry.get("create_only", ())),
        id_field=entry.get("id_field"),
        calls=tuple(calls),
        listings=_listings(entry, collection),
        cached=entry.get("cached", False),
        before_delete=dict(entry.get("before_delete", {})),
        protected=frozenset(entry.get("protected", ())),
        login=tuple(entry.get("login", ())),
    )


def _listings(entry: Mapping[str, Any], collection: PathTemplate | None) -> tuple[Listing, ...]:
    found = tuple(
        Listing(
            path=PathTemplate(item["path"]),
            list_key=item.get("list_key") or PathTemplate(item["path"]).segments[-1],
            each=item.get("each"),
            in_query=item.get("in_query", False),
            query=item.get("query", {}),
            ids=item.get("ids", {}),
            where=item.get("where", {}),
        )
        for item in entry.get("listings", ())
    )
    if found or collection is None or collection.parameters:
        return found
    return (Listing(collection, entry.get("list_key", collection.segments[-1])),)


def _check_cached(endpoint_type: EndpointType) -> None:
    """What is read from lists can be found in them."""
    for resource in endpoint_type.resources.values():
        if resource.cached and not (resource.collection and resource.match):
            raise EndpointFileError(
                endpoint_type.source,
                f"resources.{resource.name}.cached",
                "needs 'collection' and 'match' to find the resource in a list",
            )


def _check_listings(endpoint_type: EndpointType) -> None:
    """Every list can be asked for, and every entry names its resource."""
    before: set[str] = set()
    for resource in endpoint_type.resources.values():
        for number, listing in enumerate(resource.listings):
            parent = None
            if listing.each is not None and listing.each in before:
                parent = endpoint_type.resources[listing.each]
            wrong = _wrong_listing(resource, listing, parent)
            if wrong is not None:
                raise EndpointFileError(
                    endpoint_type.source,
                    f"resources.{resource.name}.listings.{number}.{wrong[0]}",
                    wrong[1],
                )
        before.add(resource.name)


def _wrong_listing(
    resource: ResourceType, listing: Listing, parent: ResourceType | None
) -> tuple[str, str] | None:
    """Key and reason of what is wrong with a listing, if anything is."""
    if listing.each is not None and parent is None:
        return "each", f"no resource {listing.each!r} stands before"
    given = set() if parent is None else {parent.member.parameters[-1]}
    if set(listing.path.parameters) != (set() if listing.in_query else given):
        return "path", "its {parameter} must be the id of what 'each' names"
    if resource.collection is None:
        missing = set(resource.member.parameters) - set(listing.ids) - given
        if missing:
            return "ids", f"does not say where {min(missing)} stands"
    return None


def _check_references(endpoint_type: EndpointType) -> None:
    for resource in endpoint_type.resources.values():
        key = f"resources.{resource.name}.references"
        for field, types in resource.references.items():
            for type_name in types:
                if type_name not in endpoint_type.resources:
                    raise EndpointFileError(
                        endpoint_type.source, f"{key}.{field}", f"no resource named {type_name!r}"
                    )
        if resource.strategy == "link":
            for name in resource.member.parameters:
                if name not in resource.references:
                    raise EndpointFileError(
                        endpoint_type.source, key, f"does not say what {{{name}}} of member is"
                    )


def _check_calls(endpoint_type: EndpointType) -> None:
    """No method and path twice: one exchange has one meaning."""
    seen: dict[tuple[str, ...], str] = {}
    for resource in endpoint_type.resources.values():
        for call in resource.calls:
            shape = (
                call.method,
                *("{}" if parameter(segment) else segment for segment in call.path.segments),
            )
            if shape in seen:
                raise EndpointFileError(
                    endpoint_type.source,
                    f"resources.{resource.name}",
                    f"{call.method} {call.path.text} is already recorded for {seen[shape]!r}",
                )
            seen[shape] = resource.name

# SPDX-License-Identifier: Apache-2.0
"""What an exchange changes. Pure: bodies in, values out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.api_proxy.exchange import Exchange
from headwater.api_proxy.router import Recorded
from headwater.common.endpoints.model import ResourceType
from headwater.common.states import Operation
from headwater.engine.task import ResourceInfo

#: Headers that change what a body means; replayed as they came.
_MEANINGFUL = frozenset(
    {"openstack-api-version", "x-openstack-nova-api-version", "x-openstack-manila-api-version"}
)


@dataclass(frozen=True)
class Change:
    """What the central cloud did, as far as its answer tells."""

    operation: Operation
    master_id: str
    natural_key: Mapping[str, Any] | None
    info: ResourceInfo
    #: It carries fields that cannot be read from any cloud.
    has_secrets: bool = False


def intended(meaning: Recorded, exchange: Exchange, body: bytes) -> ResourceInfo:
    """What the client asks for, before the central cloud has seen it.

    `fields` is None where the body is not the JSON object that it should be. The central cloud
    will most likely refuse it; if it does not, the resource is aligned instead of replayed.
    """
    headers = {name: value for name, value in exchange.headers if name.lower() in _MEANINGFUL}
    if meaning.resource.body is None:
        return ResourceInfo(fields={}, headers=headers)
    fields = None
    if meaning.call.operation in (Operation.CREATE, Operation.UPDATE):
        fields = _object(body, meaning.resource.body)
        keep = meaning.call.keep
        if fields is not None and keep is not None:
            fields = {name: value for name, value in fields.items() if name in keep}
    elif meaning.call.operation is Operation.DELETE:
        fields = {}
    return ResourceInfo(fields=fields, headers=headers)


def master_id(meaning: Recorded) -> str | None:
    """The resource's id, where the path tells it; a create has none yet."""
    if meaning.call.path == meaning.resource.collection:
        return None
    return meaning.resource.master_id(meaning.parameters)


def accepted(meaning: Recorded, intent: ResourceInfo, answer: bytes) -> Change | None:
    """What happened, from the body of a 2xx answer.

    None when the answer does not tell which resource was created; then the job stays open and is
    settled by reading the central cloud.
    """
    resource = meaning.resource
    state = _object(answer, resource.body) if resource.body is not None else None
    known = master_id(meaning)
    if known is None:
        if state is None or not isinstance(state.get("id"), str):
            return None
        known = state["id"]
    operation = meaning.call.operation
    if operation is not Operation.DELETE and intent.fields is None:
        operation = Operation.ALIGN
    fields = intent.fields
    if operation is Operation.CREATE and fields is not None and state is not None:
        fields = {**fields, **_decided(resource, state)}
    return Change(
        operation=operation,
        master_id=known,
        natural_key=_key_after(resource, intent, state),
        info=ResourceInfo(fields=fields, key_before=intent.key_before, headers=intent.headers),
        has_secrets=bool(resource.secrets & set(fields or ())),
    )


def name(*candidates: Mapping[str, Any] | None) -> str | None:
    """The first name in some objects, for showing."""
    for candidate in candidates:
        value = (candidate or {}).get("name")
        if isinstance(value, str):
            return value
    return None


def natural_key(resource: ResourceType, answer: bytes) -> Mapping[str, Any] | None:
    """The natural key in the body of an answer that shows a resource."""
    state = _object(answer, resource.body) if resource.body is not None else None
    return None if state is None else resource.natural_key(state)


def _decided(resource: ResourceType, state: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the answer that the central cloud may have decided, such as the domain."""
    decided = {name: state[name] for name in resource.match if name in state}
    for name in resource.references:
        if state.get(name) is not None:
            decided[name] = state[name]
    return decided


def _key_after(
    resource: ResourceType, intent: ResourceInfo, state: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The natural key that the resource has now; None where nothing new is known."""
    if state is not None:
        return resource.natural_key(state)
    return intent.key_before


def _object(body: bytes, key: str) -> dict[str, Any] | None:
    """The JSON object under `key` of a JSON body, or None."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: nested too deep
        return None
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else None

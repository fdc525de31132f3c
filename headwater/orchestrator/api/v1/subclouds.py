# SPDX-License-Identifier: Apache-2.0
"""/v1/subclouds."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headwater.common.states import Availability, Management
from headwater.db import audits, lanes, subclouds, unmanaged
from headwater.db.records import NewSubcloud, Subcloud
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views

_SORT = {name.removeprefix("region_"): name for name in subclouds.SORT_KEYS}

_ONE = {200: schemas.single("subcloud", "Subcloud")}
_ASKED = {202: schemas.counted("lanes")}


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    query = call.query
    page = subclouds.list_page(
        parts.database,
        limit=call.limit,
        marker=query.get("marker", ""),
        sort_key=_SORT[query.get("sort_key", "name")],
        descending=query.get("sort_dir") == "desc",
        management=_maybe(Management, query.get("management_state")),
        availability=_maybe(Availability, query.get("availability_status")),
        labels=call.labels,
    )
    labels = subclouds.labels_of(parts.database, [each.id for each in page])
    entries = [views.subcloud(each, labels[each.id]) for each in page]
    return call.page("subclouds", entries, lambda last: last["name"])


def add(parts: Parts, call: Call) -> Reply:
    """Encrypt the password and store."""
    given = dict(call.body["subcloud"])
    labels = given.pop("labels", {})
    password = given.pop("password")
    new = NewSubcloud(
        region_name=given.pop("name"),
        credentials=parts.key_ring.encrypt({"password": password}),
        **{"username": "admin", **given},
    )
    added = parts.fleet.add(new, labels)
    location = f"{call.base}/v1/subclouds/{quote(added.region_name, safe='')}"
    return _shown(parts, added, status=201, headers={"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One with its lanes."""
    found = _get(parts, call)
    reply = _shown(parts, found)
    document = {**(reply.document or {})["subcloud"], "lanes": _lanes(parts, found)}
    return Reply({"subcloud": document}, headers=reply.headers)


def update(parts: Parts, call: Call) -> Reply:
    """Change what is given; whoever read an older generation is refused."""
    values = dict(call.body["subcloud"])
    labels = values.pop("labels", None)
    word = values.pop("availability_override", _NOT_GIVEN)
    if "password" in values:
        secret = {"password": values.pop("password")}
        values["credentials"] = parts.key_ring.encrypt(secret)
    name = _get(parts, call).region_name
    changed = parts.fleet.update(
        name, values, labels=labels, generation=_generation(call.headers.get("if-match"))
    )
    if word is not _NOT_GIVEN:
        state = Availability.UNKNOWN if word is None else Availability(word)
        changed = parts.fleet.set_states(name, availability=state)
    parts.wake()
    return _shown(parts, changed)


def delete(parts: Parts, call: Call) -> Reply:
    """Forget an unmanaged one."""
    parts.fleet.delete(call.parameters["name"])
    return Reply(None, status=204)


def manage(parts: Parts, call: Call) -> Reply:
    """Replay changes there from now on; its initial sync begins."""
    changed = parts.fleet.set_states(call.parameters["name"], Management.MANAGED)
    parts.wake()
    return _shown(parts, changed)


def unmanage(parts: Parts, call: Call) -> Reply:
    """Replay nothing there any more."""
    fleet, name = parts.fleet, call.parameters["name"]
    changed = fleet.set_states(name, Management.UNMANAGED)
    dropped = fleet.drop_backlog(name) if call.body.get("drop_backlog") else 0
    shown = _shown(parts, changed)
    return Reply({**(shown.document or {}), "dropped": dropped}, headers=shown.headers)


def sync(parts: Parts, call: Call) -> Reply:
    """Let what waits run now."""
    return _asked(parts, call, parts.fleet.sync([call.parameters["name"]]))


def audit(parts: Parts, call: Call) -> Reply:
    """Have it compared with the central cloud now."""
    return _asked(parts, call, parts.fleet.audit([call.parameters["name"]]))


def list_lanes(parts: Parts, call: Call) -> Reply:
    """Its lanes."""
    return Reply({"lanes": _lanes(parts, _get(parts, call))})


def marks(parts: Parts, call: Call) -> Reply:
    """What audits leave alone there."""
    found = unmanaged.of_subcloud(parts.database, _get(parts, call).id)
    return Reply({"unmanaged_resources": [views.unmanaged(each) for each in found]})


def mark(parts: Parts, call: Call) -> Reply:
    """Let audits leave a resource alone there."""
    _change_mark(parts, call, unmanaged.mark)
    return Reply(None, status=204)


def unmark(parts: Parts, call: Call) -> Reply:
    """Let audits look after a resource there again."""
    _change_mark(parts, call, unmanaged.unmark)
    return Reply(None, status=204)


def _change_mark(parts: Parts, call: Call, change: Any) -> None:
    found, body = _get(parts, call), call.body
    parts.registry.resource(body["endpoint_type"], body["resource_type"])
    change(parts.database, found.id, body["endpoint_type"], body["resource_type"], body["key"])


def _get(parts: Parts, call: Call) -> Subcloud:
    return subclouds.get(parts.database, call.parameters["name"])


def _shown(
    parts: Parts, found: Subcloud, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    labels = subclouds.labels_of(parts.database, [found.id])[found.id]
    headers = {**(headers or {}), "ETag": f'"{found.generation}"'}
    return Reply({"subcloud": views.subcloud(found, labels)}, status, headers)


def _asked(parts: Parts, call: Call, number: int) -> Reply:
    parts.wake()
    name = quote(call.parameters["name"], safe="")
    headers = {"Location": f"{call.base}/v1/subclouds/{name}/lanes"}
    return Reply({"lanes": number}, status=202, headers=headers)


def _lanes(parts: Parts, found: Subcloud) -> list[dict[str, Any]]:
    records = lanes.of_subclouds(parts.database, [found.id])
    known = audits.of_lanes(parts.database, [each.id for each in records])
    waiting = audits.waiting(parts.database, [each.id for each in records])
    return [views.lane(each, known[each.id], waiting[each.id]) for each in records]


_NOT_GIVEN = object()


def _maybe(kind: Any, text: str | None) -> Any:
    return None if text is None else kind(text)


def _generation(if_match: str | None) -> int | None:
    """What an If-Match header names; None without one and for `*`."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    # No generation has such a number: the condition is not met.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1


_PATH = "/v1/subclouds/{name}"
_FILTERS: dict[str, Mapping[str, Any]] = {
    "sort_key": {"type": "string", "enum": list(_SORT), "default": "name"},
    "sort_dir": {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
    "management_state": schemas.one_of(Management),
    "availability_status": schemas.one_of(Availability),
    **schemas.LABEL,
}

#: All of /v1/subclouds.
ROUTES = (
    Route(
        "GET",
        "/v1/subclouds",
        "List subclouds.",
        list_page,
        "headwater:subclouds:list",
        policies.FLEET_READER,
        query=schemas.paged("name", **_FILTERS),
        answers={200: schemas.listed("subclouds", "Subcloud")},
    ),
    Route(
        "POST",
        "/v1/subclouds",
        "Add a subcloud; nothing is replayed there until it is managed.",
        add,
        "headwater:subclouds:add",
        policies.ADMIN,
        body=schemas.NEW_SUBCLOUD,
        answers={201: schemas.single("subcloud", "Subcloud")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a subcloud and its lanes.",
        show,
        "headwater:subclouds:show",
        policies.FLEET_READER,
        answers=_ONE,
    ),
    Route(
        "PATCH",
        _PATH,
        "Change how a subcloud is reached, what it is called, or whether it is online.",
        update,
        "headwater:subclouds:update",
        policies.ADMIN,
        body=schemas.CHANGED_SUBCLOUD,
        answers=_ONE,
    ),
    Route(
        "DELETE",
        _PATH,
        "Forget an unmanaged subcloud with its backlog and credentials.",
        delete,
        "headwater:subclouds:delete",
        policies.ADMIN,
        answers={204: None},
    ),
    Route(
        "POST",
        f"{_PATH}/manage",
        "Bring a subcloud to the central cloud's state and replay changes there.",
        manage,
        "headwater:subclouds:manage",
        policies.ADMIN,
        body=schemas.NOTHING,
        answers=_ONE,
    ),
    Route(
        "POST",
        f"{_PATH}/unmanage",
        "Replay nothing on a subcloud any more; its backlog is kept unless it is dropped.",
        unmanage,
        "headwater:subclouds:unmanage",
        policies.ADMIN,
        body=schemas.UNMANAGE,
        answers={200: schemas.with_count(schemas.single("subcloud", "Subcloud"), "dropped")},
    ),
    Route(
        "POST",
        f"{_PATH}/sync",
        "Let what waits for a subcloud run now, whatever its back-offs.",
        sync,
        "headwater:subclouds:sync",
        policies.ADMIN,
        body=schemas.NOTHING,
        answers=_ASKED,
    ),
    Route(
        "POST",
        f"{_PATH}/audit",
        "Compare a subcloud with the central cloud now.",
        audit,
        "headwater:subclouds:audit",
        policies.ADMIN,
        body=schemas.NOTHING,
        answers=_ASKED,
    ),
    Route(
        "GET",
        f"{_PATH}/lanes",
        "List the lanes of a subcloud.",
        list_lanes,
        "headwater:subclouds:lanes",
        policies.FLEET_READER,
        answers={200: schemas.all_of("lanes", "Lane")},
    ),
    Route(
        "GET",
        f"{_PATH}/unmanaged_resources",
        "List the resources that audits of a subcloud leave alone.",
        marks,
        "headwater:unmanaged_resources:list",
        policies.FLEET_READER,
        answers={200: schemas.all_of("unmanaged_resources", "UnmanagedResource")},
    ),
    Route(
        "POST",
        f"{_PATH}/unmanaged_resources/add",
        "Let audits leave a resource of a subcloud alone.",
        mark,
        "headwater:unmanaged_resources:add",
        policies.ADMIN,
        body=schemas.MARK,
        answers={204: None},
    ),
    Route(
        "POST",
        f"{_PATH}/unmanaged_resources/remove",
        "Let audits look after a resource of a subcloud again.",
        unmark,
        "headwater:unmanaged_resources:remove",
        policies.ADMIN,
        body=schemas.MARK,
        answers={204: None},
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""/v1/pods: pod managers, and lists of BMCs that are used like one."""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headwater.common.errors import Conflict, InvalidInput
from headwater.common.states import PodService
from headwater.db import pods, subscriptions, telemetry
from headwater.db.pod_records import NewPod, Pod
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.tasks import Wish, ended, submit

_ONE = {200: schemas.single("pod", "Pod")}

#: Seconds that a pod is given, before it is forgotten, to end its event subscriptions. What is left
#: over sends to a destination that refuses it.
_PATIENCE = 10.0


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    page = pods.list_page(
        parts.database,
        limit=call.limit,
        marker=call.query.get("marker", ""),
        labels=call.labels,
    )
    labels = pods.labels_of(parts.database, [each.id for each in page])
    entries = [views.pod(each, labels[each.id]) for each in page]
    return call.page("pods", entries, lambda last: last["name"])


def add(parts: Parts, call: Call) -> Reply:
    """Encrypt the password, store, and read the inventory for the first time."""
    given = _values(parts, call.body["pod"])
    labels = given.pop("labels", {})
    added = pods.add(parts.database, NewPod(**{"username": "admin", **given}), labels)
    submit(parts, call, Wish(PodService.COMPUTE, "sync-pod", added.id))
    location = f"{call.base}/v1/pods/{quote(added.name, safe='')}"
    return Reply({"pod": views.pod(added, labels)}, 201, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One."""
    return _one(parts, pods.get(parts.database, call.parameters["name"]))


def update(parts: Parts, call: Call) -> Reply:
    """Change what is given."""
    values = _values(parts, call.body["pod"])
    labels = values.pop("labels", None)
    changed = pods.update(parts.database, call.parameters["name"], values, labels=labels)
    return _one(parts, changed)


def delete(parts: Parts, call: Call) -> Reply:
    """Forget one; it is told to send no more events, if it listens at once."""
    found = pods.get(parts.database, call.parameters["name"])
    pods.check_free(parts.database, found)
    if any(each.uri for each in subscriptions.of_pod(parts.database, found.id)):
        wish = Wish(
            PodService.TELEMETRY,
            telemetry.SUBSCRIBE_POD,
            found.id,
            telemetry.SUBSCRIPTIONS,
            {"event_url": ""},
        )
        ended(parts, call, _PATIENCE, wish)
    pods.delete(parts.database, found.name)
    return Reply(None, status=204)


def sync(parts: Parts, call: Call) -> Reply:
    """Read the inventory anew."""
    found = pods.get(parts.database, call.parameters["name"])
    return submit(parts, call, Wish(PodService.COMPUTE, "sync-pod", found.id))


def _one(parts: Parts, found: Pod) -> Reply:
    return Reply({"pod": views.pod(found, pods.labels_of(parts.database, [found.id])[found.id])})


def _values(parts: Parts, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns for what a body gives. Raises InvalidInput and Conflict."""
    values = dict(given)
    if "password" in values:
        secret = {"password": values.pop("password")}
        values["credentials"] = parts.key_ring.encrypt(secret)
    if "driver" in values and values["driver"] not in parts.pod_drivers:
        raise Conflict(
            f"The driver {values['driver']!r} is not installed; "
            f"installed are: {', '.join(parts.pod_drivers)}."
        )
    if values.get("ca_certificates") is not None:
        try:
            ssl.create_default_context(cadata=values["ca_certificates"])
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInput(
                f"body.pod.ca_certificates: are no certificates as PEM: {error}."
            ) from error
    if "addresses" in values:
        values["addresses"] = tuple(values["addresses"])
    return values


_PATH = "/v1/pods/{name}"

#: All of /v1/pods.
ROUTES = (
    Route(
        "GET",
        "/v1/pods",
        "List pods by name.",
        list_page,
        "headwater:pods:list",
        policies.FLEET_READER,
        query=schemas.paged("name", **schemas.LABEL),
        answers={200: schemas.listed("pods", "Pod")},
    ),
    Route(
        "POST",
        "/v1/pods",
        "Add a pod; its inventory is read at once.",
        add,
        "headwater:pods:add",
        policies.ADMIN,
        body=schemas.NEW_POD,
        answers={201: schemas.single("pod", "Pod")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a pod.",
        show,
        "headwater:pods:show",
        policies.FLEET_READER,
        answers=_ONE,
    ),
    Route(
        "PATCH",
        _PATH,
        "Change how a pod is reached, or what it is called.",
        update,
        "headwater:pods:update",
        policies.ADMIN,
        body=schemas.CHANGED_POD,
        answers=_ONE,
    ),
    Route(
        "DELETE",
        _PATH,
        "Forget a pod with its inventory, tasks and credentials; nothing in it changes.",
        delete,
        "headwater:pods:delete",
        policies.ADMIN,
        answers={204: None},
    ),
    Route(
        "POST",
        f"{_PATH}/sync",
        "Read the inventory of a pod anew.",
        sync,
        "headwater:pods:sync",
        policies.ADMIN,
        body=schemas.DEADLINE_ONLY,
        answers={202: schemas.single("task", "Task")},
    ),
)

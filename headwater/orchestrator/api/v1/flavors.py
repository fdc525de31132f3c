# SPDX-License-Identifier: Apache-2.0
"""/v1/flavors: sizes that nodes are composed in."""

from urllib.parse import quote

from headwater.db import flavors
from headwater.db.pod_records import Requirements
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.nodes import needs


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    page = flavors.list_page(parts.database, limit=call.limit, marker=call.query.get("marker", ""))
    return call.page("flavors", [views.flavor(each) for each in page], lambda last: last["name"])


def add(parts: Parts, call: Call) -> Reply:
    """Store."""
    given = dict(call.body["flavor"])
    name, description = given.pop("name"), given.pop("description", None)
    added = flavors.add(parts.database, name, description, needs(parts, given, Requirements()))
    location = f"{call.base}/v1/flavors/{quote(name, safe='')}"
    return Reply({"flavor": views.flavor(added)}, 201, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One."""
    return Reply({"flavor": views.flavor(flavors.get(parts.database, call.parameters["name"]))})


def delete(parts: Parts, call: Call) -> Reply:
    """Forget one."""
    flavors.delete(parts.database, call.parameters["name"])
    return Reply(None, status=204)


_PATH = "/v1/flavors/{name}"

#: All of /v1/flavors.
ROUTES = (
    Route(
        "GET",
        "/v1/flavors",
        "List flavors by name.",
        list_page,
        "headwater:flavors:list",
        policies.FLEET_READER,
        query=schemas.paged("name"),
        answers={200: schemas.listed("flavors", "Flavor")},
    ),
    Route(
        "POST",
        "/v1/flavors",
        "Add a flavor.",
        add,
        "headwater:flavors:add",
        policies.ADMIN,
        body=schemas.NEW_FLAVOR,
        answers={201: schemas.single("flavor", "Flavor")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a flavor.",
        show,
        "headwater:flavors:show",
        policies.FLEET_READER,
        answers={200: schemas.single("flavor", "Flavor")},
    ),
    Route(
        "DELETE",
        _PATH,
        "Forget a flavor; nodes that were composed in it stay.",
        delete,
        "headwater:flavors:delete",
        policies.ADMIN,
        answers={204: None},
    ),
)

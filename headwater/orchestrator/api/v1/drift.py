# SPDX-License-Identifier: Apache-2.0
"""/v1/drift and /v1/subclouds/{name}/drift: in what subclouds differ."""

from headwater.common.states import DriftAction
from headwater.db import drift, subclouds
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views


def _page(parts: Parts, call: Call, region_name: str | None) -> Reply:
    query = call.query
    if region_name is not None:
        subclouds.get(parts.database, region_name)
    action = query.get("action")
    found = drift.list_page(
        parts.database,
        limit=call.limit,
        after=query.get("marker", 0),
        region_name=region_name,
        resolved=query.get("resolved", False),
        endpoint_type=query.get("endpoint_type"),
        resource_type=query.get("resource_type"),
        action=None if action is None else DriftAction(action),
    )
    return call.page("drift", [views.drift(each) for each in found], lambda last: last["id"])


def listed(parts: Parts, call: Call) -> Reply:
    """A page of all, or of the subcloud that the query names."""
    return _page(parts, call, call.query.get("subcloud"))


def of_subcloud(parts: Parts, call: Call) -> Reply:
    """A page of the subcloud that the path names."""
    return _page(parts, call, call.parameters["name"])


def forget(parts: Parts, call: Call) -> Reply:
    """Forget all of one subcloud."""
    drift.forget(parts.database, subclouds.get(parts.database, call.parameters["name"]).id)
    return Reply(None, status=204)


_FILTERS = {
    "endpoint_type": schemas.text("Name of an endpoint type."),
    "resource_type": schemas.text("Such as user."),
    "action": schemas.one_of(DriftAction),
    "resolved": {
        "type": "boolean",
        "default": False,
        "description": "Also what was found before and is not any more.",
    },
}
_ANSWERS = {200: schemas.listed("drift", "Drift")}


ROUTES = (
    Route(
        "GET",
        "/v1/drift",
        "List in what subclouds differ from the central cloud, as their last audits found.",
        listed,
        "headwater:drift:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id", "integer", subcloud=schemas.text("Name of a subcloud."), **_FILTERS
        ),
        answers=_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/subclouds/{name}/drift",
        "List in what a subcloud differs from the central cloud.",
        of_subcloud,
        "headwater:drift:list_of_subcloud",
        policies.FLEET_READER,
        query=schemas.paged("id", "integer", **_FILTERS),
        answers=_ANSWERS,
    ),
    Route(
        "DELETE",
        "/v1/subclouds/{name}/drift",
        "Forget what audits found in a subcloud; its quarantines end with the next audit.",
        forget,
        "headwater:drift:forget",
        policies.ADMIN,
        answers={204: None},
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""/v1/endpoint_types, /v1/services, /v1/summary: the installation as a whole."""

from headwater.db import services, summary
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views


def endpoint_types(parts: Parts, call: Call) -> Reply:
    """All that are enabled."""
    found = [
        {
            "name": each.name,
            "service_type": each.service_type,
            "audit": parts.audit_modes[each.name].value,
            "resources": list(each.resources),
        }
        for each in parts.registry
    ]
    return Reply({"endpoint_types": found})


def all_services(parts: Parts, call: Call) -> Reply:
    """A page."""
    marker = call.query.get("marker", "")
    page = services.list_page(parts.database, limit=call.limit, marker=marker)
    return call.page("services", [views.service(each) for each in page], lambda last: last["id"])


def at_a_glance(parts: Parts, call: Call) -> Reply:
    """Numbers by state."""
    return Reply({"summary": views.summary(summary.read(parts.database))})


ROUTES = (
    Route(
        "GET",
        "/v1/endpoint_types",
        "List what the gateway fronts.",
        endpoint_types,
        "headwater:endpoint_types:list",
        policies.READER,
        answers={200: schemas.all_of("endpoint_types", "EndpointType")},
    ),
    Route(
        "GET",
        "/v1/services",
        "List the engines and engine workers, and what they hold.",
        all_services,
        "headwater:services:list",
        policies.FLEET_READER,
        query=schemas.paged("id"),
        answers={200: schemas.listed("services", "Service")},
    ),
    Route(
        "GET",
        "/v1/summary",
        "Show the fleet at a glance.",
        at_a_glance,
        "headwater:summary:show",
        policies.FLEET_READER,
        answers={200: schemas.single("summary", "Summary")},
    ),
)

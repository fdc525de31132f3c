# SPDX-License-Identifier: Apache-2.0
"""/v1/lanes: the lanes of all subclouds."""

from headwater.common.states import SyncStatus
from headwater.db import audits, lanes, subclouds
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views


def listed(parts: Parts, call: Call) -> Reply:
    """A page."""
    query = call.query
    name, status = query.get("subcloud"), query.get("sync_status")
    page = lanes.list_page(
        parts.database,
        limit=call.limit,
        after=query.get("marker", 0),
        subcloud_id=None if name is None else subclouds.get(parts.database, name).id,
        endpoint_type=query.get("endpoint_type"),
        sync_status=None if status is None else SyncStatus(status),
    )
    known = audits.of_lanes(parts.database, [each.id for each in page])
    entries = [views.lane(each, known[each.id]) for each in page]
    return call.page("lanes", entries, lambda last: last["id"])


ROUTES = (
    Route(
        "GET",
        "/v1/lanes",
        "List the lanes of all subclouds, in the order in which they were made.",
        listed,
        "headwater:lanes:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            "integer",
            subcloud=schemas.text("Name of a subcloud."),
            endpoint_type=schemas.text("Name of an endpoint type."),
            sync_status=schemas.one_of(SyncStatus),
        ),
        answers={200: schemas.listed("lanes", "Lane")},
    ),
)

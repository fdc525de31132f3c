# SPDX-License-Identifier: Apache-2.0
"""/v1/pod_events: what happened to pods and machines. Pods send theirs to `api.receiver`."""

from headwater.common.states import Severity
from headwater.db import pod_events
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views


def list_page(parts: Parts, call: Call) -> Reply:
    """A page, the newest first."""
    query = call.query
    severity = query.get("severity")
    page = pod_events.list_page(
        parts.database,
        limit=call.limit,
        before=query.get("marker"),
        pod_name=query.get("pod"),
        machine_uuid=query.get("machine"),
        severity=None if severity is None else Severity(severity),
    )
    return call.page(
        "pod_events", [views.pod_event(each) for each in page], lambda last: last["id"]
    )


#: All of /v1/pod_events.
ROUTES = (
    Route(
        "GET",
        "/v1/pod_events",
        "List what happened to pods and machines, the newest first.",
        list_page,
        "headwater:pod_events:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            "integer",
            pod=schemas.text("Name of a pod."),
            machine=schemas.text("Id of a machine."),
            severity=schemas.one_of(Severity),
        ),
        answers={200: schemas.listed("pod_events", "PodEvent")},
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""/v1/components: parts of pods and machines, as they were when they were last looked at."""

from headwater.common.errors import Conflict
from headwater.common.states import ComponentKind, PodService
from headwater.db import inventory, pods
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.tasks import Wish, refreshed


def list_page(parts: Parts, call: Call) -> Reply:
    """A page, from the database; with ?refresh the machine or the pod is read before."""
    query = call.query
    if "refresh" in query:
        late = refreshed(parts, call, *_wishes(parts, call))
        if late is not None:
            return late
    kind = query.get("kind")
    page = inventory.list_components(
        parts.database,
        limit=call.limit,
        after=query.get("marker"),
        kind=None if kind is None else ComponentKind(kind),
        pod_name=query.get("pod"),
        machine_uuid=query.get("machine"),
        node_name=query.get("node"),
    )
    entries = [views.component(each) for each in page]
    return call.page("components", entries, lambda last: last["id"])


def show(parts: Parts, call: Call) -> Reply:
    """One, from the database."""
    found = inventory.get_component(parts.database, call.parameters["id"])
    return Reply({"component": views.component(found)})


def _wishes(parts: Parts, call: Call) -> list[Wish]:
    """Drives, volumes and ports are read of a machine, everything else of a pod."""
    if "machine" in call.query:
        machine = pods.get_machine(parts.database, call.query["machine"])
        return [
            Wish(service, action, machine.pod_id, machine.uuid)
            for service, action in (
                (PodService.STORAGE, "read-storage"),
                (PodService.NETWORK, "read-ports"),
            )
        ]
    if "pod" in call.query:
        pod = pods.get(parts.database, call.query["pod"])
        return [Wish(PodService.COMPUTE, "sync-pod", pod.id)]
    raise Conflict("refresh needs machine or pod: all at once are not read anew.")


#: All of /v1/components.
ROUTES = (
    Route(
        "GET",
        "/v1/components",
        "List chassis, resource blocks, zones, drives, volumes and ports.",
        list_page,
        "headwater:components:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            kind=schemas.one_of(ComponentKind),
            pod=schemas.text("Name of a pod."),
            machine=schemas.text("Id of a machine."),
            node=schemas.text("Name of the node that has them to itself."),
            **schemas.REFRESH,
        ),
        answers={
            200: schemas.listed("components", "Component"),
            202: schemas.single("task", "Task"),
        },
    ),
    Route(
        "GET",
        "/v1/components/{id}",
        "Show a component.",
        show,
        "headwater:components:show",
        policies.FLEET_READER,
        answers={200: schemas.single("component", "Component")},
    ),
)

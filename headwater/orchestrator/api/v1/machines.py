# SPDX-License-Identifier: Apache-2.0
"""/v1/machines: the systems of all pods, and what is done to them."""

from headwater.common.errors import Conflict
from headwater.common.states import PodService
from headwater.db import pods
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.tasks import Wish, refreshed, submit


def list_page(parts: Parts, call: Call) -> Reply:
    """A page, from the database; with ?refresh the pod is read before."""
    if "refresh" in call.query:
        if "pod" not in call.query:
            raise Conflict("refresh needs pod: all pods at once are not read anew.")
        pod = pods.get(parts.database, call.query["pod"])
        late = refreshed(parts, call, Wish(PodService.COMPUTE, "sync-pod", pod.id))
        if late is not None:
            return late
    page = pods.list_machines(
        parts.database,
        limit=call.limit,
        after=call.query.get("marker"),
        pod_name=call.query.get("pod"),
        name=call.query.get("name"),
    )
    return call.page("machines", [views.machine(each) for each in page], lambda last: last["id"])


def show(parts: Parts, call: Call) -> Reply:
    """One, from the database; with ?refresh it is read before."""
    found = pods.get_machine(parts.database, call.parameters["id"])
    if "refresh" in call.query:
        wish = Wish(PodService.COMPUTE, "read-machine", found.pod_id, found.uuid)
        late = refreshed(parts, call, wish)
        if late is not None:
            return late
        found = pods.get_machine(parts.database, call.parameters["id"])
    return Reply({"machine": views.machine(found)})


def power(parts: Parts, call: Call) -> Reply:
    """Press the power button of one that nobody has to himself."""
    found = pods.get_machine(parts.database, call.parameters["id"])
    if found.node_name is not None:
        raise Conflict(f"The machine belongs to the node {found.node_name!r}: switch that.")
    parameters = {"action": call.body["action"], "owner": ""}
    wish = Wish(PodService.COMPUTE, "power-machine", found.pod_id, found.uuid, parameters)
    return submit(parts, call, wish)


_PATH = "/v1/machines/{id}"

#: All of /v1/machines.
ROUTES = (
    Route(
        "GET",
        "/v1/machines",
        "List machines as they were when they were last looked at.",
        list_page,
        "headwater:machines:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            pod=schemas.text("Name of a pod."),
            name=schemas.text("Name of a machine; pods may have some of one name."),
            **schemas.REFRESH,
        ),
        answers={
            200: schemas.listed("machines", "Machine"),
            202: schemas.single("task", "Task"),
        },
    ),
    Route(
        "GET",
        _PATH,
        "Show a machine as it was when it was last looked at.",
        show,
        "headwater:machines:show",
        policies.FLEET_READER,
        query=schemas.REFRESH,
        answers={200: schemas.single("machine", "Machine"), 202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/power",
        "Switch a machine on or off, shut it down or reset it.",
        power,
        "headwater:machines:power",
        policies.ADMIN,
        body=schemas.POWER,
        answers={202: schemas.single("task", "Task")},
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""/v1/batches: one action for all machines of the pods that have some labels."""

import uuid
from dataclasses import replace
from typing import Any

from headwater.common.errors import InvalidInput, NotFound
from headwater.common.states import PodService, TaskState
from headwater.db import pods, tasks
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1.tasks import Wish, new_task

_SERVICES = {
    "power": (PodService.COMPUTE, "power-machine"),
    "sync": (PodService.COMPUTE, "sync-pod"),
    "read_storage": (PodService.STORAGE, "read-storage"),
    "read_ports": (PodService.NETWORK, "read-ports"),
}


def add(parts: Parts, call: Call) -> Reply:
    """Write a task for each, in one transaction."""
    given = call.body["batch"]
    if ("power" in given) is not (given["action"] == "power"):
        raise InvalidInput("body.batch.power: goes with the action power, and only with it.")
    service, action = _SERVICES[given["action"]]
    targets = pods.targets(
        parts.database,
        given["labels"],
        machines=action != "sync-pod",
        nodes=given.get("nodes", False),
    )
    if not targets:
        raise NotFound("No pod has these labels and something to do this to.")
    batch = str(uuid.uuid4())
    parameters = {"action": given["power"]} if action == "power-machine" else {}
    new = new_task(parts, call, Wish(service, action, 0, "", parameters))
    tasks.submit_batch(
        parts.database,
        replace(new, batch=batch, batch_budget=given.get("budget", 5)),
        targets,
    )
    parts.wake_service(service)
    location = f"{call.base}/v1/batches/{batch}"
    return Reply({"batch": _view(parts, batch)}, 202, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """How many of its tasks are in which state."""
    return Reply(
        {"batch": _view(parts, call.parameters["id"])}, headers={"Cache-Control": "no-store"}
    )


def _view(parts: Parts, batch: str) -> dict[str, Any]:
    states = tasks.states_of(parts.database, batch)
    if not states:
        raise NotFound(f"There is no batch {batch!r}.")
    return {
        "id": batch,
        "total": sum(states.values()),
        "states": {state.value: states.get(state, 0) for state in TaskState},
    }


#: All of /v1/batches.
ROUTES = (
    Route(
        "POST",
        "/v1/batches",
        "Do something to all machines of the pods that have some labels, a few at a time.",
        add,
        "headwater:batches:add",
        policies.ADMIN,
        body=schemas.NEW_BATCH,
        answers={202: schemas.single("batch", "Batch")},
    ),
    Route(
        "GET",
        "/v1/batches/{id}",
        "Show how far a batch has come; its tasks are listed by /v1/tasks?batch=ID.",
        show,
        "headwater:batches:show",
        policies.FLEET_READER,
        answers={200: schemas.single("batch", "Batch")},
    ),
)

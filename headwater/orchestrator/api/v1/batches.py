# SPDX-License-Identifier: Apache-2.0
"""/v1/batches: one action for all machines of the pods that have some labels."""

import uuid
from dataclasses import replace
from typing import Any

from headwater.common.errors import NotFound
from headwater.common.states import PodService, PowerAction, TaskState
from headwater.db import pods, tasks
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1.tasks import Wish, new_task

_SERVICES = {
    **{action.value: (PodService.COMPUTE, "power-machine") for action in PowerAction},
    "sync": (PodService.COMPUTE, "sync-pod"),
    "read_storage": (PodService.STORAGE, "read-storage"),
    "read_ports": (PodService.NETWORK, "read-ports"),
}


def add(parts: Parts, call: Call) -> Reply:
    """Write a task for each, in one transaction."""
    given = call.body["batch"]
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
    parameters = {}
    if action == "power-machine":
        parameters["action"] = given["action"]
        if not given.get("nodes", False):
            # By the time it runs, a machine may have become somebody's.
            parameters["owner"] = ""
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

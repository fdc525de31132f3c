# SPDX-License-Identifier: Apache-2.0
"""/v1/tasks: tracked operations on pods, and how far they have come."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headwater.common.states import PodService, TaskState
from headwater.db import tasks
from headwater.db.pod_records import NewTask, Task
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.events import events_of
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views


def submit(
    parts: Parts,
    call: Call,
    service: PodService,
    action: str,
    pod_id: int,
    target: str = "",
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Reply:
    """Write a task, wake those who run it, and answer with it."""
    written = tasks.submit(
        parts.database,
        NewTask(
            service=service,
            action=action,
            pod_id=pod_id,
            target=target,
            parameters=parts.key_ring.encrypt(dict(parameters)),
            deadline=call.body.get("deadline", schemas.USUAL_DEADLINE),
            caller=call.caller,
        ),
    )
    parts.wake_service(service)
    return Reply({"task": views.task(written)}, 202, _location(call, written))


def list_page(parts: Parts, call: Call) -> Reply:
    """A page, the newest first."""
    state = call.query.get("state")
    page = tasks.list_page(
        parts.database,
        limit=call.limit,
        before=call.query.get("marker"),
        state=None if state is None else TaskState(state),
        pod_name=call.query.get("pod"),
        target=call.query.get("machine"),
    )
    return call.page("tasks", [views.task(each) for each in page], lambda last: last["id"])


def show(parts: Parts, call: Call) -> Reply:
    """One; with ?wait once it has ended."""
    found = parts.tasks.settled(_get(parts, call), call.query.get("wait", 0.0))
    return Reply({"task": views.task(found)}, headers={"Cache-Control": "no-store"})


def watch(parts: Parts, call: Call) -> Reply:
    """How it comes on, as it does."""
    last = call.headers.get("last-event-id")
    stream = events_of(parts.tasks, _get(parts, call), views.task, last)
    return Reply(None, events=stream, headers={"Cache-Control": "no-store"})


def cancel(parts: Parts, call: Call) -> Reply:
    """Ask it to end at its next step."""
    found = _get(parts, call)
    tasks.cancel(parts.database, found.uuid)
    parts.wake_service(found.service)
    now = tasks.get(parts.database, found.uuid)
    return Reply({"task": views.task(now)}, 202, _location(call, now))


def _get(parts: Parts, call: Call) -> Task:
    """The task that the path names, if the caller may have to do with it."""
    found = tasks.get(parts.database, call.parameters["id"])
    call.authorize({"project_id": found.project_id, "user_id": found.user_id})
    return found


def _location(call: Call, found: Task) -> dict[str, str]:
    return {"Location": f"{call.base}/v1/tasks/{found.uuid}"}


_PATH = "/v1/tasks/{id}"

#: All of /v1/tasks.
ROUTES = (
    Route(
        "GET",
        "/v1/tasks",
        "List tasks, the newest first.",
        list_page,
        "headwater:tasks:list",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            state=schemas.one_of(TaskState),
            pod=schemas.text("Name of a pod."),
            machine=schemas.text("Id of a machine."),
        ),
        answers={200: schemas.listed("tasks", "Task")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a task.",
        show,
        "headwater:tasks:show",
        policies.JOB_READER,
        query=schemas.WAIT,
        answers={200: schemas.single("task", "Task")},
        by_target=True,
    ),
    Route(
        "GET",
        f"{_PATH}/events",
        "Watch a task: server-sent events named progress, and end when it has ended.",
        watch,
        "headwater:tasks:events",
        policies.JOB_READER,
        answers={200: None},
        by_target=True,
        streams=True,
    ),
    Route(
        "POST",
        f"{_PATH}/cancel",
        "Ask a task to end: at once where it has not begun, else at its next step.",
        cancel,
        "headwater:tasks:cancel",
        policies.ADMIN,
        body=schemas.NOTHING,
        answers={202: schemas.single("task", "Task")},
        by_target=True,
    ),
)

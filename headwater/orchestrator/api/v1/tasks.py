# SPDX-License-Identifier: Apache-2.0
"""/v1/tasks: tracked operations on pods, and how far they have come."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.common.errors import Conflict
from headwater.common.states import PodService, TaskState
from headwater.db import tasks
from headwater.db.pod_records import NewTask, Task
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.events import events_of
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Forbidden, Reply, Route
from headwater.orchestrator.api.v1 import views


@dataclass(frozen=True)
class Wish:
    """A task that a client asks for."""

    service: PodService
    action: str
    pod_id: int
    #: uuid of a machine or of a node; empty for the pod as a whole.
    target: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def submit(parts: Parts, call: Call, wish: Wish) -> Reply:
    """Write a task, wake those who run it, and answer with it."""
    return accepted(call, _written(parts, call, wish))


def _written(parts: Parts, call: Call, wish: Wish) -> Task:
    written = tasks.submit(parts.database, new_task(parts, call, wish))
    parts.wake_service(wish.service)
    return written


def new_task(parts: Parts, call: Call, wish: Wish) -> NewTask:
    """As the database takes it."""
    return NewTask(
        service=wish.service,
        action=wish.action,
        pod_id=wish.pod_id,
        target=wish.target,
        parameters=parts.key_ring.encrypt(dict(wish.parameters)),
        deadline=call.body.get("deadline", schemas.USUAL_DEADLINE),
        caller=call.caller,
    )


def accepted(call: Call, written: Task) -> Reply:
    """202 with a task, and where it can be asked for."""
    return Reply({"task": views.task(written)}, 202, _location(call, written))


def refreshed(parts: Parts, call: Call, *wishes: Wish) -> Reply | None:
    """Do what ?refresh asks for: None once it is done, or 202 where it takes longer.

    Whoever may do this is whoever may `POST /v1/pods/NAME/sync`; raises Forbidden.
    """
    if not call.allows("headwater:pods:sync", {}):
        raise Forbidden("The rule headwater:pods:sync does not let you read pods anew.")
    read = awaited(parts, call, call.query["refresh"], *wishes)
    return read if isinstance(read, Reply) else None


def awaited(parts: Parts, call: Call, patience: float, *wishes: Wish) -> Reply | Sequence[Task]:
    """Tasks that have completed within `patience` seconds, or 202 with one that has not.

    Raises Conflict with the reason where one ends otherwise.
    """
    # Whoever asks for what is being read already waits for that.
    written = [
        tasks.open_of(parts.database, wish.pod_id, wish.target, wish.action)
        or _written(parts, call, wish)
        for wish in wishes
    ]
    until = time.monotonic() + patience
    completed = []
    for each in written:
        found = parts.tasks.settled(each, max(0.0, until - time.monotonic()))
        if found.finished_at is None:
            return accepted(call, found)
        if found.state is not TaskState.COMPLETED:
            raise Conflict(f"It could not be read anew: {found.error or found.state}")
        completed.append(found)
    return completed


def ended(parts: Parts, call: Call, patience: float, wish: Wish) -> Task:
    """A task as it is once it has ended, or after `patience` seconds."""
    return parts.tasks.settled(_written(parts, call, wish), patience)


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
        batch=call.query.get("batch"),
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
            machine=schemas.text("Id of a machine, or of a node that is composed."),
            batch=schemas.text("Id of a batch."),
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

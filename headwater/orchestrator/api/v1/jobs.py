# SPDX-License-Identifier: Apache-2.0
"""/v1/jobs: changes, how far they have come, and what to do about them."""

from dataclasses import replace

from headwater.common.states import JobState, RequestState
from headwater.db import jobs, requests, subclouds
from headwater.db.records import JobFilter, JobSummary
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.events import events_of
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route, moment
from headwater.orchestrator.api.v1 import views

#: Passed by those who see the jobs of all projects.
_ALL_PROJECTS = "headwater:jobs:list_all"


def list_page(parts: Parts, call: Call) -> Reply:
    """A page; whoever may not see all sees the own project's."""
    query = call.query
    name, state = query.get("subcloud"), query.get("state")
    only = JobFilter(
        endpoint_type=query.get("endpoint_type"),
        resource_type=query.get("resource_type"),
        master_id=query.get("resource_id"),
        state=None if state is None else JobState(state),
        subcloud_id=None if name is None else subclouds.get(parts.database, name).id,
        user=query.get("user"),
        project_id=query.get("project_id"),
        request_id=query.get("request_id"),
        since=moment(query.get("since")),
    )
    if not call.allows(_ALL_PROJECTS, {}):
        # A token without a project has no jobs.
        own = call.caller.project_id or ""
        if only.project_id not in (None, own) or not own:
            return call.page("jobs", [], lambda last: last["id"])
        only = replace(only, project_id=own)
    page = jobs.list_page(
        parts.database,
        limit=call.limit,
        marker=query.get("marker"),
        ascending=query.get("sort_dir") == "asc",
        only=only,
    )
    return call.page("jobs", [views.job(each) for each in page], lambda last: last["id"])


def show(parts: Parts, call: Call) -> Reply:
    """One; with ?wait once nothing of it is left to run."""
    found = parts.watch.settled(_get(parts, call), call.query.get("wait", 0.0))
    return Reply({"job": views.job(found)}, headers={"Cache-Control": "no-store"})


def list_requests(parts: Parts, call: Call) -> Reply:
    """A page of its requests."""
    state = call.query.get("state")
    page = requests.of_job(
        parts.database,
        _get(parts, call).job.id,
        limit=call.limit,
        after=call.query.get("marker", ""),
        state=None if state is None else RequestState(state),
    )
    entries = [views.request(each) for each in page]
    return call.page("requests", entries, lambda last: last["subcloud"])


def watch(parts: Parts, call: Call) -> Reply:
    """How it comes on, as it does."""
    found = _get(parts, call)
    stream = events_of(parts.watch, found, views.job, call.headers.get("last-event-id"))
    return Reply(None, events=stream, headers={"Cache-Control": "no-store"})


def retry(parts: Parts, call: Call) -> Reply:
    """Queue what failed again."""
    found = _get(parts, call)
    number = parts.fleet.retry(found.job)
    parts.wake()
    return Reply({"requests": number}, 202, _location(call, found))


def cancel(parts: Parts, call: Call) -> Reply:
    """Give up what waits and what failed."""
    found = _get(parts, call)
    number, running = parts.fleet.cancel(found.job)
    parts.wake()
    return Reply({"cancelled": number, "running": running}, 202, _location(call, found))


def _get(parts: Parts, call: Call) -> JobSummary:
    """The job that the path names, if the caller may have to do with it."""
    found = jobs.find(parts.database, call.parameters["id"])
    call.authorize({"project_id": found.job.project_id, "user_id": found.job.user_id})
    return found


def _location(call: Call, found: JobSummary) -> dict[str, str]:
    return {"Location": f"{call.base}/v1/jobs/{found.job.uuid}"}


_PATH = "/v1/jobs/{id}"

#: All of /v1/jobs.
ROUTES = (
    Route(
        "GET",
        "/v1/jobs",
        "List jobs, the newest first; those of the own project where no more is allowed.",
        list_page,
        "headwater:jobs:list",
        policies.READER,
        query=schemas.paged(
            "id",
            sort_dir={"type": "string", "enum": ["asc", "desc"], "default": "desc"},
            endpoint_type=schemas.text("Name of an endpoint type."),
            resource_type=schemas.text("Such as user."),
            resource_id=schemas.text("Id of the resource in the central cloud."),
            state=schemas.one_of(JobState),
            subcloud=schemas.text("Name of a subcloud that the job is for."),
            user=schemas.text("Id or name of who made the change."),
            project_id=schemas.text("Project of who made the change."),
            request_id=schemas.text("The client's own request id."),
            since={
                **schemas.text("Those that were made then or later."),
                "format": "date-time",
            },
        ),
        answers={200: schemas.listed("jobs", "Job")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a job by its id or by the client's own request id.",
        show,
        "headwater:jobs:show",
        policies.JOB_READER,
        query=schemas.WAIT,
        answers={200: schemas.single("job", "Job")},
        by_target=True,
    ),
    Route(
        "GET",
        f"{_PATH}/requests",
        "List the requests of a job, one per subcloud.",
        list_requests,
        "headwater:jobs:requests",
        policies.JOB_READER,
        query=schemas.paged("subcloud", state=schemas.one_of(RequestState)),
        answers={200: schemas.listed("requests", "Request")},
        by_target=True,
    ),
    Route(
        "GET",
        f"{_PATH}/events",
        "Watch a job: server-sent events named progress, and end when nothing is left to run.",
        watch,
        "headwater:jobs:events",
        policies.JOB_READER,
        answers={200: None},
        by_target=True,
        streams=True,
    ),
    Route(
        "POST",
        f"{_PATH}/retry",
        "Let the failed requests of a job run again.",
        retry,
        "headwater:jobs:retry",
        policies.JOB_MEMBER,
        body=schemas.NOTHING,
        answers={202: schemas.counted("requests")},
        by_target=True,
    ),
    Route(
        "POST",
        f"{_PATH}/cancel",
        "Give up the requests of a job that wait, and those that failed.",
        cancel,
        "headwater:jobs:cancel",
        policies.ADMIN,
        body=schemas.NOTHING,
        answers={202: schemas.counted("cancelled", "running")},
        by_target=True,
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""/v1/telemetry_policies, and what is read because of them: values of machines."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headwater.common import clock
from headwater.common.states import Severity
from headwater.db import metrics, pods, telemetry
from headwater.db.telemetry_records import TelemetryPolicy, Threshold
from headwater.orchestrator.api import exposition, policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route, moment
from headwater.orchestrator.api.v1 import views

_KEY = "telemetry_policy"


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    page = telemetry.list_page(
        parts.database, limit=call.limit, marker=call.query.get("marker", "")
    )
    entries = [views.telemetry_policy(each) for each in page]
    return call.page("telemetry_policies", entries, lambda last: last["name"])


def add(parts: Parts, call: Call) -> Reply:
    """Store; engines find what is due because of it."""
    given = _values(call.body[_KEY])
    added = telemetry.add(
        parts.database,
        TelemetryPolicy(
            name=given["name"],
            description=given.get("description"),
            labels=given.get("labels", {}),
            interval=given["interval"],
            thresholds=given.get("thresholds", ()),
            created_at=clock.now(),
        ),
    )
    location = f"{call.base}/v1/telemetry_policies/{quote(added.name, safe='')}"
    return Reply({_KEY: views.telemetry_policy(added)}, 201, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One."""
    found = telemetry.get(parts.database, call.parameters["name"])
    return Reply({_KEY: views.telemetry_policy(found)})


def update(parts: Parts, call: Call) -> Reply:
    """Change what is given."""
    changed = telemetry.update(parts.database, call.parameters["name"], _values(call.body[_KEY]))
    return Reply({_KEY: views.telemetry_policy(changed)})


def delete(parts: Parts, call: Call) -> Reply:
    """Forget one."""
    telemetry.delete(parts.database, call.parameters["name"])
    return Reply(None, status=204)


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    if "thresholds" in values:
        values["thresholds"] = tuple(
            Threshold(**{**each, "severity": Severity(each["severity"])})
            for each in values["thresholds"]
        )
    return values


def of_machine(parts: Parts, call: Call) -> Reply:
    """A page of the latest values; with ?since of the history."""
    machine = pods.get_machine(parts.database, call.parameters["id"]).uuid
    since = moment(call.query.get("since"))
    after, metric = call.query.get("marker", 0), call.query.get("metric")
    if since is None:
        page = metrics.latest(parts.database, machine, limit=call.limit, after=after, metric=metric)
    else:
        page = metrics.history(
            parts.database, machine, since, limit=call.limit, after=after, metric=metric
        )
    reply = call.page("metrics", [views.metric(each) for each in page], lambda last: last["id"])
    alarms = [views.alarm(each) for each in metrics.alarms(parts.database, machine)]
    return Reply({**(reply.document or {}), "alarms": alarms})


def expose(parts: Parts, call: Call) -> Reply:
    """All of it, for Prometheus."""
    return Reply(
        None,
        events=exposition.text(parts.database),
        headers={
            "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
            "Cache-Control": "no-store",
        },
    )


_PATH = "/v1/telemetry_policies/{name}"
_ONE = {200: schemas.single(_KEY, "TelemetryPolicy")}

#: All of them.
ROUTES = (
    Route(
        "GET",
        "/v1/telemetry_policies",
        "List telemetry policies by name.",
        list_page,
        "headwater:telemetry_policies:list",
        policies.FLEET_READER,
        query=schemas.paged("name"),
        answers={200: schemas.listed("telemetry_policies", "TelemetryPolicy")},
    ),
    Route(
        "POST",
        "/v1/telemetry_policies",
        "Add a telemetry policy: the pods with its labels are polled from now on.",
        add,
        "headwater:telemetry_policies:add",
        policies.ADMIN,
        body=schemas.NEW_TELEMETRY_POLICY,
        answers={201: schemas.single(_KEY, "TelemetryPolicy")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a telemetry policy.",
        show,
        "headwater:telemetry_policies:show",
        policies.FLEET_READER,
        answers=_ONE,
    ),
    Route(
        "PATCH",
        _PATH,
        "Change a telemetry policy.",
        update,
        "headwater:telemetry_policies:update",
        policies.ADMIN,
        body=schemas.CHANGED_TELEMETRY_POLICY,
        answers=_ONE,
    ),
    Route(
        "DELETE",
        _PATH,
        "Forget a telemetry policy; what was read because of it stays until it is old.",
        delete,
        "headwater:telemetry_policies:delete",
        policies.ADMIN,
        answers={204: None},
    ),
    Route(
        "GET",
        "/v1/machines/{id}/metrics",
        "Show what the sensors of a machine showed last, or since a time, and what is wrong.",
        of_machine,
        "headwater:machines:metrics",
        policies.FLEET_READER,
        query=schemas.paged(
            "id",
            "integer",
            metric=schemas.text("Only this one, such as power_watts."),
            since={
                **schemas.text("The history since then, the oldest first."),
                "format": "date-time",
            },
        ),
        answers={200: schemas.with_all(schemas.listed("metrics", "Metric"), "alarms", "Alarm")},
    ),
    Route(
        "GET",
        "/v1/metrics",
        "Show power, health and sensors of all machines in Prometheus' text format 0.0.4.",
        expose,
        "headwater:metrics:show",
        policies.FLEET_READER,
        answers={200: None},
        is_text=True,
    ),
)

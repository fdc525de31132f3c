# SPDX-License-Identifier: Apache-2.0
"""Rows that many tests begin with, written through the product's own functions."""

from collections.abc import Mapping
from typing import Any

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.states import Availability, Management, Operation, RequestState
from headwater.db import claims, jobs, lanes, subclouds
from headwater.db import requests as orch_requests
from headwater.db.connection import Database
from headwater.db.models import subcloud, subcloud_sync
from headwater.db.records import (
    AcceptedChange,
    ClaimedLane,
    Job,
    Lane,
    NewIntent,
    NewSubcloud,
    QueuedRequest,
    RequestResult,
    Subcloud,
)

#: Stands for an encrypted text where nothing decrypts it.
CIPHER = "gAAAA-not-really-encrypted"
#: Seconds; no test lasts that long.
LEASE = 600.0
#: A moment that has passed for everybody.
PAST = clock.after(-3600)
FUTURE = clock.after(3600)


def new_subcloud(name: str = "one", **changes: Any) -> NewSubcloud:
    values = {"auth_url": "http://one.example:5000/v3", "username": "admin", "credentials": CIPHER}
    return NewSubcloud(name, **{**values, **changes})


def add_subcloud(
    database: Database,
    name: str = "one",
    *,
    managed: bool = True,
    endpoint_types: tuple[str, ...] = ("identity",),
    **changes: Any,
) -> Subcloud:
    added = subclouds.add(database, new_subcloud(name, **changes), endpoint_types)
    return subclouds.set_management(database, name, Management.MANAGED) if managed else added


def measured(database: Database, of: Subcloud, state: Availability) -> None:
    """As if probes had found it so."""
    with database.write() as connection:
        connection.execute(
            subcloud.update().where(subcloud.c.id == of.id).values(availability_status=state)
        )


def audited(database: Database) -> None:
    """As if the last audits of all lanes had compared, and found nothing."""
    with database.write() as connection:
        connection.execute(subcloud_sync.update().values(audited_at=PAST))


def add_subclouds(database: Database, number: int) -> list[Subcloud]:
    """`number` managed subclouds named cloud0000, cloud0001, ..., in one transaction."""
    now = clock.now()
    rows = [
        {
            "region_name": f"cloud{index:04}",
            "auth_url": "http://cloud.example:5000/v3",
            "username": "admin",
            "user_domain_name": "Default",
            "project_name": "admin",
            "project_domain_name": "Default",
            "credentials": CIPHER,
            "management_state": Management.MANAGED,
            "created_at": now,
            "updated_at": now,
        }
        for index in range(number)
    ]
    with database.write() as connection:
        connection.execute(subcloud.insert(), rows)
    lanes.ensure(database, ["identity"])
    names = {row["region_name"] for row in rows}
    page = subclouds.list_page(database, limit=number + 1000)
    return [found for found in page if found.region_name in names]


def intent(
    operation: Operation = Operation.UPDATE,
    master_id: str | None = "u1",
    *,
    resource_type: str = "user",
    endpoint_type: str = "identity",
    resource_name: str | None = None,
    resource_info: str = CIPHER,
    caller: Caller | None = None,
) -> NewIntent:
    return NewIntent(
        endpoint_type=endpoint_type,
        resource_type=resource_type,
        operation=operation,
        master_id=master_id,
        resource_name=resource_name,
        resource_info=resource_info,
        caller=caller or Caller(),
    )


def change(
    operation: Operation = Operation.UPDATE,
    master_id: str = "u1",
    natural_key: Mapping[str, Any] | None = None,
    *,
    resource_name: str | None = None,
    resource_info: str = CIPHER,
    request_id: str | None = None,
) -> AcceptedChange:
    return AcceptedChange(
        operation=operation,
        master_id=master_id,
        natural_key=natural_key,
        resource_name=resource_name,
        resource_info=resource_info,
        request_id=request_id,
    )


def accepted_job(
    database: Database,
    operation: Operation = Operation.UPDATE,
    master_id: str = "u1",
    *,
    natural_key: Mapping[str, Any] | None = None,
    resource_type: str = "user",
    endpoint_type: str = "identity",
    resource_info: str = CIPHER,
) -> Job:
    """A job that went the usual way: intent, then acceptance. Nobody was notified."""
    job = jobs.open_intent(
        database,
        intent(
            operation,
            None if operation is Operation.CREATE else master_id,
            resource_type=resource_type,
            endpoint_type=endpoint_type,
            resource_info=resource_info,
        ),
    )
    jobs.accept(
        database, job, change(operation, master_id, natural_key, resource_info=resource_info)
    )
    return jobs.get(database, job.uuid).job


def claim(
    database: Database,
    owner: str = "worker",
    *,
    lease: float = LEASE,
    limit: int = 1000,
    endpoint_types: tuple[str, ...] = ("identity",),
    per_subcloud: int = 100,
) -> list[ClaimedLane]:
    """Claim as a worker does when it looks at the database."""
    claims.rescue(database, endpoint_types)
    wanted = claims.Wanted(endpoint_types, limit, per_subcloud)
    return list(claims.claim(database, wanted, owner, lease))


def end_leases(database: Database) -> None:
    """Let all leases end, as if their holders had been away for too long."""
    with database.write() as connection:
        connection.execute(subcloud_sync.update().values(lease_until=PAST))


def claimed_lane(database: Database, owner: str = "worker", *, lease: float = LEASE) -> ClaimedLane:
    """The only lane that is due, after the wake-up for identity."""
    lanes.request(database, ["identity"])
    (lane,) = claim(database, owner, lease=lease)
    return lane


def lane_of(database: Database, of: Subcloud, endpoint_type: str = "identity") -> Lane:
    (lane,) = [
        lane
        for lane in lanes.of_subclouds(database, [of.id])
        if lane.endpoint_type == endpoint_type
    ]
    return lane


def result(
    request: QueuedRequest, state: RequestState = RequestState.COMPLETED, **changes: Any
) -> RequestResult:
    now = clock.now()
    values = {
        "request_id": request.id,
        "state": state,
        "try_count": request.try_count + 1,
        "error": None,
        "started_at": now,
        "finished_at": None if state is RequestState.QUEUED else now,
    }
    return RequestResult(**{**values, **changes})


def finish_requests(
    database: Database, lane: ClaimedLane, state: RequestState = RequestState.COMPLETED
) -> list[QueuedRequest]:
    """Run all of a lane's requests to `state` and return them; the lane stays claimed."""
    batch = orch_requests.next_batch(database, lane, 1000)
    orch_requests.save_results(
        database, lane, [result(request, state) for request in batch.requests], LEASE
    )
    return list(batch.requests)


def run_lane(
    database: Database, state: RequestState = RequestState.COMPLETED
) -> list[QueuedRequest]:
    """One whole turn of the only lane: asked for, claimed, run to `state`, released."""
    lane = claimed_lane(database)
    done = finish_requests(database, lane, state)
    wakeups = orch_requests.next_batch(database, lane, 1).wakeups
    lanes.release(database, lane, seen_wakeups=wakeups)
    return done

# SPDX-License-Identifier: Apache-2.0
"""Rows as frozen values: the only thing that leaves this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.common.context import Caller
from headwater.common.states import (
    Availability,
    IntentState,
    Management,
    Operation,
    RequestState,
    SyncRequest,
    SyncStatus,
)


@dataclass(frozen=True)
class Subcloud:
    """A managed cloud."""

    id: int
    region_name: str
    description: str | None
    auth_url: str
    username: str
    user_domain_name: str
    project_name: str
    project_domain_name: str
    #: Encrypted; `common.secrets.KeyRing.decrypt` gives an object with the key `password`.
    credentials: str
    management_state: Management
    availability_status: Availability
    created_at: datetime
    #: Changes with every change of the access data; sessions are cached by it.
    updated_at: datetime


@dataclass(frozen=True)
class NewSubcloud:
    """What is needed to add a subcloud; `credentials` is encrypted already."""

    region_name: str
    auth_url: str
    username: str
    credentials: str
    user_domain_name: str = "Default"
    project_name: str = "admin"
    project_domain_name: str = "Default"
    description: str | None = None


@dataclass(frozen=True)
class Lane:
    """The ordered line of requests of one (subcloud, endpoint type)."""

    id: int
    subcloud_id: int
    region_name: str
    endpoint_type: str
    sync_request: SyncRequest
    sync_status: SyncStatus
    pending: int
    failed: int
    next_try_at: datetime | None
    lease_owner: str | None
    last_error: str | None


@dataclass(frozen=True)
class ClaimedLane:
    """A lane that the reader of this record holds until its lease ends."""

    id: int
    subcloud_id: int
    endpoint_type: str
    generation: int
    failures: int


@dataclass(frozen=True)
class Job:
    """One change."""

    id: int
    uuid: str
    endpoint_type: str
    resource_type: str
    operation: Operation
    master_id: str | None
    #: What the change was about, for people: the name it had then.
    resource_name: str | None
    intent_state: IntentState
    user_id: str | None
    user_name: str | None
    project_id: str | None
    request_id: str | None
    created_at: datetime
    accepted_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class NewIntent:
    """A change that is about to be forwarded; `resource_info` is encrypted already."""

    endpoint_type: str
    resource_type: str
    operation: Operation
    master_id: str | None
    resource_info: str
    caller: Caller
    resource_name: str | None = None
    #: How subclouds know the resource until the change is replayed there.
    key_before: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AcceptedChange:
    """What the central cloud did, as its answer tells; `resource_info` is encrypted already."""

    operation: Operation
    master_id: str
    natural_key: Mapping[str, Any] | None
    resource_info: str
    resource_name: str | None = None
    #: The body carries fields that cannot be read from any cloud.
    has_secrets: bool = False
    #: The central cloud's request id; kept where the client gave none of its own.
    request_id: str | None = None


@dataclass(frozen=True)
class JobSummary:
    """A job with the number of its requests in each state."""

    job: Job
    counts: Mapping[RequestState, int]


@dataclass(frozen=True)
class Request:
    """One job for one subcloud, as an operator sees it."""

    region_name: str
    state: RequestState
    try_count: int
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class QueuedRequest:
    """One job for one subcloud, as a worker runs it."""

    id: int
    job_id: int
    job_uuid: str
    endpoint_type: str
    resource_type: str
    operation: Operation
    master_id: str
    #: Encrypted; None when the job's secrets were dropped already.
    resource_info: str | None
    try_count: int
    #: A later job on the same resource ran in this lane before (this one was failed and retried).
    superseded: bool
    #: One of those later jobs set the secrets anew.
    secrets_superseded: bool = False


@dataclass(frozen=True)
class Batch:
    """The next requests of a lane, and its wake-up counter as it was before they were read."""

    wakeups: int
    region_name: str
    availability: Availability
    requests: tuple[QueuedRequest, ...]


@dataclass(frozen=True)
class MappedResource:
    """A resource of the central cloud and, where known, its id in one subcloud."""

    resource_type: str
    master_id: str
    natural_key: Mapping[str, Any] | None
    subcloud_resource_id: str | None
    #: A delete of it was accepted.
    deleted: bool = False


@dataclass(frozen=True)
class MappingChange:
    """A fact about a subcloud that a replay found out; None forgets the mapping."""

    endpoint_type: str
    resource_type: str
    master_id: str
    natural_key: Mapping[str, Any] | None
    subcloud_resource_id: str | None


@dataclass(frozen=True)
class RequestResult:
    """What became of one request in one try."""

    request_id: int
    state: RequestState
    try_count: int
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    mappings: tuple[MappingChange, ...] = ()

# SPDX-License-Identifier: Apache-2.0
"""Rows as frozen values: the only thing that leaves this package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.common.context import Caller
from headwater.common.states import (
    PENDING,
    AuditStatus,
    Availability,
    DriftAction,
    DriftKind,
    InitialSync,
    IntentState,
    JobState,
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
    #: The operator's word, which measuring does not undo.
    availability_override: Availability | None
    #: Tries in a row that it left without an answer.
    failures: int
    #: Until then its circuit breaker is open, from then on half-open; None while it is closed.
    breaker_until: datetime | None
    #: Raised by every change that an operator makes.
    generation: int
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
    management_state: Management
    availability_status: Availability
    endpoint_type: str
    sync_request: SyncRequest
    sync_status: SyncStatus
    sync_status_changed_at: datetime | None
    pending: int
    failed: int
    #: When the central cloud accepted what waits the longest.
    oldest_pending_at: datetime | None
    next_try_at: datetime | None
    lease_owner: str | None
    last_error: str | None


@dataclass(frozen=True)
class LaneAudit:
    """What audits know of a lane."""

    status: AuditStatus
    error: str | None
    audited_at: datetime | None
    next_audit_at: datetime | None
    initial_sync: InitialSync
    #: Resources that the subcloud should have, by type; empty before the first audit.
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Finding:
    """One difference between a subcloud and the central cloud, and what is done about it."""

    kind: DriftKind
    resource_type: str
    #: The id in the central cloud; None for what headwater did not bring to the subcloud.
    master_id: str | None
    #: The same for the same difference at every audit; unique within lane and type.
    drift_key: str
    name: str
    fields: tuple[str, ...]
    action: DriftAction


@dataclass(frozen=True)
class Drift:
    """A difference as it is reported."""

    id: int
    region_name: str
    endpoint_type: str
    resource_type: str
    drift_key: str
    name: str
    kind: DriftKind
    fields: tuple[str, ...]
    action: DriftAction
    first_seen_at: datetime
    last_seen_at: datetime
    times_seen: int
    repairs: int
    resolved_at: datetime | None


@dataclass(frozen=True)
class UnmanagedResource:
    """A resource that audits leave alone in one subcloud."""

    region_name: str
    endpoint_type: str
    resource_type: str
    #: The id in the central cloud, or `/` and the id in the subcloud.
    drift_key: str
    created_at: datetime


@dataclass(frozen=True)
class ClaimedLane:
    """A lane that the reader of this record holds until its lease ends."""

    id: int
    subcloud_id: int
    endpoint_type: str
    generation: int
    failures: int

    def __str__(self) -> str:
        return f"Lane {self.id}"


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

    @property
    def pending(self) -> int:
        """How many requests are left to run."""
        return sum(self.counts.get(state, 0) for state in PENDING)

    @property
    def state(self) -> JobState:
        """Where it stands as a whole."""
        if self.job.intent_state is IntentState.OPEN:
            return JobState.OPEN
        if self.pending:
            return JobState.IN_PROGRESS
        return JobState.FAILED if self.counts.get(RequestState.FAILED) else JobState.COMPLETED


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are listed; None is any."""

    endpoint_type: str | None = None
    resource_type: str | None = None
    master_id: str | None = None
    state: JobState | None = None
    subcloud_id: int | None = None
    #: Id or name of the caller.
    user: str | None = None
    project_id: str | None = None
    request_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Service:
    """A process that works, or did."""

    name: str
    kind: str
    host: str
    pid: int
    version: str
    started_at: datetime
    last_seen_at: datetime
    alive: bool
    #: Lanes and tasks that it holds.
    lanes: int
    tasks: int


@dataclass(frozen=True)
class FleetSummary:
    """An installation at a glance."""

    management: Mapping[Management, int]
    #: Of managed subclouds, as all that follows.
    availability: Mapping[Availability, int]
    sync_status: Mapping[SyncStatus, int]
    requests: Mapping[RequestState, int]
    #: Seconds since the oldest waiting request of each lane that has one, the smallest first.
    lags: Sequence[float]


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
    subcloud: Subcloud
    requests: tuple[QueuedRequest, ...]
    #: The lane is to be audited once its requests have run.
    audit_wanted: bool = False
    #: With lists that are newer than the question.
    audit_fresh: bool = False
    #: That audit is part of a first full alignment.
    initial_sync: bool = False


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

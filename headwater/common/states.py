# SPDX-License-Identifier: Apache-2.0
"""Every state, written once, with the transitions that are allowed.

Words and values are those of the peer (StarlingX distcloud's dcorch) wherever it has one, so that
its operators find them again in tables and output.
"""

from collections.abc import Mapping
from enum import StrEnum


class IntentState(StrEnum):
    """Where an orch job stands with respect to the central cloud's answer."""

    OPEN = "open"
    """Written before forwarding; the answer is not known (yet)."""
    ACCEPTED = "accepted"
    """The central cloud did it; every managed subcloud has a request. A refused job is deleted."""


class Operation(StrEnum):
    """What a job does to its resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ALIGN = "align"
    """Bring the resource to the state that the central cloud has when the request runs."""


class RequestState(StrEnum):
    """State of an orch request: one job for one subcloud."""

    QUEUED = "queued"
    """Waits for its turn in the lane."""
    IN_PROGRESS = "in-progress"
    """A worker has read it and replays it, or will within the same batch."""
    COMPLETED = "completed"
    """The subcloud has the change."""
    FAILED = "failed"
    """Given up after the configured tries; the lane went on. An operator may retry it."""


#: From which states a request may reach a state. Writers put it into their WHERE clause.
REQUEST_SOURCES: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.QUEUED: frozenset({RequestState.IN_PROGRESS, RequestState.FAILED}),
    RequestState.IN_PROGRESS: frozenset({RequestState.QUEUED, RequestState.IN_PROGRESS}),
    RequestState.COMPLETED: frozenset({RequestState.IN_PROGRESS}),
    RequestState.FAILED: frozenset({RequestState.IN_PROGRESS}),
}

#: Requests in these states still have to run.
PENDING = (RequestState.QUEUED, RequestState.IN_PROGRESS)


class SyncRequest(StrEnum):
    """What is asked of a lane."""

    NONE = "none"
    """Nothing was ever asked."""
    REQUESTED = "requested"
    """There is work; any worker may take the lane once `next_try_at` has passed."""
    IN_PROGRESS = "in-progress"
    """A worker holds the lane until its lease ends."""
    COMPLETED = "completed"
    """All requests ran, none is failed."""
    FAILED = "failed"
    """All requests ran or were given up, and at least one is failed."""


class SyncStatus(StrEnum):
    """Whether the subcloud has every recorded change of one endpoint type."""

    UNKNOWN = "unknown"
    """No change was replayed there yet."""
    IN_SYNC = "in-sync"
    """Nothing is pending and nothing is failed."""
    OUT_OF_SYNC = "out-of-sync"
    """Something is pending or failed."""


class Management(StrEnum):
    """The operator's choice for a subcloud."""

    MANAGED = "managed"
    UNMANAGED = "unmanaged"


class Availability(StrEnum):
    """Measured: whether the subcloud answers."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"

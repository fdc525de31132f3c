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
    CANCELLED = "cancelled"
    """An operator does not want it any more; what the subcloud lacks by that is left to audits."""


#: From which states a request may reach a state. Writers put it into their WHERE clause.
REQUEST_SOURCES: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.QUEUED: frozenset({RequestState.IN_PROGRESS, RequestState.FAILED}),
    RequestState.IN_PROGRESS: frozenset({RequestState.QUEUED, RequestState.IN_PROGRESS}),
    RequestState.COMPLETED: frozenset({RequestState.IN_PROGRESS}),
    RequestState.FAILED: frozenset({RequestState.IN_PROGRESS}),
    RequestState.CANCELLED: frozenset({RequestState.QUEUED, RequestState.FAILED}),
}

#: Requests in these states still have to run.
PENDING = (RequestState.QUEUED, RequestState.IN_PROGRESS)

#: Requests in these states need the body of their job no more.
SETTLED = (RequestState.COMPLETED, RequestState.CANCELLED)


class JobState(StrEnum):
    """Where a job stands as a whole, from its intent and its requests."""

    OPEN = "open"
    """The central cloud's answer is not known (yet)."""
    IN_PROGRESS = "in-progress"
    """Some subclouds do not have it yet."""
    FAILED = "failed"
    """It was given up for some subclouds; nothing else is left to run."""
    COMPLETED = "completed"
    """Every subcloud has it, or is not meant to any more."""


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
    """Whether the subcloud is as the central cloud in one endpoint type."""

    UNKNOWN = "unknown"
    """Nothing says how it differs: never audited, not listable at the last audit, or unmanaged."""
    IN_SYNC = "in-sync"
    """Nothing is pending, nothing is failed, and the last audit found nothing to do."""
    OUT_OF_SYNC = "out-of-sync"
    """Something is pending or failed, or was found by an audit and not seen to be repaired."""


class AuditStatus(StrEnum):
    """Where the audit of a lane stands: the comparison of its subcloud with the central cloud."""

    NONE = "none"
    """Never audited."""
    DUE = "due"
    """Periodic: whoever runs the lane next compares, once the lane's requests have run."""
    REQUESTED = "requested"
    """The same, asked for by an operator: with lists that are newer than the question."""
    IN_PROGRESS = "in-progress"
    """Being compared, or was by a worker that was lost; who asks meanwhile gets another one."""
    COMPLETED = "completed"
    """Both sides were listed and compared."""
    FAILED = "failed"
    """One side could not be listed; nothing was changed, and it is tried again."""


#: In these states whoever holds the lane audits it.
AUDIT_WANTED = (AuditStatus.DUE, AuditStatus.REQUESTED, AuditStatus.IN_PROGRESS)


class InitialSync(StrEnum):
    """The first full alignment of a lane."""

    NONE = "none"
    """Nobody asked for one: the subcloud was never managed."""
    REQUESTED = "requested"
    """Waits for both clouds to be compared."""
    IN_PROGRESS = "in-progress"
    """Compared; what differs is queued and not all of it has run."""
    COMPLETED = "completed"
    """Everything that the comparison found has run."""
    FAILED = "failed"
    """Some of it was given up; every audit tries that again."""


class AuditMode(StrEnum):
    """What audits of an endpoint type do with what they find."""

    ENFORCE = "enforce"
    """Repair it."""
    OBSERVE = "observe"
    """Report it."""
    OFF = "off"
    """No audits, but for the initial sync."""


class DriftKind(StrEnum):
    """How a subcloud differs from the central cloud in one resource."""

    MISSING = "missing"
    """The subcloud does not have it."""
    DIFFERENT = "different"
    """Some fields have other values."""
    EXTRA = "extra"
    """Only the subcloud has it."""


class DriftAction(StrEnum):
    """What was done about a difference."""

    REPAIR = "repair"
    """A job brings the resource to the central cloud's state."""
    OBSERVE = "observe"
    """Reported only, as the audit mode says."""
    LEFT_ALONE = "left-alone"
    """Not headwater's to remove: it did not bring it there."""
    UNMANAGED = "unmanaged"
    """An operator marked it as this subcloud's own affair."""
    QUARANTINE = "quarantine"
    """Repaired too often; reported only, until it stays away or an operator steps in."""


class Management(StrEnum):
    """The operator's choice for a subcloud."""

    MANAGED = "managed"
    UNMANAGED = "unmanaged"


class Availability(StrEnum):
    """Measured: whether the subcloud answers."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"


class TaskState(StrEnum):
    """Where a tracked operation on a pod stands."""

    PENDING = "pending"
    """Waits for a worker of its service."""
    RUNNING = "running"
    """A worker is at it."""
    WAITING = "waiting"
    """The pod is at it; the task looks again and again how far it has come."""
    UNKNOWN = "unknown"
    """An order's answer was lost; the pod is read to find out whether it took it."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    """Its deadline has passed; what the pod still does, it does unwatched."""


#: Tasks in these states have ended.
ENDED = (
    TaskState.COMPLETED,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.TIMED_OUT,
)


class NodeState(StrEnum):
    """Where a node stands: a machine that somebody has to himself."""

    COMPOSING = "composing"
    """Its resource blocks are reserved, and a pod manager makes a machine of them."""
    READY = "ready"
    RELEASING = "releasing"
    """Its machine is switched off, and then free for others or taken apart."""


class ComponentKind(StrEnum):
    """What a part of a pod or of a machine is."""

    CHASSIS = "chassis"
    BLOCK = "block"
    """Processors, memory or drives of which a pod manager makes machines."""
    ZONE = "zone"
    """Resource blocks of one zone can be put together."""
    DRIVE = "drive"
    VOLUME = "volume"
    PORT = "port"


class PodService(StrEnum):
    """The functional services: each runs the tasks of its kind, on a topic of its own."""

    COMPUTE = "compute"
    NETWORK = "network"
    STORAGE = "storage"
    TELEMETRY = "telemetry"


class BootDevice(StrEnum):
    """From what a machine boots; the values are those of Redfish."""

    DISK = "Hdd"
    NETWORK = "Pxe"
    CD = "Cd"
    HTTP = "UefiHttp"
    SETUP = "BiosSetup"


class PowerAction(StrEnum):
    """What a machine's power button does."""

    ON = "on"
    OFF = "off"
    """At once, without asking the operating system."""
    SHUTDOWN = "shutdown"
    """The operating system is asked to end."""
    RESET = "reset"


class Severity(StrEnum):
    """How bad a pod event or an alarm is, in Redfish's words."""

    OK = "ok"
    """Something is over, or was only to be told."""
    WARNING = "warning"
    CRITICAL = "critical"


class EventSource(StrEnum):
    """How an event of a pod became known."""

    THRESHOLD = "threshold"
    """A sensor crossed a threshold of a telemetry policy, or is back."""
    POLL = "poll"
    """A poll saw another health, or a machine that fell silent or answers again."""
    REDFISH = "redfish"
    """The pod sent it."""

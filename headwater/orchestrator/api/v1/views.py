# SPDX-License-Identifier: Apache-2.0
"""Records as the documents of the API."""

import math
from collections.abc import Mapping
from typing import Any

from headwater.common.clock import isoformat
from headwater.common.states import PodService, RequestState
from headwater.db.pod_records import Component, Flavor, Machine, Node, Pod, Requirements, Task
from headwater.db.records import (
    Drift,
    FleetSummary,
    JobSummary,
    Lane,
    LaneAudit,
    Request,
    Service,
    Subcloud,
    UnmanagedResource,
)
from headwater.db.telemetry_records import Alarm, Metric, PodEvent, TelemetryPolicy
from headwater.engine.fleet import public_view

Json = dict[str, Any]


def subcloud(record: Subcloud, labels: Mapping[str, str]) -> Json:
    """A subcloud without its credentials."""
    return {**public_view(record), "labels": dict(labels)}


def lane(record: Lane, audit: LaneAudit, waiting: Mapping[str, int] | None = None) -> Json:
    """A lane; with `waiting`, what is left by resource type, also how far its initial sync is."""
    initial: Json = {"state": audit.initial_sync.value}
    if waiting is not None:
        initial["progress"] = {
            name: {"done": max(0, total - waiting.get(name, 0)), "total": total}
            for name, total in audit.totals.items()
            if total
        }
    return {
        "id": record.id,
        "subcloud": record.region_name,
        "management_state": record.management_state.value,
        "availability_status": record.availability_status.value,
        "endpoint_type": record.endpoint_type,
        "sync_request": record.sync_request.value,
        "sync_status": record.sync_status.value,
        "sync_status_since": isoformat(record.sync_status_changed_at),
        "pending": record.pending,
        "failed": record.failed,
        "oldest_pending_at": isoformat(record.oldest_pending_at),
        "next_try_at": isoformat(record.next_try_at),
        "worker": record.lease_owner,
        "last_error": record.last_error,
        "audit": {
            "status": audit.status.value,
            "error": audit.error,
            "audited_at": isoformat(audit.audited_at),
            "next_audit_at": isoformat(audit.next_audit_at),
        },
        "initial_sync": initial,
    }


def drift(record: Drift) -> Json:
    """A difference."""
    return {
        "id": record.id,
        "subcloud": record.region_name,
        "endpoint_type": record.endpoint_type,
        "resource_type": record.resource_type,
        "key": record.drift_key,
        "name": record.name,
        "kind": record.kind.value,
        "fields": list(record.fields),
        "action": record.action.value,
        "first_seen_at": isoformat(record.first_seen_at),
        "last_seen_at": isoformat(record.last_seen_at),
        "times_seen": record.times_seen,
        "repairs": record.repairs,
        "resolved_at": isoformat(record.resolved_at),
    }


def unmanaged(record: UnmanagedResource) -> Json:
    """A mark."""
    return {
        "endpoint_type": record.endpoint_type,
        "resource_type": record.resource_type,
        "key": record.drift_key,
        "created_at": isoformat(record.created_at),
    }


def job(summary: JobSummary) -> Json:
    """A job with the numbers of its requests."""
    record = summary.job
    counts = {state.value: summary.counts.get(state, 0) for state in RequestState}
    return {
        "id": record.uuid,
        "endpoint_type": record.endpoint_type,
        "resource_type": record.resource_type,
        "operation": record.operation.value,
        "resource_id": record.master_id,
        "resource_name": record.resource_name,
        "state": summary.state.value,
        "user_id": record.user_id,
        "user_name": record.user_name,
        "project_id": record.project_id,
        "request_id": record.request_id,
        "created_at": isoformat(record.created_at),
        "accepted_at": isoformat(record.accepted_at),
        "finished_at": isoformat(record.finished_at),
        "requests": {**counts, "total": sum(counts.values())},
    }


def request(record: Request) -> Json:
    """A request."""
    return {
        "subcloud": record.region_name,
        "state": record.state.value,
        "try_count": record.try_count,
        "error": record.error,
        "started_at": isoformat(record.started_at),
        "finished_at": isoformat(record.finished_at),
    }


def service(record: Service) -> Json:
    """A process."""
    return {
        "id": record.name,
        "kind": record.kind,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "started_at": isoformat(record.started_at),
        "last_seen_at": isoformat(record.last_seen_at),
        "alive": record.alive,
        "lanes": record.lanes,
        "tasks": record.tasks,
    }


def summary(record: FleetSummary) -> Json:
    """The fleet at a glance."""
    lags = record.lags

    def percentile(share: float) -> float | None:
        """The smallest lag that this share of the lanes does not exceed."""
        return round(lags[math.ceil(share * len(lags)) - 1], 3) if lags else None

    return {
        "subclouds": {
            "total": sum(record.management.values()),
            **{state.value: number for state, number in record.management.items()},
            **{state.value: number for state, number in record.availability.items()},
        },
        "lanes": {state.value: number for state, number in record.sync_status.items()},
        "requests": {state.value: number for state, number in record.requests.items()},
        "lag_seconds": {
            "p50": percentile(0.50),
            "p95": percentile(0.95),
            "p99": percentile(0.99),
            "max": round(lags[-1], 3) if lags else None,
        },
    }


def pod(record: Pod, labels: Mapping[str, str]) -> Json:
    """A pod without its credentials."""
    return {
        "name": record.name,
        "description": record.description,
        "driver": record.driver,
        "addresses": list(record.addresses),
        "username": record.username,
        "ca_certificates": record.ca_certificates,
        "tls_fingerprint": record.tls_fingerprint,
        "labels": dict(labels),
        "availability_status": record.availability_status.value,
        "synced_at": isoformat(record.synced_at),
        "created_at": isoformat(record.created_at),
        "updated_at": isoformat(record.updated_at),
    }


def machine(record: Machine) -> Json:
    """A machine as it was when it was last looked at."""
    return {
        "id": record.uuid,
        "pod": record.pod_name,
        "uri": record.uri,
        "name": record.name,
        "power_state": record.power_state,
        "health": record.health,
        "cpus": record.cpus,
        "memory_mib": record.memory_mib,
        "properties": dict(record.properties),
        "composed": bool(record.composed),
        "seen_at": isoformat(record.seen_at),
        "missing_since": isoformat(record.missing_since),
        "node": record.node_name,
    }


def component(record: Component) -> Json:
    """A part of a pod or a machine as it was when it was last looked at."""
    return {
        "id": record.uuid,
        "kind": record.kind.value,
        "pod": record.pod_name,
        "machine": record.machine,
        "uri": record.uri,
        "name": record.name,
        "health": record.health,
        "state": record.state,
        "cpus": record.cpus,
        "memory_mib": record.memory_mib,
        "size_gib": record.size_gib,
        "zones": list(record.zones),
        "properties": dict(record.properties),
        "node": record.node_name,
        "seen_at": isoformat(record.seen_at),
        "missing_since": isoformat(record.missing_since),
    }


def flavor(record: Flavor) -> Json:
    """A size that nodes are composed in."""
    return {
        "name": record.name,
        "description": record.description,
        "requirements": _requirements(record.requirements),
        "created_at": isoformat(record.created_at),
    }


def _requirements(record: Requirements) -> Json:
    return {
        "pod": record.pod_name,
        "cpus": record.cpus,
        "memory_mib": record.memory_mib,
        "storage_gib": record.storage_gib,
        "labels": dict(record.labels),
    }


def node(record: Node) -> Json:
    """A node with its machine."""
    return {
        "id": record.uuid,
        "name": record.name,
        "pod": record.pod_name,
        "state": record.state.value,
        "error": record.error,
        "requirements": _requirements(record.requirements),
        "machine": None if record.machine is None else machine(record.machine),
        "user_id": record.user_id,
        "project_id": record.project_id,
        "created_at": isoformat(record.created_at),
    }


def task(record: Task) -> Json:
    """A task without its parameters, which may hold secrets."""
    return {
        "id": record.uuid,
        "service": record.service.value,
        "action": record.action,
        "pod": record.pod_name,
        # Tasks of telemetry have lanes of their own as their targets.
        "machine": None if record.service is PodService.TELEMETRY else record.target or None,
        "state": record.state.value,
        "percent": record.percent,
        "message": record.message,
        "result": record.result,
        "error": record.error,
        "try_count": record.try_count,
        "cancel_requested": record.cancel_requested,
        "user_id": record.user_id,
        "user_name": record.user_name,
        "project_id": record.project_id,
        "request_id": record.request_id,
        "created_at": isoformat(record.created_at),
        "started_at": isoformat(record.started_at),
        "finished_at": isoformat(record.finished_at),
        "deadline_at": isoformat(record.deadline_at),
        "batch": record.batch,
    }


def telemetry_policy(record: TelemetryPolicy) -> Json:
    """What is polled how often, and what of it is worth an event."""
    return {
        "name": record.name,
        "description": record.description,
        "labels": dict(record.labels),
        "interval": record.interval,
        "thresholds": [
            {
                "metric": each.metric,
                "above": each.above,
                "below": each.below,
                "hysteresis": each.hysteresis,
                "severity": each.severity.value,
            }
            for each in record.thresholds
        ],
        "created_at": isoformat(record.created_at),
    }


def metric(record: Metric) -> Json:
    """A value of a sensor."""
    return {
        "id": record.id,
        "metric": record.metric,
        "sensor": record.sensor,
        "value": record.value,
        "read_at": isoformat(record.read_at),
    }


def alarm(record: Alarm) -> Json:
    """What is wrong with a machine."""
    return {
        "name": record.name,
        "severity": record.severity.value,
        "raised_at": isoformat(record.raised_at),
    }


def pod_event(record: PodEvent) -> Json:
    """Something that happened to a pod or a machine."""
    return {
        "id": record.id,
        "pod": record.pod_name,
        "machine": record.machine,
        "kind": record.kind,
        "severity": record.severity.value,
        "message": record.message,
        "source": record.source.value,
        "created_at": isoformat(record.created_at),
    }

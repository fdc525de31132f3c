# SPDX-License-Identifier: Apache-2.0
"""The tables. Names are those of the peer (StarlingX distcloud's dcorch) where it has them."""

from typing import Any

import sqlalchemy as sa

from headwater.common.states import (
    AuditStatus,
    Availability,
    InitialSync,
    IntentState,
    Management,
    RequestState,
    SyncRequest,
    SyncStatus,
    TaskState,
)
from headwater.db.types import Encrypted, Id, LongText, UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


#: Ids and names are compared as bytes: in an API, `Alice` and `alice` are two users.
_OPTIONS: dict[str, Any] = {
    # The id of a row that was deleted is never given to another.
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}


#: The same for tables whose key is a text.
_TEXT_KEY = {name: value for name, value in _OPTIONS.items() if name != "sqlite_autoincrement"}


def _reference(name: str, target: str) -> sa.Column[int]:
    return sa.Column(name, Id, sa.ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=False)


def leased() -> list[sa.Column[Any]]:
    """The columns of rows that are worked on under a lease; see `db.leases`."""
    return [
        sa.Column("sync_request", sa.String(16), nullable=False, default=SyncRequest.NONE),
        sa.Column("requested_at", UtcDateTime),
        # Raised by every claim; a worker whose generation is gone cannot write.
        sa.Column("generation", sa.BigInteger, nullable=False, default=0),
        sa.Column("lease_owner", sa.String(255)),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("next_try_at", UtcDateTime),
        # Tries without success since the last success; the back-off grows with it.
        sa.Column("failures", sa.Integer, nullable=False, default=0),
    ]


subcloud = sa.Table(
    "subcloud",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("region_name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    sa.Column("auth_url", sa.String(1024), nullable=False),
    sa.Column("username", sa.String(255), nullable=False),
    sa.Column("user_domain_name", sa.String(255), nullable=False),
    sa.Column("project_name", sa.String(255), nullable=False),
    sa.Column("project_domain_name", sa.String(255), nullable=False),
    # Encrypted JSON object with the password.
    sa.Column("credentials", Encrypted, nullable=False),
    sa.Column("management_state", sa.String(16), nullable=False, default=Management.UNMANAGED),
    sa.Column("availability_status", sa.String(16), nullable=False, default=Availability.UNKNOWN),
    # The operator's word, which measuring does not undo; NULL: as measured.
    sa.Column("availability_override", sa.String(16)),
    # Tries in a row, in any lane, that the subcloud left without an answer.
    sa.Column("failures", sa.Integer, nullable=False, default=0, server_default="0"),
    # The circuit breaker: until then no lane is claimed, from then on one, as a probe.
    sa.Column("breaker_until", UtcDateTime),
    # NULL: at the next look.
    sa.Column("next_probe_at", UtcDateTime),
    # Raised by every change that an operator makes.
    sa.Column("generation", sa.BigInteger, nullable=False, default=0, server_default="0"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

#: What operators call subclouds, to pick some of them.
subcloud_label = sa.Table(
    "subcloud_label",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("subcloud_id", "subcloud"),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("value", sa.String(255), nullable=False),
    sa.UniqueConstraint("subcloud_id", "name"),
    sa.Index("ix_subcloud_label_value", "name", "value"),
    **_OPTIONS,
)

resource = sa.Table(
    "resource",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("endpoint_type", sa.String(63), nullable=False),
    sa.Column("resource_type", sa.String(63), nullable=False),
    sa.Column("master_id", sa.String(255), nullable=False),
    # JSON object: the natural key in the central cloud, with the central cloud's ids.
    sa.Column("natural_key", sa.Text),
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("endpoint_type", "resource_type", "master_id"),
    **_OPTIONS,
)

subcloud_resource = sa.Table(
    "subcloud_resource",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("subcloud_id", "subcloud"),
    _reference("resource_id", "resource"),
    sa.Column("subcloud_resource_id", sa.String(255), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("subcloud_id", "resource_id"),
    sa.Index(None, "resource_id"),
    sa.Index("ix_subcloud_resource_there", "subcloud_id", "subcloud_resource_id"),
    **_OPTIONS,
)

orch_job = sa.Table(
    "orch_job",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("endpoint_type", sa.String(63), nullable=False),
    sa.Column("resource_type", sa.String(63), nullable=False),
    sa.Column("operation_type", sa.String(16), nullable=False),
    # The id in the central cloud; unknown while a create is open.
    sa.Column("source_resource_id", sa.String(255)),
    # What the change was about, for people: the name it had then.
    sa.Column("resource_name", sa.String(255)),
    # JSON object: how subclouds know the resource until this job is replayed there.
    sa.Column("natural_key_before", sa.Text),
    # The body carries fields that cannot be read from any cloud.
    sa.Column("has_secrets", sa.Boolean, nullable=False, default=False),
    sa.Column("intent_state", sa.String(16), nullable=False, default=IntentState.OPEN),
    # Another job on the same resource was accepted while this one was open.
    sa.Column("overlapped", sa.Boolean, nullable=False, default=False),
    # Encrypted JSON object (engine.task.ResourceInfo); NULL once no request needs it any more.
    sa.Column("resource_info", Encrypted),
    sa.Column("user_id", sa.String(255)),
    sa.Column("user_name", sa.String(255)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("request_id", sa.String(255)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("accepted_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Index("ix_orch_job_state", "intent_state", "finished_at"),
    sa.Index(None, "request_id"),
    sa.Index("ix_orch_job_project", "project_id", "id"),
    sa.Index(
        "ix_orch_job_resource",
        "endpoint_type",
        "resource_type",
        "source_resource_id",
        "intent_state",
    ),
    **_OPTIONS,
)

#: One per subcloud and endpoint type: the lane.
subcloud_sync = sa.Table(
    "subcloud_sync",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("subcloud_id", "subcloud"),
    sa.Column("endpoint_type", sa.String(63), nullable=False),
    *leased(),
    sa.Column("sync_status", sa.String(16), nullable=False, default=SyncStatus.UNKNOWN),
    sa.Column("sync_status_changed_at", UtcDateTime),
    # Raised by every notify, also while the lane runs; the release compares it.
    sa.Column("wakeups", sa.BigInteger, nullable=False, default=0),
    sa.Column("last_error", sa.Text),
    sa.Column(
        "audit_status",
        sa.String(16),
        nullable=False,
        default=AuditStatus.NONE,
        server_default=AuditStatus.NONE.value,
    ),
    sa.Column("audit_error", sa.Text),
    sa.Column("audited_at", UtcDateTime),
    # NULL: as soon as there is room for it.
    sa.Column("next_audit_at", UtcDateTime),
    sa.Column(
        "initial_sync_state",
        sa.String(16),
        nullable=False,
        default=InitialSync.NONE,
        server_default=InitialSync.NONE.value,
    ),
    # JSON object: resources that the subcloud should have, by type, as the last audit counted.
    sa.Column("totals", sa.Text),
    sa.UniqueConstraint("subcloud_id", "endpoint_type"),
    # Claims read the requested lanes in this order and stop at their limit.
    sa.Index("ix_subcloud_sync_due", "sync_request", "requested_at"),
    sa.Index(None, "lease_owner"),
    **_OPTIONS,
)

orch_request = sa.Table(
    "orch_request",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("orch_job_id", "orch_job"),
    _reference("subcloud_id", "subcloud"),
    _reference("subcloud_sync_id", "subcloud_sync"),
    sa.Column("state", sa.String(16), nullable=False, default=RequestState.QUEUED),
    sa.Column("try_count", sa.Integer, nullable=False, default=0),
    # Retried by the operator after a later change of the same resource had run.
    sa.Column("superseded", sa.Boolean, nullable=False, default=False),
    # One of those later changes set the secrets anew.
    sa.Column("secrets_superseded", sa.Boolean, nullable=False, default=False),
    sa.Column("error", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("orch_job_id", "subcloud_id"),
    sa.Index("ix_orch_request_lane", "subcloud_sync_id", "state", "id"),
    sa.Index(None, "subcloud_id"),
    **_OPTIONS,
)

#: What audits found: one row per resource in which a subcloud differs, or differed a while ago.
drift = sa.Table(
    "drift",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("subcloud_sync_id", "subcloud_sync"),
    sa.Column("resource_type", sa.String(63), nullable=False),
    # The id in the central cloud; where there is none, `/` and the id in the subcloud.
    sa.Column("drift_key", sa.String(256), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    # JSON list of the fields that differ.
    sa.Column("fields", sa.Text, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    sa.Column("times_seen", sa.Integer, nullable=False),
    sa.Column("repairs", sa.Integer, nullable=False),
    # The audit that did not find it any more.
    sa.Column("resolved_at", UtcDateTime),
    sa.UniqueConstraint("subcloud_sync_id", "resource_type", "drift_key"),
    sa.Index("ix_drift_open", "subcloud_sync_id", "resolved_at"),
    **_OPTIONS,
)

#: Resources that audits leave alone in one subcloud, as an operator said.
unmanaged_resource = sa.Table(
    "unmanaged_resource",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("subcloud_sync_id", "subcloud_sync"),
    sa.Column("resource_type", sa.String(63), nullable=False),
    # As in `drift`.
    sa.Column("drift_key", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("subcloud_sync_id", "resource_type", "drift_key"),
    **_OPTIONS,
)

#: The processes that work: each says again and again that it lives.
service = sa.Table(
    "service",
    metadata,
    # As in `lease_owner`.
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(63), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.String(63), nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    **_TEXT_KEY,
)

#: What engines do again and again: one row per kind of work, run by one engine at a time.
periodic_work = sa.Table(
    "periodic_work",
    metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("next_run_at", UtcDateTime, nullable=False),
    # Raised by every claim; an engine whose generation is gone cannot write.
    sa.Column("generation", sa.BigInteger, nullable=False, default=0),
    sa.Column("lease_owner", sa.String(255)),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("last_started_at", UtcDateTime),
    sa.Column("last_finished_at", UtcDateTime),
    sa.Column("last_error", sa.Text),
    **_TEXT_KEY,
)

#: Pod managers, and lists of BMCs that are used like one.
pod = sa.Table(
    "pod",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    sa.Column("driver", sa.String(63), nullable=False),
    # JSON list of addresses: one of a pod manager, one per BMC of a fleet.
    sa.Column("addresses", LongText, nullable=False),
    sa.Column("username", sa.String(255), nullable=False),
    # Encrypted JSON object with the password.
    sa.Column("credentials", Encrypted, nullable=False),
    # The certificates of the authorities that signed the pod's TLS certificates, as PEM.
    sa.Column("ca_certificates", LongText),
    # SHA-256 of the one certificate that is trusted instead, in hexadecimal.
    sa.Column("tls_fingerprint", sa.String(64)),
    sa.Column("availability_status", sa.String(16), nullable=False, default=Availability.UNKNOWN),
    # When the inventory was last read whole.
    sa.Column("synced_at", UtcDateTime),
    # From when on it is polled again, where a telemetry policy says so; NULL: at the next look.
    sa.Column("next_poll_at", UtcDateTime),
    # The same for a look at its event subscriptions.
    sa.Column("next_subscribe_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

#: What operators call pods, to pick some of them.
pod_label = sa.Table(
    "pod_label",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("pod_id", "pod"),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("value", sa.String(255), nullable=False),
    sa.UniqueConstraint("pod_id", "name"),
    sa.Index("ix_pod_label_value", "name", "value"),
    **_OPTIONS,
)

#: The systems of pods, as their inventories were last read.
machine = sa.Table(
    "machine",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    _reference("pod_id", "pod"),
    # Address and path of its Redfish ComputerSystem.
    sa.Column("uri", sa.String(1024), nullable=False),
    # SHA-256 of `uri` in hexadecimal: what databases can hold a unique index of.
    sa.Column("uri_hash", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("power_state", sa.String(16)),
    sa.Column("health", sa.String(16)),
    sa.Column("cpus", sa.Integer),
    sa.Column("memory_mib", sa.BigInteger),
    # JSON object: maker, model, serial number and the like.
    sa.Column("properties", LongText, nullable=False),
    # Made of resource blocks: it ends with its node, and nobody gets it who did not make it.
    sa.Column("composed", sa.Boolean, nullable=False, default=False, server_default="0"),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    # NULL while the inventory has it.
    sa.Column("missing_since", UtcDateTime),
    sa.UniqueConstraint("pod_id", "uri_hash"),
    **_OPTIONS,
)

#: Machines that somebody has to himself. That no machine has two is the database's own affair.
node = sa.Table(
    "node",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # Of the node, and of the machine that is composed for it; the target of its tasks until then.
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    _reference("pod_id", "pod"),
    # NULL while it is composed.
    sa.Column(
        "machine_id",
        Id,
        sa.ForeignKey("machine.id", ondelete="RESTRICT"),
        unique=True,
    ),
    sa.Column("state", sa.String(16), nullable=False),
    # Why it is not what was asked for.
    sa.Column("error", sa.Text),
    # JSON object: what was asked for.
    sa.Column("requirements", sa.Text, nullable=False),
    sa.Column("user_id", sa.String(255)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

#: Parts of pods and machines: chassis, resource blocks, zones, drives, volumes, ports.
component = sa.Table(
    "component",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    _reference("pod_id", "pod"),
    sa.Column("machine_id", Id, sa.ForeignKey("machine.id", ondelete="CASCADE")),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("uri", sa.String(1024), nullable=False),
    sa.Column("uri_hash", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("health", sa.String(16)),
    sa.Column("cpus", sa.Integer),
    sa.Column("memory_mib", sa.BigInteger),
    sa.Column("size_gib", sa.BigInteger),
    # What a resource block says of itself, such as Unused or Composed.
    sa.Column("state", sa.String(32)),
    # JSON list of URIs.
    sa.Column("zones", LongText, nullable=False),
    # JSON object.
    sa.Column("properties", LongText, nullable=False),
    # The node that has a resource block to itself: written before the pod is touched.
    sa.Column("node_id", Id, sa.ForeignKey("node.id", ondelete="SET NULL")),
    # Reserved for a node that is ready, and not known to be in its machine yet.
    sa.Column("attaching", sa.Boolean, nullable=False, default=False, server_default="0"),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    # NULL while the inventory has it.
    sa.Column("missing_since", UtcDateTime),
    sa.UniqueConstraint("pod_id", "uri_hash"),
    sa.Index("ix_component_free", "kind", "node_id", "memory_mib"),
    sa.Index(None, "machine_id"),
    sa.Index(None, "node_id"),
    **_OPTIONS,
)

#: Sizes that nodes are composed in.
flavor = sa.Table(
    "flavor",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    # JSON object: what a node of it needs.
    sa.Column("requirements", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

#: Tracked operations on pods.
task = sa.Table(
    "task",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("service", sa.String(16), nullable=False),
    sa.Column("action", sa.String(63), nullable=False),
    _reference("pod_id", "pod"),
    # What of the pod it works on; tasks of one target run one after the other. Empty: the pod.
    sa.Column("target", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, default=TaskState.PENDING),
    *leased(),
    sa.Column("try_count", sa.Integer, nullable=False, default=0),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    # Encrypted JSON object; NULL once it has ended.
    sa.Column("parameters", Encrypted),
    # JSON object: what its handler has to know to go on where it was, such as an operation's URI.
    sa.Column("position", LongText),
    sa.Column("percent", sa.Integer, nullable=False, default=0),
    sa.Column("message", sa.Text),
    # JSON object.
    sa.Column("result", LongText),
    sa.Column("error", sa.Text),
    sa.Column("user_id", sa.String(255)),
    sa.Column("user_name", sa.String(255)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("request_id", sa.String(255)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("deadline_at", UtcDateTime, nullable=False),
    # What was ordered together, and how many of it may be open at a time on one pod.
    sa.Column("batch", sa.String(36)),
    sa.Column("batch_budget", sa.Integer),
    sa.Index("ix_task_batch", "batch", "pod_id", "finished_at"),
    sa.Index("ix_task_due", "service", "sync_request", "requested_at"),
    sa.Index("ix_task_target", "pod_id", "target", "finished_at"),
    # How many of a pod run, asked for each candidate of a claim.
    sa.Index("ix_task_running", "pod_id", "sync_request"),
    # Which open ones are past their deadlines, and which ended ones are old.
    sa.Index("ix_task_end", "finished_at", "deadline_at"),
    sa.Index(None, "lease_owner"),
    **_OPTIONS,
)

#: Which pods are polled how often, and what of it is worth an event.
telemetry_policy = sa.Table(
    "telemetry_policy",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    # JSON object: labels that a pod has to have.
    sa.Column("labels", LongText, nullable=False),
    # Seconds.
    sa.Column("poll_interval", sa.Integer, nullable=False),
    # JSON list.
    sa.Column("thresholds", LongText, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    **_OPTIONS,
)

#: What the sensors of machines showed last.
machine_metric = sa.Table(
    "machine_metric",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("machine_id", "machine"),
    sa.Column("metric", sa.String(63), nullable=False),
    sa.Column("sensor", sa.String(63), nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("read_at", UtcDateTime, nullable=False),
    # When its history last got a row.
    sa.Column("noted_at", UtcDateTime),
    sa.UniqueConstraint("machine_id", "metric", "sensor"),
    # The exposition reads one metric of all machines.
    sa.Index(None, "metric", "id"),
    **_OPTIONS,
)

#: What they showed before, one value now and then.
machine_metric_history = sa.Table(
    "machine_metric_history",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("metric_id", "machine_metric"),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("read_at", UtcDateTime, nullable=False),
    sa.Index(None, "metric_id", "read_at"),
    sa.Index(None, "read_at"),
    **_OPTIONS,
)

#: What is wrong with machines now: an event is raised when a row comes, and when it goes.
machine_alarm = sa.Table(
    "machine_alarm",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("machine_id", "machine"),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("raised_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("machine_id", "name"),
    **_OPTIONS,
)

#: What happened to pods and machines.
pod_event = sa.Table(
    "pod_event",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("pod_id", "pod"),
    # NULL where it is about the pod, or about a machine that is gone.
    sa.Column("machine_id", Id, sa.ForeignKey("machine.id", ondelete="SET NULL")),
    sa.Column("kind", sa.String(127), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "pod_id", "created_at"),
    sa.Index(None, "machine_id"),
    sa.Index(None, "created_at"),
    **_OPTIONS,
)

#: Events that addresses of pods were asked to send. The newest row of an address counts; older ones
#: are kept until that one is made, so that no event in between is refused.
pod_subscription = sa.Table(
    "pod_subscription",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _reference("pod_id", "pod"),
    sa.Column("address", sa.String(255), nullable=False),
    # NULL until the pod has answered with it.
    sa.Column("uri", sa.String(1024)),
    # SHA-256, in hexadecimal, of the secret in the destination; NULL where there are no events.
    sa.Column("secret_hash", sa.String(64), unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "pod_id", "address"),
    **_OPTIONS,
)

# SPDX-License-Identifier: Apache-2.0
"""Telemetry of pods: policies, values, alarms, events, subscriptions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, LongText, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}


def _refers(table: str, column: str, target: str, end: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=end
    )


def upgrade() -> None:
    op.add_column("pod", sa.Column("next_poll_at", UtcDateTime()))
    op.add_column("pod", sa.Column("next_subscribe_at", UtcDateTime()))
    op.create_table(
        "telemetry_policy",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255)),
        sa.Column("labels", LongText, nullable=False),
        sa.Column("poll_interval", sa.Integer(), nullable=False),
        sa.Column("thresholds", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_telemetry_policy")),
        sa.UniqueConstraint("name", name=op.f("uq_telemetry_policy_name")),
        **_OPTIONS,
    )
    _create_metrics()
    op.create_table(
        "pod_event",
        sa.Column("id", Id, nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("machine_id", Id),
        sa.Column("kind", sa.String(length=127), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _refers("pod_event", "pod_id", "pod"),
        _refers("pod_event", "machine_id", "machine", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod_event")),
        **_OPTIONS,
    )
    op.create_index(op.f("ix_pod_event_pod_id_created_at"), "pod_event", ["pod_id", "created_at"])
    op.create_index(op.f("ix_pod_event_machine_id"), "pod_event", ["machine_id"])
    op.create_index(op.f("ix_pod_event_created_at"), "pod_event", ["created_at"])
    op.create_table(
        "pod_subscription",
        sa.Column("id", Id, nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.String(length=1024)),
        sa.Column("secret_hash", sa.String(length=64)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _refers("pod_subscription", "pod_id", "pod"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod_subscription")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_pod_subscription_secret_hash")),
        **_OPTIONS,
    )
    op.create_index(
        op.f("ix_pod_subscription_pod_id_address"), "pod_subscription", ["pod_id", "address"]
    )


def _create_metrics() -> None:
    op.create_table(
        "machine_metric",
        sa.Column("id", Id, nullable=False),
        sa.Column("machine_id", Id, nullable=False),
        sa.Column("metric", sa.String(length=63), nullable=False),
        sa.Column("sensor", sa.String(length=63), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.Column("noted_at", UtcDateTime()),
        _refers("machine_metric", "machine_id", "machine"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_metric")),
        sa.UniqueConstraint(
            "machine_id",
            "metric",
            "sensor",
            name=op.f("uq_machine_metric_machine_id_metric_sensor"),
        ),
        **_OPTIONS,
    )
    op.create_index(op.f("ix_machine_metric_metric_id"), "machine_metric", ["metric", "id"])
    op.create_table(
        "machine_metric_history",
        sa.Column("id", Id, nullable=False),
        sa.Column("metric_id", Id, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        _refers("machine_metric_history", "metric_id", "machine_metric"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_metric_history")),
        **_OPTIONS,
    )
    op.create_index(
        op.f("ix_machine_metric_history_metric_id_read_at"),
        "machine_metric_history",
        ["metric_id", "read_at"],
    )
    op.create_index(
        op.f("ix_machine_metric_history_read_at"), "machine_metric_history", ["read_at"]
    )
    op.create_table(
        "machine_alarm",
        sa.Column("id", Id, nullable=False),
        sa.Column("machine_id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("raised_at", UtcDateTime(), nullable=False),
        _refers("machine_alarm", "machine_id", "machine"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_alarm")),
        sa.UniqueConstraint("machine_id", "name", name=op.f("uq_machine_alarm_machine_id_name")),
        **_OPTIONS,
    )


def downgrade() -> None:
    for table in (
        "pod_subscription",
        "pod_event",
        "machine_alarm",
        "machine_metric_history",
        "machine_metric",
        "telemetry_policy",
    ):
        op.drop_table(table)
    op.drop_column("pod", "next_subscribe_at")
    op.drop_column("pod", "next_poll_at")

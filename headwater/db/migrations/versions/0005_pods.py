# SPDX-License-Identifier: Apache-2.0
"""Pods, their machines and nodes, and the tasks that work on them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, LongText, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}


def _of_pod(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["pod_id"], ["pod.id"], name=op.f(f"fk_{table}_pod_id"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "pod",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255)),
        sa.Column("driver", sa.String(length=63), nullable=False),
        sa.Column("addresses", LongText, nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("credentials", LongText, nullable=False),
        sa.Column("ca_certificates", LongText),
        sa.Column("availability_status", sa.String(length=16), nullable=False),
        sa.Column("synced_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod")),
        sa.UniqueConstraint("name", name=op.f("uq_pod_name")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_table(
        "machine",
        sa.Column("id", Id, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("uri", sa.String(length=1024), nullable=False),
        sa.Column("uri_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("power_state", sa.String(length=16)),
        sa.Column("health", sa.String(length=16)),
        sa.Column("cpus", sa.Integer()),
        sa.Column("memory_mib", sa.BigInteger()),
        sa.Column("properties", LongText, nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("missing_since", UtcDateTime()),
        _of_pod("machine"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine")),
        sa.UniqueConstraint("uuid", name=op.f("uq_machine_uuid")),
        sa.UniqueConstraint("pod_id", "uri_hash", name=op.f("uq_machine_pod_id_uri_hash")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_table(
        "node",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("machine_id", Id, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requirements", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machine.id"], name=op.f("fk_node_machine_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
        sa.UniqueConstraint("name", name=op.f("uq_node_name")),
        sa.UniqueConstraint("machine_id", name=op.f("uq_node_machine_id")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_table(
        "task",
        sa.Column("id", Id, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=63), nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sync_request", sa.String(length=16), nullable=False),
        sa.Column("requested_at", UtcDateTime()),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255)),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("next_try_at", UtcDateTime()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("try_count", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("parameters", LongText),
        sa.Column("position", LongText),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("result", LongText),
        sa.Column("error", sa.Text()),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("user_name", sa.String(length=255)),
        sa.Column("project_id", sa.String(length=255)),
        sa.Column("request_id", sa.String(length=255)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("deadline_at", UtcDateTime(), nullable=False),
        _of_pod("task"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("uuid", name=op.f("uq_task_uuid")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index("ix_task_due", "task", ["service", "sync_request", "requested_at"])
    op.create_index("ix_task_target", "task", ["pod_id", "target", "finished_at"])
    op.create_index("ix_task_running", "task", ["pod_id", "sync_request"])
    op.create_index("ix_task_end", "task", ["finished_at", "deadline_at"])
    op.create_index(op.f("ix_task_lease_owner"), "task", ["lease_owner"])


def downgrade() -> None:
    for table in ("task", "node", "machine", "pod"):
        op.drop_table(table)

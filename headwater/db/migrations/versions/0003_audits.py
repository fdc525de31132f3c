# SPDX-License-Identifier: Apache-2.0
"""Audits, initial syncs, the drift that audits find, and probes of subclouds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LANE_COLUMNS: tuple[sa.Column[Any], ...] = (
    sa.Column("audit_status", sa.String(length=16), server_default="none", nullable=False),
    sa.Column("audit_error", sa.Text(), nullable=True),
    sa.Column("audited_at", UtcDateTime(), nullable=True),
    sa.Column("next_audit_at", UtcDateTime(), nullable=True),
    sa.Column("initial_sync_state", sa.String(length=16), server_default="none", nullable=False),
    sa.Column("totals", sa.Text(), nullable=True),
)


def upgrade() -> None:
    op.add_column("subcloud", sa.Column("next_probe_at", UtcDateTime(), nullable=True))
    for column in _LANE_COLUMNS:
        op.add_column("subcloud_sync", column._copy())
    op.create_table(
        "drift",
        sa.Column("id", Id, nullable=False),
        sa.Column("subcloud_sync_id", Id, nullable=False),
        sa.Column("resource_type", sa.String(length=63), nullable=False),
        sa.Column("drift_key", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("repairs", sa.Integer(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subcloud_sync_id"],
            ["subcloud_sync.id"],
            name=op.f("fk_drift_subcloud_sync_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
        sa.UniqueConstraint(
            "subcloud_sync_id",
            "resource_type",
            "drift_key",
            name=op.f("uq_drift_subcloud_sync_id_resource_type_drift_key"),
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_drift_open", "drift", ["subcloud_sync_id", "resolved_at"], unique=False)


def downgrade() -> None:
    op.drop_table("drift")
    for column in reversed(_LANE_COLUMNS):
        op.drop_column("subcloud_sync", column.name)
    op.drop_column("subcloud", "next_probe_at")

# SPDX-License-Identifier: Apache-2.0
"""What operators say and ask: overrides, labels, marks, services, jobs by their callers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    op.add_column("subcloud", sa.Column("availability_override", sa.String(length=16)))
    op.add_column(
        "subcloud", sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_table(
        "subcloud_label",
        sa.Column("id", Id, nullable=False),
        sa.Column("subcloud_id", Id, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["subcloud_id"],
            ["subcloud.id"],
            name=op.f("fk_subcloud_label_subcloud_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subcloud_label")),
        sa.UniqueConstraint("subcloud_id", "name", name=op.f("uq_subcloud_label_subcloud_id_name")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index("ix_subcloud_label_value", "subcloud_label", ["name", "value"], unique=False)
    op.create_table(
        "unmanaged_resource",
        sa.Column("id", Id, nullable=False),
        sa.Column("subcloud_sync_id", Id, nullable=False),
        sa.Column("resource_type", sa.String(length=63), nullable=False),
        sa.Column("drift_key", sa.String(length=256), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subcloud_sync_id"],
            ["subcloud_sync.id"],
            name=op.f("fk_unmanaged_resource_subcloud_sync_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unmanaged_resource")),
        sa.UniqueConstraint(
            "subcloud_sync_id",
            "resource_type",
            "drift_key",
            name=op.f("uq_unmanaged_resource_subcloud_sync_id_resource_type_drift_key"),
        ),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_table(
        "service",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=63), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_orch_job_request_id"), "orch_job", ["request_id"], unique=False)
    op.create_index("ix_orch_job_project", "orch_job", ["project_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_orch_job_project", table_name="orch_job")
    op.drop_index(op.f("ix_orch_job_request_id"), table_name="orch_job")
    op.drop_table("service")
    op.drop_table("unmanaged_resource")
    op.drop_table("subcloud_label")
    op.drop_column("subcloud", "generation")
    op.drop_column("subcloud", "availability_override")

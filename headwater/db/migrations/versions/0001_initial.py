# SPDX-License-Identifier: Apache-2.0
"""The first tables: subclouds, lanes, resources, jobs and requests."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, LongText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    op.create_table(
        "orch_job",
        sa.Column("id", Id, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("endpoint_type", sa.String(length=63), nullable=False),
        sa.Column("resource_type", sa.String(length=63), nullable=False),
        sa.Column("operation_type", sa.String(length=16), nullable=False),
        sa.Column("source_resource_id", sa.String(length=255), nullable=True),
        sa.Column("resource_name", sa.String(length=255), nullable=True),
        sa.Column("natural_key_before", sa.Text(), nullable=True),
        sa.Column("has_secrets", sa.Boolean(), nullable=False),
        sa.Column("intent_state", sa.String(length=16), nullable=False),
        sa.Column("overlapped", sa.Boolean(), nullable=False),
        sa.Column("resource_info", LongText, nullable=True),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("user_name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orch_job")),
        sa.UniqueConstraint("uuid", name=op.f("uq_orch_job_uuid")),
        **_OPTIONS,
    )
    op.create_index(
        "ix_orch_job_resource",
        "orch_job",
        ["endpoint_type", "resource_type", "source_resource_id", "intent_state"],
        unique=False,
    )
    op.create_index("ix_orch_job_state", "orch_job", ["intent_state", "finished_at"], unique=False)
    op.create_table(
        "resource",
        sa.Column("id", Id, nullable=False),
        sa.Column("endpoint_type", sa.String(length=63), nullable=False),
        sa.Column("resource_type", sa.String(length=63), nullable=False),
        sa.Column("master_id", sa.String(length=255), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource")),
        sa.UniqueConstraint(
            "endpoint_type",
            "resource_type",
            "master_id",
            name=op.f("uq_resource_endpoint_type_resource_type_master_id"),
        ),
        **_OPTIONS,
    )
    op.create_table(
        "subcloud",
        sa.Column("id", Id, nullable=False),
        sa.Column("region_name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("auth_url", sa.String(length=1024), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("user_domain_name", sa.String(length=255), nullable=False),
        sa.Column("project_name", sa.String(length=255), nullable=False),
        sa.Column("project_domain_name", sa.String(length=255), nullable=False),
        sa.Column("credentials", LongText, nullable=False),
        sa.Column("management_state", sa.String(length=16), nullable=False),
        sa.Column("availability_status", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subcloud")),
        sa.UniqueConstraint("region_name", name=op.f("uq_subcloud_region_name")),
        **_OPTIONS,
    )
    op.create_table(
        "subcloud_resource",
        sa.Column("id", Id, nullable=False),
        sa.Column("subcloud_id", Id, nullable=False),
        sa.Column("resource_id", Id, nullable=False),
        sa.Column("subcloud_resource_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resource.id"],
            name=op.f("fk_subcloud_resource_resource_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subcloud_id"],
            ["subcloud.id"],
            name=op.f("fk_subcloud_resource_subcloud_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subcloud_resource")),
        sa.UniqueConstraint(
            "subcloud_id", "resource_id", name=op.f("uq_subcloud_resource_subcloud_id_resource_id")
        ),
        **_OPTIONS,
    )
    op.create_index(
        op.f("ix_subcloud_resource_resource_id"), "subcloud_resource", ["resource_id"], unique=False
    )
    op.create_index(
        "ix_subcloud_resource_there",
        "subcloud_resource",
        ["subcloud_id", "subcloud_resource_id"],
        unique=False,
    )
    op.create_table(
        "subcloud_sync",
        sa.Column("id", Id, nullable=False),
        sa.Column("subcloud_id", Id, nullable=False),
        sa.Column("endpoint_type", sa.String(length=63), nullable=False),
        sa.Column("sync_request", sa.String(length=16), nullable=False),
        sa.Column("sync_status", sa.String(length=16), nullable=False),
        sa.Column("sync_status_changed_at", UtcDateTime(), nullable=True),
        sa.Column("wakeups", sa.BigInteger(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("next_try_at", UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subcloud_id"],
            ["subcloud.id"],
            name=op.f("fk_subcloud_sync_subcloud_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subcloud_sync")),
        sa.UniqueConstraint(
            "subcloud_id", "endpoint_type", name=op.f("uq_subcloud_sync_subcloud_id_endpoint_type")
        ),
        **_OPTIONS,
    )
    op.create_index(
        "ix_subcloud_sync_due", "subcloud_sync", ["sync_request", "next_try_at"], unique=False
    )
    op.create_index(
        op.f("ix_subcloud_sync_lease_owner"), "subcloud_sync", ["lease_owner"], unique=False
    )
    op.create_table(
        "orch_request",
        sa.Column("id", Id, nullable=False),
        sa.Column("orch_job_id", Id, nullable=False),
        sa.Column("subcloud_id", Id, nullable=False),
        sa.Column("subcloud_sync_id", Id, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("try_count", sa.Integer(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("secrets_superseded", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["orch_job_id"],
            ["orch_job.id"],
            name=op.f("fk_orch_request_orch_job_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subcloud_id"],
            ["subcloud.id"],
            name=op.f("fk_orch_request_subcloud_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subcloud_sync_id"],
            ["subcloud_sync.id"],
            name=op.f("fk_orch_request_subcloud_sync_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orch_request")),
        sa.UniqueConstraint(
            "orch_job_id", "subcloud_id", name=op.f("uq_orch_request_orch_job_id_subcloud_id")
        ),
        **_OPTIONS,
    )
    op.create_index(
        "ix_orch_request_lane", "orch_request", ["subcloud_sync_id", "state", "id"], unique=False
    )
    op.create_index(
        op.f("ix_orch_request_subcloud_id"), "orch_request", ["subcloud_id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("orch_request")
    op.drop_table("subcloud_sync")
    op.drop_table("subcloud_resource")
    op.drop_table("subcloud")
    op.drop_table("resource")
    op.drop_table("orch_job")

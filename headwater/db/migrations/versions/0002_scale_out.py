# SPDX-License-Identifier: Apache-2.0
"""Circuit breakers of subclouds, claims in order, and periodic work that engines claim."""

import sqlalchemy as sa
from alembic import op

from headwater.db.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "subcloud", sa.Column("failures", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("subcloud", sa.Column("breaker_until", UtcDateTime(), nullable=True))
    op.drop_index("ix_subcloud_sync_due", "subcloud_sync")
    op.create_index(
        "ix_subcloud_sync_due", "subcloud_sync", ["sync_request", "requested_at"], unique=False
    )
    op.create_table(
        "periodic_work",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("next_run_at", UtcDateTime(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("last_started_at", UtcDateTime(), nullable=True),
        sa.Column("last_finished_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_periodic_work")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
    )


def downgrade() -> None:
    op.drop_table("periodic_work")
    op.drop_index("ix_subcloud_sync_due", "subcloud_sync")
    op.create_index(
        "ix_subcloud_sync_due", "subcloud_sync", ["sync_request", "next_try_at"], unique=False
    )
    # SQLite drops a column in place since 3.35; a copy of the table would lose its references.
    op.drop_column("subcloud", "breaker_until")
    op.drop_column("subcloud", "failures")

# SPDX-License-Identifier: Apache-2.0
"""Parts of pods, composed nodes, flavors, labels of pods, batches of tasks."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from headwater.db.types import Id, LongText, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
}

#: What a table that SQLite has to make anew keeps.
_SQLITE = {"sqlite_autoincrement": True}


def _of_pod(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["pod_id"], ["pod.id"], name=op.f(f"fk_{table}_pod_id"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.add_column("pod", sa.Column("tls_fingerprint", sa.String(length=64)))
    op.add_column(
        "machine",
        sa.Column("composed", sa.Boolean(), nullable=False, server_default="0"),
    )
    op.add_column("task", sa.Column("batch", sa.String(length=36)))
    op.add_column("task", sa.Column("batch_budget", sa.Integer()))
    op.create_index("ix_task_batch", "task", ["batch", "pod_id", "finished_at"])
    op.add_column("node", sa.Column("uuid", sa.String(length=36)))
    op.add_column("node", sa.Column("pod_id", Id))
    op.add_column("node", sa.Column("error", sa.Text()))
    _fill_nodes()
    with op.batch_alter_table("node", table_kwargs=_SQLITE) as batch:
        batch.alter_column("uuid", existing_type=sa.String(length=36), nullable=False)
        batch.alter_column("pod_id", existing_type=Id, nullable=False)
        batch.alter_column("machine_id", existing_type=Id, nullable=True)
        batch.create_unique_constraint(op.f("uq_node_uuid"), ["uuid"])
        batch.create_foreign_key(
            op.f("fk_node_pod_id"), "pod", ["pod_id"], ["id"], ondelete="CASCADE"
        )
    op.create_table(
        "pod_label",
        sa.Column("id", Id, nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        _of_pod("pod_label"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod_label")),
        sa.UniqueConstraint("pod_id", "name", name=op.f("uq_pod_label_pod_id_name")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index("ix_pod_label_value", "pod_label", ["name", "value"])
    op.create_table(
        "component",
        sa.Column("id", Id, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("pod_id", Id, nullable=False),
        sa.Column("machine_id", Id),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("uri", sa.String(length=1024), nullable=False),
        sa.Column("uri_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("health", sa.String(length=16)),
        sa.Column("cpus", sa.Integer()),
        sa.Column("memory_mib", sa.BigInteger()),
        sa.Column("size_gib", sa.BigInteger()),
        sa.Column("state", sa.String(length=32)),
        sa.Column("zones", LongText, nullable=False),
        sa.Column("properties", LongText, nullable=False),
        sa.Column("node_id", Id),
        sa.Column("attaching", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("missing_since", UtcDateTime()),
        _of_pod("component"),
        sa.ForeignKeyConstraint(
            ["machine_id"],
            ["machine.id"],
            name=op.f("fk_component_machine_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["node_id"], ["node.id"], name=op.f("fk_component_node_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_component")),
        sa.UniqueConstraint("uuid", name=op.f("uq_component_uuid")),
        sa.UniqueConstraint("pod_id", "uri_hash", name=op.f("uq_component_pod_id_uri_hash")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index("ix_component_free", "component", ["kind", "node_id", "memory_mib"])
    op.create_index(op.f("ix_component_machine_id"), "component", ["machine_id"])
    op.create_index(op.f("ix_component_node_id"), "component", ["node_id"])
    op.create_table(
        "flavor",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255)),
        sa.Column("requirements", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavor")),
        sa.UniqueConstraint("name", name=op.f("uq_flavor_name")),
        sqlite_autoincrement=True,
        **_MYSQL,
    )


def _fill_nodes() -> None:
    node = sa.table("node", sa.column("uuid"), sa.column("pod_id"), sa.column("machine_id"))
    machine = sa.table("machine", sa.column("id"), sa.column("uuid"), sa.column("pod_id"))
    of_machine = machine.c.id == node.c.machine_id
    op.execute(
        node.update().values(
            uuid=sa.select(machine.c.uuid).where(of_machine).scalar_subquery(),
            pod_id=sa.select(machine.c.pod_id).where(of_machine).scalar_subquery(),
        )
    )


def downgrade() -> None:
    for table in ("flavor", "component", "pod_label"):
        op.drop_table(table)
    node = sa.table("node", sa.column("machine_id"))
    op.execute(node.delete().where(node.c.machine_id.is_(None)))
    with op.batch_alter_table("node", table_kwargs=_SQLITE) as batch:
        batch.drop_constraint(op.f("fk_node_pod_id"), type_="foreignkey")
        batch.drop_constraint(op.f("uq_node_uuid"), type_="unique")
        batch.alter_column("machine_id", existing_type=Id, nullable=False)
        for name in ("uuid", "pod_id", "error"):
            batch.drop_column(name)
    op.drop_index("ix_task_batch", table_name="task")
    with op.batch_alter_table("task", table_kwargs=_SQLITE) as batch:
        batch.drop_column("batch")
        batch.drop_column("batch_budget")
    op.drop_column("machine", "composed")
    op.drop_column("pod", "tls_fingerprint")

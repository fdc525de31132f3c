# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment: migrates over the connection that `db.schema` hands in."""

from alembic import context

from headwater.db.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter tables in place.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

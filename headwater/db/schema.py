# SPDX-License-Identifier: Apache-2.0
"""The schema's version: migrated up and down by alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from headwater.common.errors import ConfigurationError
from headwater.db import patience
from headwater.db.connection import Database, describe


def sync(database: Database, revision: str = "head") -> str:
    """Bring the schema up to a revision; returns the one it has then. Safe to repeat."""
    with database.write() as connection:
        patience.unhurried(connection)
        try:
            command.upgrade(_config(connection), revision)
        except CommandError as error:
            raise ConfigurationError(
                f"[database] connection = {describe(database.engine.url)}: "
                f"{error}; was it made by a later version of headwater?"
            ) from error
        return MigrationContext.configure(connection).get_current_revision() or "base"


def downgrade(database: Database, revision: str = "base") -> None:
    """Take the schema down to a revision, which drops what later revisions brought."""
    with database.write() as connection:
        patience.unhurried(connection)
        command.downgrade(_config(connection), revision)


def version(database: Database) -> str:
    """The present revision, `base` for an empty database."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision() or "base"


def check(database: Database) -> None:
    """Raise ConfigurationError unless the schema is the one that this version needs."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    present = version(database)
    if present != head:
        raise ConfigurationError(
            f"[database] connection = {describe(database.engine.url)}: its schema is {present}, "
            f"this version needs {head}; run 'headwater-manage db sync'."
        )


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config

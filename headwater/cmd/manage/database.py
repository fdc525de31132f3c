# SPDX-License-Identifier: Apache-2.0
"""headwater-manage db ..."""

import argparse

from cliff.command import Command

from headwater.cmd import build
from headwater.db import schema


class Sync(Command):  # type: ignore[misc]
    """Bring the database schema up to this version. Safe to repeat."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Migrate."""
        opened = build.open_database(self.app.conf)
        opened.check_writable()
        self.app.stdout.write(f"The schema is {schema.sync(opened)}.\n")


class Version(Command):  # type: ignore[misc]
    """Show the version of the database schema."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print the revision."""
        self.app.stdout.write(f"{schema.version(build.open_database(self.app.conf))}\n")

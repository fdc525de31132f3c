# SPDX-License-Identifier: Apache-2.0
"""The application: global options, the table of commands, what commands share."""

import argparse
import functools
import logging
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager

from headwater.cmd import build
from headwater.cmd.manage import audits, database, endpoints, jobs, secrets, subclouds
from headwater.common import conf as configuration
from headwater.common.endpoints.registry import Registry
from headwater.common.secrets import KeyRing
from headwater.db import schema
from headwater.db.connection import Database
from headwater.engine.fleet import Fleet

_COMMANDS: dict[str, type[Command]] = {
    "db sync": database.Sync,
    "db version": database.Version,
    "secrets create": secrets.Create,
    "secrets rotate": secrets.Rotate,
    "endpoints list": endpoints.ListTypes,
    "endpoints validate": endpoints.Validate,
    "subcloud add": subclouds.Add,
    "subcloud list": subclouds.ListAll,
    "subcloud show": subclouds.Show,
    "subcloud set": subclouds.Set,
    "subcloud manage": subclouds.Manage,
    "subcloud unmanage": subclouds.Unmanage,
    "subcloud sync": subclouds.Sync,
    "subcloud delete": subclouds.Delete,
    "audit run": audits.Run,
    "drift list": audits.ListDrift,
    "drift forget": audits.Forget,
    "resource list": audits.ListUnmanaged,
    "resource unmanage": audits.Unmanage,
    "resource manage": audits.Manage,
    "job list": jobs.ListJobs,
    "job show": jobs.Show,
    "job requests": jobs.ListRequests,
    "job wait": jobs.Wait,
    "job retry": jobs.Retry,
    "job cancel": jobs.Cancel,
    "job settle": jobs.Settle,
}


class ManageApp(App):  # type: ignore[misc]
    """Loads the configuration when a command first needs it: help works without any."""

    def __init__(self) -> None:
        commands = CommandManager("headwater.manage")
        for name, command in _COMMANDS.items():
            commands.add_command(name, command)
        super().__init__(
            description="Manage a headwater installation. Commands read and write its database, "
            "so they need its configuration and, for passwords, its key directory.",
            version=version("headwater"),
            command_manager=commands,
            # 'COMMAND --help' is about the command.
            deferred_help=True,
        )

    def build_option_parser(
        self, description: str, version: str, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Add oslo.config's options to cliff's own."""
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version, argparse_kwargs
        )
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="PATH",
            help="Configuration file; may be given several times, later ones win. "
            "Default: headwater.conf in oslo.config's search path.",
        )
        parser.add_argument(
            "--config-dir",
            action="append",
            default=[],
            metavar="DIR",
            help="Directory with configuration files, NAME.conf.",
        )
        return parser

    def configure_logging(self) -> None:
        """Show what a command says, not how alembic gets there."""
        super().configure_logging()
        logging.getLogger("alembic").setLevel(logging.WARNING)

    @functools.cached_property
    def conf(self) -> Any:
        """The configuration. Raises ConfigurationError."""
        arguments: list[str] = []
        for name in ("config_file", "config_dir"):
            for value in getattr(self.options, name):
                arguments += [f"--{name.replace('_', '-')}", value]
        return configuration.load(arguments, description="headwater-manage", set_up_logging=False)

    @functools.cached_property
    def registry(self) -> Registry:
        """The enabled endpoint types."""
        return build.registry(self.conf)

    @functools.cached_property
    def database(self) -> Database:
        """The database, with the schema of this version."""
        opened = build.open_database(self.conf)
        opened.check_writable()
        schema.check(opened)
        return opened

    @functools.cached_property
    def fleet(self) -> Fleet:
        """The subclouds."""
        return Fleet(self.database, self.registry.names)

    @functools.cached_property
    def key_ring(self) -> KeyRing:
        """The encryption keys."""
        return build.key_ring(self.conf)


def commands() -> Sequence[str]:
    """Names of all commands, for documentation and tests."""
    return tuple(_COMMANDS)

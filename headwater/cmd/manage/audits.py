# SPDX-License-Identifier: Apache-2.0
"""headwater-manage audit ..., drift ... and resource ..."""

import argparse
from collections.abc import Iterable
from typing import ClassVar

from cliff.command import Command
from cliff.lister import Lister

from headwater.cmd.manage.columns import limit
from headwater.common.clock import isoformat
from headwater.common.errors import InvalidInput
from headwater.db import drift, subclouds, unmanaged
from headwater.db.connection import Database

#: Subclouds that are asked in one transaction.
_PAGE = 500


class Run(Command):  # type: ignore[misc]
    """Compare subclouds with the central cloud now; 'drift list' shows what differs.

    What is found is repaired or only reported, as [endpoint_type:...] audit says.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Name some, or all."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", nargs="*", help="Region names of subclouds.")
        parser.add_argument("--all", action="store_true", help="All subclouds.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for the audits; a worker runs them within seconds."""
        if bool(parsed_args.name) == parsed_args.all:
            raise InvalidInput("Name the subclouds, or give --all.")
        number = 0
        for names in self._pages(parsed_args):
            number += self.app.fleet.audit(names)
        self.app.stdout.write(f"Audits of {number} lanes are asked for.\n")

    def _pages(self, parsed_args: argparse.Namespace) -> Iterable[list[str]]:
        if parsed_args.name:
            yield parsed_args.name
            return
        marker = ""
        while page := subclouds.list_page(self.app.database, limit=_PAGE, marker=marker):
            yield [each.region_name for each in page]
            marker = page[-1].region_name


class ListDrift(Lister):  # type: ignore[misc]
    """List in what subclouds differ from the central cloud, as their last audits found."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--subcloud", metavar="NAME", help="Only this subcloud.")
        parser.add_argument(
            "--resolved",
            action="store_true",
            help="Also what has been found before and is not any more.",
        )
        parser.add_argument("--limit", type=limit, default=1000, help="Most rows (default 1000).")
        parser.add_argument(
            "--marker", type=int, default=0, help="List those behind this value of Id."
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[object, ...]]]:
        """One row per resource of a subcloud."""
        if parsed_args.subcloud is not None:
            subclouds.get(self.app.database, parsed_args.subcloud)
        found = drift.list_page(
            self.app.database,
            limit=parsed_args.limit,
            after=parsed_args.marker,
            region_name=parsed_args.subcloud,
            resolved=parsed_args.resolved,
        )
        header = (
            "Id",
            "Subcloud",
            "Endpoint type",
            "Resource",
            "Key",
            "Name",
            "Difference",
            "Fields",
            "Action",
            "Since",
            "Last seen",
            "Seen",
            "Repairs",
            "Resolved",
        )
        return header, [
            (
                each.id,
                each.region_name,
                each.endpoint_type,
                each.resource_type,
                each.drift_key,
                each.name,
                each.kind.value,
                ", ".join(each.fields),
                each.action.value,
                isoformat(each.first_seen_at),
                isoformat(each.last_seen_at),
                each.times_seen,
                each.repairs,
                isoformat(each.resolved_at),
            )
            for each in found
        ]


class Forget(Command):  # type: ignore[misc]
    """Forget what audits found in a subcloud: its quarantines end with the next audit."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the region name."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", help="Region name of the subcloud.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete the rows."""
        subcloud = subclouds.get(self.app.database, parsed_args.name)
        number = drift.forget(self.app.database, subcloud.id)
        self.app.stdout.write(f"{number} differences of {parsed_args.name} are forgotten.\n")


class _Resource(Command):  # type: ignore[misc]
    """A command on one resource of one subcloud."""

    change: ClassVar["staticmethod[[Database, int, str, str, str], None]"]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what 'drift list' shows of it."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("subcloud", metavar="SUBCLOUD", help="Region name of the subcloud.")
        parser.add_argument("type", metavar="TYPE", help="Resource type, such as user.")
        parser.add_argument(
            "id",
            metavar="ID",
            help="Its id in the central cloud, or /ID with its id in the subcloud when the central "
            "cloud never had it; the column Key of 'drift list'.",
        )
        parser.add_argument(
            "--endpoint-type", default="identity", metavar="NAME", help="Default: identity."
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change its mark."""
        # Raises NotFound, as the rest does.
        self.app.registry.resource(parsed_args.endpoint_type, parsed_args.type)
        type(self).change(
            self.app.database,
            subclouds.get(self.app.database, parsed_args.subcloud).id,
            parsed_args.endpoint_type,
            parsed_args.type,
            parsed_args.id,
        )


class Unmanage(_Resource):
    """Let audits leave a resource of a subcloud alone. Changes of it are replayed all the same."""

    change = staticmethod(unmanaged.mark)


class Manage(_Resource):
    """Let audits look after a resource of one subcloud again."""

    change = staticmethod(unmanaged.unmark)


class ListUnmanaged(Lister):  # type: ignore[misc]
    """List the resources of a subcloud that audits leave alone."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the region name."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("subcloud", metavar="SUBCLOUD", help="Region name of the subcloud.")
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[object, ...]]]:
        """One row per mark."""
        subcloud = subclouds.get(self.app.database, parsed_args.subcloud)
        return ("Endpoint type", "Resource", "Key", "Since"), [
            (each.endpoint_type, each.resource_type, each.drift_key, isoformat(each.created_at))
            for each in unmanaged.of_subcloud(self.app.database, subcloud.id)
        ]

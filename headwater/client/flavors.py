# SPDX-License-Identifier: Apache-2.0
"""openstack pod flavor ..."""

import argparse

from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import nodes, options
from headwater.client.columns import Columns, Rows
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne


class _Named(OnOne):
    """A command on one flavor."""

    argument = ("name", "flavor", "Name of the flavor.")


class Create(_Named, command.ShowOne):  # type: ignore[misc]
    """Create a flavor: a size that nodes are composed in."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what a node of it needs."""
        parser = super().get_parser(prog_name)
        nodes.add_needs(parser)
        parser.add_argument("--description", metavar="<text>", help="Free text.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Store it."""
        given = {"name": parsed_args.name, **nodes.needs(parsed_args)}
        if parsed_args.description is not None:
            given["description"] = parsed_args.description
        return _columns(self.api.send("POST", "/v1/flavors", {"flavor": given})["flavor"])


class ListAll(command.Lister):  # type: ignore[misc]
    """List flavors."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_paging(parser, "flavor")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per flavor."""
        found = self.app.client_manager.headwater.pages(
            "/v1/flavors", "flavors", parsed_args.limit, marker=parsed_args.marker
        )
        header = ("Name", "CPUs", "Memory MiB", "Storage GiB", "Pod", "Labels", "Description")
        names = ("cpus", "memory_mib", "storage_gib", "pod")
        return header, (
            (
                each["name"],
                *(each["requirements"][name] for name in names),
                format_columns.DictColumn(each["requirements"]["labels"]),
                each["description"],
            )
            for each in found
        )


class Show(_Named, command.ShowOne):  # type: ignore[misc]
    """Show a flavor."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        return _columns(self.api.get(path_of("flavors", parsed_args.name))["flavor"])


class Delete(_Named):
    """Forget a flavor; nodes that were composed in it stay."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        self.api.send("DELETE", path_of("flavors", parsed_args.name))


def _columns(flavor: Json) -> Columns:
    shown = {**flavor, "requirements": format_columns.DictColumn(flavor["requirements"])}
    return tuple(shown), tuple(shown.values())

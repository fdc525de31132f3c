# SPDX-License-Identifier: Apache-2.0
"""openstack pod component ..."""

import argparse

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options, tasks
from headwater.client.columns import Columns, Rows
from headwater.client.machines import id_of as machine_id_of
from headwater.client.rest import Api, path_of
from headwater.client.single import OnOne


class ListAll(command.Lister):  # type: ignore[misc]
    """List chassis, resource blocks, zones, drives, volumes and ports."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--kind",
            choices=["chassis", "block", "zone", "drive", "volume", "port"],
            help="Only these.",
        )
        parser.add_argument("--pod", metavar="<pod>", help="Only those of this pod.")
        parser.add_argument("--machine", metavar="<machine>", help="Only those of this machine.")
        parser.add_argument("--node", metavar="<node>", help="Only the resource blocks it has.")
        tasks.add_refresh(parser)
        options.add_paging(parser, "component")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per component."""
        api = self.app.client_manager.headwater
        machine = parsed_args.machine
        query = {
            "kind": parsed_args.kind,
            "pod": parsed_args.pod,
            "machine": None if machine is None else machine_id_of(api, machine),
            "node": parsed_args.node,
        }
        if parsed_args.refresh:
            tasks.refresh(self.app, "/v1/components", limit=1, **query)
        found = api.pages(
            "/v1/components", "components", parsed_args.limit, marker=parsed_args.marker, **query
        )
        names = ("id", "kind", "name", "pod", "health", "state", "cpus", "memory_mib", "size_gib")
        header = (
            "ID",
            "Kind",
            "Name",
            "Pod",
            "Health",
            "State",
            "CPUs",
            "Memory MiB",
            "Size GiB",
            "Node",
            "Seen at",
        )
        return header, (tuple(each[name] for name in (*names, "node", "seen_at")) for each in found)


class Show(OnOne, command.ShowOne):  # type: ignore[misc]
    """Show a component as it was when it was last looked at."""

    argument = ("component", "component", "Id of the component.")

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        found = self.api.get(path_of("components", parsed_args.component))["component"]
        shown = {
            **found,
            "zones": format_columns.ListColumn(found["zones"]),
            "properties": format_columns.DictColumn(found["properties"]),
        }
        return tuple(shown), tuple(shown.values())


def id_of(api: Api, component: str, **query: str) -> str:
    """The id of a component that is given by id or name. CommandError unless it is one."""
    known = list(api.pages("/v1/components", "components", None, **query))
    found = [each["id"] for each in known if component in (each["id"], each["name"])]
    if len(found) != 1:
        what = "no" if not found else "more than one"
        raise exceptions.CommandError(f"There is {what} component {component!r} there.")
    return str(found[0])

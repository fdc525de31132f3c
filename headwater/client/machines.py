# SPDX-License-Identifier: Apache-2.0
"""openstack machine ..."""

import argparse
import uuid

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options, tasks
from headwater.client.columns import Columns, Rows
from headwater.client.rest import Api, path_of


class ListAll(command.Lister):  # type: ignore[misc]
    """List the machines of pods, as they were when they were last looked at."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--pod", metavar="<pod>", help="Only those of this pod.")
        tasks.add_refresh(parser)
        options.add_paging(parser, "machine")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per machine."""
        if parsed_args.refresh:
            tasks.refresh(self.app, "/v1/machines", pod=parsed_args.pod, limit=1)
        found = self.app.client_manager.headwater.pages(
            "/v1/machines",
            "machines",
            parsed_args.limit,
            marker=parsed_args.marker,
            pod=parsed_args.pod,
        )
        names = (
            "id",
            "name",
            "pod",
            "power_state",
            "health",
            "cpus",
            "memory_mib",
            "node",
            "seen_at",
        )
        header = ("ID", "Name", "Pod", "Power", "Health", "CPUs", "Memory MiB", "Node", "Seen at")
        return header, (tuple(each[name] for name in names) for each in found)


class Show(command.ShowOne):  # type: ignore[misc]
    """Show a machine as it was when it was last looked at."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the machine."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("machine", metavar="<machine>", help="Id or name of the machine.")
        tasks.add_refresh(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        api = self.app.client_manager.headwater
        machine_id = id_of(api, parsed_args.machine)
        if parsed_args.refresh:
            tasks.refresh(self.app, path_of("machines", machine_id))
        found = api.get(path_of("machines", machine_id))["machine"]
        shown = {**found, "properties": format_columns.DictColumn(found["properties"])}
        return tuple(shown), tuple(shown.values())


class Power(command.Command):  # type: ignore[misc]
    """Switch machines on or off, shut them down or reset them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the action and the machines."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        tasks.add_power(parser, "machine", "Id or name of a machine.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it for each; all names are looked up before the first order."""
        api = self.app.client_manager.headwater
        ids = [id_of(api, each) for each in parsed_args.machines]
        body = {"action": parsed_args.action}
        ordered = [
            api.send("POST", path_of("machines", each, "power"), body)["task"] for each in ids
        ]
        return tasks.ordered(self.app, ordered, wait=parsed_args.wait)


def id_of(api: Api, machine: str) -> str:
    """The id of a machine that is given by id or name. CommandError unless it is one."""
    try:
        return str(uuid.UUID(machine))
    except ValueError:
        found = list(api.pages("/v1/machines", "machines", 2, name=machine))
    if len(found) != 1:
        raise exceptions.CommandError(
            f"There is no machine {machine!r}; 'openstack machine list' shows all."
            if not found
            else f"Several machines are named {machine!r}; give an id."
        )
    return str(found[0]["id"])

# SPDX-License-Identifier: Apache-2.0
"""openstack node bios, firmware, volume, storage ..."""

import argparse
import json

from osc_lib import exceptions
from osc_lib.command import command

from headwater.client import components, options, tasks
from headwater.client.columns import Columns, Rows
from headwater.client.nodes import Ordered
from headwater.client.rest import path_of
from headwater.client.single import OnOne


class _Named(OnOne):
    """A command on one node."""

    argument = Ordered.argument


class ShowBios(_Named, command.Lister):  # type: ignore[misc]
    """Show the BIOS settings of a node, as its machine says them now."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per setting."""
        bios = tasks.read(self.app, path_of("nodes", parsed_args.name, "bios"), "bios")
        pending = bios["pending"]
        rows = ((name, value, pending.get(name, "")) for name, value in bios["attributes"].items())
        return ("Setting", "Value", "From the next start on"), rows


class SetBios(Ordered):
    """Change BIOS settings of a node; they hold from its next start on."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the settings."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "settings",
            type=options.label,
            nargs="+",
            metavar="<name>=<value>",
            help="true, false and numbers are taken as such; a text in double quotes is a text.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        attributes = {name: _value(text) for name, text in parsed_args.settings}
        return self.order(parsed_args, "bios", {"attributes": attributes})


def _value(text: str) -> object:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str | int) else text


class ShowFirmware(_Named, command.ShowOne):  # type: ignore[misc]
    """Show the versions of a node's firmware, as its machine says them now."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per piece."""
        path = path_of("nodes", parsed_args.name, "firmware")
        versions = tasks.read(self.app, path, "firmware")["versions"]
        return tuple(versions), tuple(versions.values())


class UpdateFirmware(Ordered):
    """Let a node install firmware from an image. Ordered once, whatever breaks."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the image."""
        parser = super().get_parser(prog_name)
        parser.add_argument("image", metavar="<url>", help="As the BMC can fetch it.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        return self.order(parsed_args, "firmware", {"image": parsed_args.image})


class CreateVolume(Ordered):
    """Make a volume of a node's drives."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what it shall be."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="<volume>", help="Name of the volume.")
        parser.add_argument(
            "--size-gib", type=options.positive, required=True, metavar="<number>", help="Size."
        )
        parser.add_argument(
            "--raid",
            choices=["RAID0", "RAID1", "RAID5", "RAID6", "RAID10"],
            help="Default: as the controller likes.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        volume = {"name": parsed_args.volume, "size_gib": parsed_args.size_gib}
        if parsed_args.raid is not None:
            volume["raid"] = parsed_args.raid
        return self.order(parsed_args, "volumes", {"volume": volume})


class DeleteVolume(Ordered):
    """Delete a volume of a node with what is on it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the volume."""
        parser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="<volume>", help="Id or name of the volume.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        node = self.api.get(path_of("nodes", parsed_args.name))["node"]
        if node["machine"] is None:
            raise exceptions.CommandError(f"The node {parsed_args.name!r} has no machine yet.")
        query = {"machine": node["machine"]["id"], "kind": "volume"}
        volume = components.id_of(self.api, parsed_args.volume, **query)
        path = path_of("nodes", parsed_args.name, "volumes", volume)
        task = self.api.send("DELETE", path)["task"]
        return tasks.ordered(self.app, [task], wait=parsed_args.wait)


class Attach(Ordered):
    """Attach storage to a composed node: the smallest free resource block that is enough."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the size."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--size-gib", type=options.positive, required=True, metavar="<number>", help="At least."
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        return self.order(parsed_args, "attach", {"size_gib": parsed_args.size_gib})


class Detach(Ordered):
    """Take a resource block from a composed node; others may have it then."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the block."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "block",
            metavar="<block>",
            help="Id or name; 'pod component list --node <node>' shows all.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        block = components.id_of(self.api, parsed_args.block, node=parsed_args.name)
        return self.order(parsed_args, "detach", {"block": block})

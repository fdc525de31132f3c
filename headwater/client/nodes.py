# SPDX-License-Identifier: Apache-2.0
"""openstack node ..."""

import argparse

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options, tasks
from headwater.client.columns import Columns, Rows
from headwater.client.machines import id_of
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne


class _Named(OnOne):
    """A command on one node."""

    argument = ("name", "node", "Name of the node.")


def add_needs(parser: argparse.ArgumentParser) -> None:
    """What a node needs."""
    parser.add_argument("--pod", metavar="<pod>", help="Where (default: wherever it fits).")
    for name, text in (
        ("cpus", "At least so many processors."),
        ("memory-mib", "At least so much memory."),
        ("storage-gib", "At least so much on drives."),
    ):
        parser.add_argument(f"--{name}", type=options.positive, metavar="<number>", help=text)
    options.add_labels(parser, "That the pod has to have; of several all must match.")


def needs(parsed_args: argparse.Namespace) -> Json:
    """What of it is given."""
    names = ("pod", "cpus", "memory_mib", "storage_gib")
    found = {name: getattr(parsed_args, name) for name in names}
    if parsed_args.label:
        found["labels"] = dict(parsed_args.label)
    return {name: value for name, value in found.items() if value is not None}


class Compose(_Named, command.ShowOne):  # type: ignore[misc]
    """Compose a node: have what fits best to yourself.

    Of resource blocks a machine is made; the node is 'composing' until it is there.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what it needs."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--flavor", metavar="<flavor>", help="Name of a flavor.")
        add_needs(parser)
        parser.add_argument(
            "--wait", action="store_true", help="Watch until a machine that is made is there."
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Reserve it."""
        given = {"name": parsed_args.name, **needs(parsed_args)}
        if parsed_args.flavor is not None:
            given["flavor"] = parsed_args.flavor
        node = self.api.send("POST", "/v1/nodes", {"node": given})["node"]
        if parsed_args.wait and node["state"] == "composing":
            found = self.api.pages("/v1/tasks", "tasks", 9, machine=node["id"])
            # One that failed is followed by a task that takes it apart.
            task = next((each for each in found if each["action"] == "compose-node"), None)
            if task is None or not tasks.made(self.app, task):
                raise exceptions.CommandError(f"The node {parsed_args.name!r} was not composed.")
            node = self.api.get(path_of("nodes", parsed_args.name))["node"]
        return _columns(node)


class Adopt(_Named, command.ShowOne):  # type: ignore[misc]
    """Make a node of one machine, as it is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the machine."""
        parser = super().get_parser(prog_name)
        parser.add_argument("machine", metavar="<machine>", help="Id or name of the machine.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Reserve it."""
        machine = id_of(self.api, parsed_args.machine)
        given = {"name": parsed_args.name, "machine": machine}
        return _columns(self.api.send("POST", "/v1/nodes", {"node": given})["node"])


class ListAll(command.Lister):  # type: ignore[misc]
    """List nodes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_paging(parser, "node")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per node."""
        found = self.app.client_manager.headwater.pages(
            "/v1/nodes", "nodes", parsed_args.limit, marker=parsed_args.marker
        )
        header = ("Name", "State", "Pod", "Machine", "Power", "CPUs", "Memory MiB")
        names = ("name", "power_state", "cpus", "memory_mib")
        return header, (
            (
                each["name"],
                each["state"],
                each["pod"],
                *((each["machine"] or {}).get(name) for name in names),
            )
            for each in found
        )


class Show(_Named, command.ShowOne):  # type: ignore[misc]
    """Show a node and its machine."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        return _columns(self.api.get(path_of("nodes", parsed_args.name))["node"])


class Power(command.Command):  # type: ignore[misc]
    """Switch nodes on or off, shut them down or reset them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the action and the nodes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        tasks.add_power(parser, "node", "Name of a node.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it for each."""
        api = self.app.client_manager.headwater
        body = tasks.with_deadline(parsed_args, {"action": parsed_args.action})
        ordered = [
            api.send("POST", path_of("nodes", each, "power"), body)["task"]
            for each in parsed_args.nodes
        ]
        return tasks.ordered(self.app, ordered, wait=parsed_args.wait)


class Ordered(OnOne):
    """A command that orders something for one node."""

    argument = _Named.argument

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take whether to watch."""
        parser = super().get_parser(prog_name)
        tasks.add_wait(parser)
        return parser

    def order(self, parsed_args: argparse.Namespace, what: str, body: Json) -> int:
        """Send it; the exit code."""
        path = path_of("nodes", parsed_args.name, what)
        task = self.api.send("POST", path, tasks.with_deadline(parsed_args, body))["task"]
        return tasks.ordered(self.app, [task], wait=parsed_args.wait)


class Boot(Ordered):
    """Let a node boot from something else the next time."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device."""
        parser = super().get_parser(prog_name)
        parser.add_argument("device", choices=["Hdd", "Pxe", "Cd", "UefiHttp", "BiosSetup"])
        parser.add_argument("--always", action="store_true", help="From now on.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        body = {"device": parsed_args.device, "once": not parsed_args.always}
        return self.order(parsed_args, "boot", body)


class BootImage(Ordered):
    """Boot a node from an image: virtual CD, boot once, power on or reset. One task."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the image."""
        parser = super().get_parser(prog_name)
        parser.add_argument("image", metavar="<url>", help="As the BMC can fetch it.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        return self.order(parsed_args, "boot_image", {"image": parsed_args.image})


class InsertMedia(Ordered):
    """Insert an image into a node's virtual CD drive."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the image."""
        parser = super().get_parser(prog_name)
        parser.add_argument("image", metavar="<url>", help="As the BMC can fetch it.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        return self.order(parsed_args, "media", {"image": parsed_args.image})


class EjectMedia(Ordered):
    """Eject what is in a node's virtual CD drive."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        return self.order(parsed_args, "media", {"image": None})


class Delete(Ordered):
    """Take a node apart: its machine is switched off, and then free for others or taken apart."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take whether to ask the pod."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--force",
            action="store_true",
            help="Forget it at once without asking its pod, for pods that are gone. Its machine "
            "stays as it is, and counts as free.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        if parsed_args.force:
            self.api.send("DELETE", path_of("nodes", parsed_args.name))
            return 0
        return self.order(parsed_args, "release", {})


def _columns(node: Json) -> Columns:
    shown = {
        **node,
        "requirements": format_columns.DictColumn(node["requirements"]),
        "machine": format_columns.DictColumn(node["machine"] or {}),
    }
    return tuple(shown), tuple(shown.values())

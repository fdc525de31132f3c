# SPDX-License-Identifier: Apache-2.0
"""openstack subcloud ..."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options, passwords
from headwater.client.columns import Columns, Rows
from headwater.client.rest import Api, Json, path_of
from headwater.client.single import OnOne

_ACCESS = {
    "auth-url": "Address of the subcloud's Keystone, such as https://cloud.example:5000/v3.",
    "username": "User with the role admin in the subcloud (default: admin).",
    "user-domain-name": "Domain of that user (default: Default).",
    "project-name": "Project to log in to (default: admin).",
    "project-domain-name": "Domain of that project (default: Default).",
    "description": "Free text.",
}


class _Named(OnOne):
    """A command on one subcloud."""

    argument = ("name", "subcloud", "Region name of the subcloud.")


def _add_access(parser: argparse.ArgumentParser, required: str = "") -> None:
    # Or --password <word> would be read as --password-file <word>.
    parser.allow_abbrev = False
    for name, text in _ACCESS.items():
        parser.add_argument(f"--{name}", metavar=f"<{name}>", required=name == required, help=text)
    options.add_labels(parser, "Label to pick it by; may be given several times.")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="<path>",
        help="File with the password in its first line. Otherwise "
        f"{passwords.VARIABLE} or a prompt.",
    )


def _access(parsed_args: argparse.Namespace) -> Json:
    names = [name.replace("-", "_") for name in _ACCESS]
    found = {name: getattr(parsed_args, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


class Add(_Named, command.ShowOne):  # type: ignore[misc]
    """Add a subcloud. It is unmanaged: nothing is replayed there until 'subcloud manage'."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the access data."""
        parser = super().get_parser(prog_name)
        _add_access(parser, required="auth-url")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Send it; the password goes encrypted into the database."""
        new = {
            "name": parsed_args.name,
            **_access(parsed_args),
            "labels": dict(parsed_args.label or ()),
            "password": passwords.read(parsed_args.password_file),
        }
        return _columns(self.api.send("POST", "/v1/subclouds", {"subcloud": new})["subcloud"])


class Set(_Named):
    """Change how a subcloud is reached, what it is called, or whether it is online."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the access data, all optional."""
        parser = super().get_parser(prog_name)
        _add_access(parser)
        parser.add_argument(
            "--unset-label",
            action="append",
            default=[],
            metavar="<name>",
            help="Label to take away; may be given several times.",
        )
        parser.add_argument(
            "--password",
            action="store_true",
            help=f"Change the password, read from {passwords.VARIABLE} or a prompt.",
        )
        parser.add_argument(
            "--availability",
            choices=["online", "offline", "measured"],
            help="Say whether it is online, whatever is measured. An offline subcloud keeps its "
            "backlog, and nothing is sent to it. 'measured' ends that.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change what was read a moment ago, and nothing that somebody else changed meanwhile."""
        path = path_of("subclouds", parsed_args.name)
        present = self.api.get(path)["subcloud"]
        changes = _access(parsed_args)
        if parsed_args.label or parsed_args.unset_label:
            labels = {**present["labels"], **dict(parsed_args.label or ())}
            changes["labels"] = {
                name: value for name, value in labels.items() if name not in parsed_args.unset_label
            }
        if parsed_args.availability:
            word = parsed_args.availability
            changes["availability_override"] = None if word == "measured" else word
        if parsed_args.password or parsed_args.password_file is not None:
            changes["password"] = passwords.read(parsed_args.password_file)
        if not changes:
            raise exceptions.CommandError("Nothing to change was given.")
        self.api.send(
            "PATCH", path, {"subcloud": changes}, {"If-Match": f'"{present["generation"]}"'}
        )


class ListAll(command.Lister):  # type: ignore[misc]
    """List subclouds."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter, sort, page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--management-state", choices=["managed", "unmanaged"], help="Only these."
        )
        parser.add_argument(
            "--availability", choices=["unknown", "online", "offline"], help="Only these."
        )
        options.add_labels(parser, "Only those with this label; of several all must match.")
        parser.add_argument(
            "--sort-key",
            choices=[
                "name",
                "created_at",
                "updated_at",
                "management_state",
                "availability_status",
            ],
            help="Sort by this (default: name).",
        )
        parser.add_argument("--sort-dir", choices=["asc", "desc"], help="Default: asc.")
        options.add_paging(parser, "subcloud")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per subcloud."""
        found = self.app.client_manager.headwater.pages(
            "/v1/subclouds",
            "subclouds",
            parsed_args.limit,
            marker=parsed_args.marker,
            management_state=parsed_args.management_state,
            availability_status=parsed_args.availability,
            label=options.query_labels(parsed_args.label),
            sort_key=parsed_args.sort_key,
            sort_dir=parsed_args.sort_dir,
        )
        header = ("Name", "Management", "Availability", "Labels", "Auth URL", "Description")
        return header, (
            (
                each["name"],
                each["management_state"],
                each["availability_status"],
                format_columns.DictColumn(each["labels"]),
                each["auth_url"],
                each["description"],
            )
            for each in found
        )


class Show(_Named, command.ShowOne):  # type: ignore[misc]
    """Show a subcloud and its lanes."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property, and per property of each lane."""
        return _columns(self.api.get(path_of("subclouds", parsed_args.name))["subcloud"])


def _columns(subcloud: Json) -> Columns:
    lanes = subcloud.pop("lanes", [])
    shown: Json = {**subcloud, "labels": format_columns.DictColumn(subcloud["labels"])}
    for lane in lanes:
        name, audit, initial = lane["endpoint_type"], lane["audit"], lane["initial_sync"]
        progress = [
            f"{kind} {each['done']}/{each['total']}"
            for kind, each in initial.get("progress", {}).items()
        ]
        shown |= {
            f"{name}_sync_status": lane["sync_status"],
            f"{name}_sync_status_since": lane["sync_status_since"],
            f"{name}_pending": lane["pending"],
            f"{name}_failed": lane["failed"],
            f"{name}_oldest_pending_at": lane["oldest_pending_at"],
            f"{name}_next_try_at": lane["next_try_at"],
            f"{name}_last_error": lane["last_error"],
            f"{name}_worker": lane["worker"],
            f"{name}_initial_sync": initial["state"],
            f"{name}_initial_sync_progress": format_columns.ListColumn(progress),
            f"{name}_audit": audit["status"],
            f"{name}_audited_at": audit["audited_at"],
            f"{name}_next_audit_at": audit["next_audit_at"],
            f"{name}_audit_error": audit["error"],
        }
    return tuple(shown), tuple(shown.values())


class _Several(command.Command):  # type: ignore[misc]
    """The same for several subclouds: one that fails does not keep the others from it."""

    #: Whether --all picks every subcloud.
    may_take_all = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take names."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "names",
            metavar="<subcloud>",
            nargs="*" if self.may_take_all else "+",
            help="Region name of a subcloud.",
        )
        if self.may_take_all:
            parser.add_argument("--all", action="store_true", help="All subclouds.")
        return parser

    def each(self, parsed_args: argparse.Namespace, do: Callable[[Api, str], object]) -> None:
        """Do it for each; raises CommandError with the number of those that failed."""
        api = self.app.client_manager.headwater
        names = parsed_args.names
        if self.may_take_all:
            if bool(names) == parsed_args.all:
                raise exceptions.CommandError("Name the subclouds, or give --all.")
            if parsed_args.all:
                names = [each["name"] for each in api.pages("/v1/subclouds", "subclouds")]
        failed = 0
        for name in names:
            try:
                do(api, name)
            except exceptions.CommandError as error:
                failed += 1
                self.app.stderr.write(f"{name}: {error}\n")
        if failed:
            raise exceptions.CommandError(f"{failed} of {len(names)} subclouds failed.")

    def post(self, action: str, body: Json | None = None) -> Callable[[Api, str], Any]:
        """An action on one subcloud."""
        return lambda api, name: api.send("POST", path_of("subclouds", name, action), body or {})


class Manage(_Several):
    """Bring subclouds to the central cloud's state, and replay changes there from now on."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set the state."""
        self.each(parsed_args, self.post("manage"))


class Unmanage(_Several):
    """Replay nothing on subclouds any more. Their backlog is kept unless you say otherwise."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Ask what becomes of the backlog."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--drop-backlog",
            action="store_true",
            help="Forget the changes that they have not had, with their passwords. The initial "
            "sync brings what is still true when they are managed again.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set the state."""
        self.each(parsed_args, self.post("unmanage", {"drop_backlog": parsed_args.drop_backlog}))


class Delete(_Several):
    """Forget unmanaged subclouds with their backlogs and passwords. The clouds are not touched."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete."""
        self.each(parsed_args, lambda api, name: api.send("DELETE", path_of("subclouds", name)))


class Sync(_Several):
    """Let what waits for subclouds run now, whatever their back-offs."""

    may_take_all = True

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it."""
        self.each(parsed_args, self.post("sync"))


class Audit(_Several):
    """Compare subclouds with the central cloud now; 'orchestration drift list' shows the result."""

    may_take_all = True

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for it."""
        self.each(parsed_args, self.post("audit"))

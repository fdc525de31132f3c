# SPDX-License-Identifier: Apache-2.0
"""openstack pod ..."""

import argparse
import re
from pathlib import Path

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options, passwords, tasks
from headwater.client.columns import Columns, Rows
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne


class _Named(OnOne):
    """A command on one pod."""

    argument = ("name", "pod", "Name of the pod.")


def _add_access(parser: argparse.ArgumentParser) -> None:
    # Or --password <word> would be read as --password-file <word>.
    parser.allow_abbrev = False
    parser.add_argument(
        "--address",
        action="append",
        metavar="<url>",
        help="Of the pod manager, or of a BMC, such as https://10.0.0.7; may be given many times.",
    )
    parser.add_argument(
        "--address-file",
        type=Path,
        metavar="<path>",
        help="File with one address per line.",
    )
    parser.add_argument("--username", metavar="<name>", help="Redfish user (default: admin).")
    parser.add_argument("--description", metavar="<text>", help="Free text.")
    parser.add_argument(
        "--ca-file",
        type=Path,
        metavar="<path>",
        help="Certificates of the authorities that signed the pod's, as PEM (default: those that "
        "the system trusts).",
    )
    parser.add_argument(
        "--fingerprint",
        type=_fingerprint,
        metavar="<sha256>",
        help="Trust the one certificate with this SHA-256 instead, as 'openssl x509 -noout "
        "-fingerprint -sha256' shows it; an empty text ends that.",
    )
    options.add_labels(parser, "Label to pick it by; may be given several times.")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="<path>",
        help="File with the password in its first line. Otherwise "
        f"{passwords.POD_VARIABLE} or a prompt.",
    )


def _fingerprint(text: str) -> str:
    """64 hexadecimal digits, with or without colons, for argparse."""
    plain = text.rpartition("=")[2].replace(":", "").lower()
    if plain and not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256 of a certificate.")
    return plain


def _access(parsed_args: argparse.Namespace) -> Json:
    addresses = list(parsed_args.address or ())
    if parsed_args.address_file is not None:
        lines = _read("--address-file", parsed_args.address_file).splitlines()
        addresses += [line.strip() for line in lines if line.strip()]
    certificates = None
    if parsed_args.ca_file is not None:
        certificates = _read("--ca-file", parsed_args.ca_file)
    found = {
        "addresses": addresses or None,
        "username": parsed_args.username,
        "description": parsed_args.description,
        "ca_certificates": certificates,
    }
    access = {name: value for name, value in found.items() if value is not None}
    if parsed_args.fingerprint is not None:
        access["tls_fingerprint"] = parsed_args.fingerprint or None
    return access


def _read(option: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise exceptions.CommandError(f"{option} {file}: {error}") from error


class Add(_Named, command.ShowOne):  # type: ignore[misc]
    """Add a pod: a pod manager, or a list of BMCs. Its inventory is read at once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add driver and access data."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--driver",
            default="bmc_fleet",
            metavar="<driver>",
            help="How to speak to it: bmc_fleet, a list of BMCs with Redfish (default), or "
            "redfish, a pod manager that composes machines.",
        )
        _add_access(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Send it; the password goes encrypted into the database."""
        new = {
            "name": parsed_args.name,
            "driver": parsed_args.driver,
            **_access(parsed_args),
            "labels": dict(parsed_args.label or ()),
            "password": passwords.read(parsed_args.password_file, passwords.POD_VARIABLE),
        }
        if "addresses" not in new:
            raise exceptions.CommandError("Give --address or --address-file.")
        return _columns(self.api.send("POST", "/v1/pods", {"pod": new})["pod"])


class Set(_Named):
    """Change how a pod is reached, its description or its labels."""

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
            help=f"Change the password, read from {passwords.POD_VARIABLE} or a prompt.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change what is given; addresses replace all that there were."""
        changes = _access(parsed_args)
        if parsed_args.label or parsed_args.unset_label:
            present = self.api.get(path_of("pods", parsed_args.name))["pod"]
            labels = {**present["labels"], **dict(parsed_args.label or ())}
            changes["labels"] = {
                name: value for name, value in labels.items() if name not in parsed_args.unset_label
            }
        if parsed_args.password or parsed_args.password_file is not None:
            changes["password"] = passwords.read(parsed_args.password_file, passwords.POD_VARIABLE)
        if not changes:
            raise exceptions.CommandError("Nothing to change was given.")
        self.api.send("PATCH", path_of("pods", parsed_args.name), {"pod": changes})


class ListAll(command.Lister):  # type: ignore[misc]
    """List pods."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_labels(parser, "Only those with this label; of several all must match.")
        options.add_paging(parser, "pod")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per pod."""
        found = self.app.client_manager.headwater.pages(
            "/v1/pods",
            "pods",
            parsed_args.limit,
            marker=parsed_args.marker,
            label=options.query_labels(parsed_args.label),
        )
        header = ("Name", "Driver", "Availability", "Addresses", "Synced at", "Description")
        return header, (
            (
                each["name"],
                each["driver"],
                each["availability_status"],
                len(each["addresses"]),
                each["synced_at"],
                each["description"],
            )
            for each in found
        )


class Show(_Named, command.ShowOne):  # type: ignore[misc]
    """Show a pod."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        return _columns(self.api.get(path_of("pods", parsed_args.name))["pod"])


class Sync(_Named):
    """Read the inventory of a pod anew."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take whether to watch."""
        parser = super().get_parser(prog_name)
        tasks.add_wait(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        path = path_of("pods", parsed_args.name, "sync")
        task = self.api.send("POST", path, tasks.with_deadline(parsed_args, {}))["task"]
        return tasks.ordered(self.app, [task], wait=parsed_args.wait)


class Delete(_Named):
    """Forget a pod with its inventory, tasks and password. Nothing in the pod changes."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        self.api.send("DELETE", path_of("pods", parsed_args.name))


def _columns(pod: Json) -> Columns:
    shown = {
        **pod,
        "addresses": format_columns.ListColumn(pod["addresses"]),
        "labels": format_columns.DictColumn(pod["labels"]),
    }
    return tuple(shown), tuple(shown.values())

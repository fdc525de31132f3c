# SPDX-License-Identifier: Apache-2.0
"""headwater-manage subcloud ..."""

import argparse
import logging
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from headwater.cmd import build
from headwater.cmd.manage import passwords
from headwater.cmd.manage.columns import Columns, limit, record_columns
from headwater.common.clock import isoformat
from headwater.common.errors import ExchangeError, InvalidInput
from headwater.common.states import Availability, InitialSync, Management
from headwater.db import audits, lanes, subclouds
from headwater.db.records import Lane, NewSubcloud
from headwater.engine.fleet import public_view

LOG = logging.getLogger(__name__)

#: Characters, of a text and of an auth_url.
_LONGEST = (255, 1024)

_ACCESS = {
    "auth_url": "Address of the subcloud's Keystone, such as https://cloud.example:5000/v3.",
    "username": "User with the role admin in the subcloud.",
    "user_domain_name": "Domain of that user.",
    "project_name": "Project to log in to.",
    "project_domain_name": "Domain of that project.",
    "description": "Free text.",
}


_AVAILABILITY = {
    "online": Availability.ONLINE,
    "offline": Availability.OFFLINE,
    "measured": Availability.UNKNOWN,
}


class _Named(Command):  # type: ignore[misc]
    """A command on one subcloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the region name."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", help="Region name of the subcloud.")
        return parser


def _add_access(parser: argparse.ArgumentParser, required: Iterable[str]) -> None:
    # Or --password WORD would be read as --password-file WORD.
    parser.allow_abbrev = False
    for name, text in _ACCESS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", required=name in required, help=text)
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="PATH",
        help=f"File with the password in its first line. Otherwise {passwords.VARIABLE} or a "
        "prompt.",
    )


def _check(parsed_args: argparse.Namespace) -> None:
    """Raise InvalidInput for what cannot be stored or used."""
    name = parsed_args.name
    usable = name.isprintable() and "/" not in name and name == name.strip()
    if not usable or not 0 < len(name) <= _LONGEST[False]:
        raise InvalidInput(f"{name!r} cannot be a region name.")
    for option in _ACCESS:
        value = getattr(parsed_args, option) or ""
        if len(value) > _LONGEST[option == "auth_url"] or "\0" in value:
            raise InvalidInput(f"--{option.replace('_', '-')}: is too long or not a text.")
    if parsed_args.auth_url is None:
        return
    try:
        parts = urlsplit(parsed_args.auth_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(f"--auth-url {parsed_args.auth_url}: is not an http or https URL.")
    if parts.username or parts.password:
        raise InvalidInput("--auth-url: must not contain credentials.")


class Add(_Named, ShowOne):  # type: ignore[misc]
    """Add a subcloud. It is unmanaged: nothing is replayed there until 'subcloud manage'."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the access data."""
        parser = super().get_parser(prog_name)
        _add_access(parser, required=("auth_url",))
        parser.set_defaults(
            username="admin",
            user_domain_name="Default",
            project_name="admin",
            project_domain_name="Default",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Encrypt the password and store."""
        _check(parsed_args)
        # Before anybody types a password.
        subclouds.refuse_known(self.app.database, parsed_args.name)
        password = passwords.read(parsed_args.password_file)
        access = {name: getattr(parsed_args, name) for name in _ACCESS}
        added = self.app.fleet.add(
            NewSubcloud(
                region_name=parsed_args.name,
                credentials=self.app.key_ring.encrypt({"password": password}),
                **access,
            )
        )
        return record_columns(public_view(added))


class Set(_Named, ShowOne):  # type: ignore[misc]
    """Change how a subcloud is reached; a new password is asked for with --password."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the access data, all optional."""
        parser = super().get_parser(prog_name)
        _add_access(parser, required=())
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

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Store what was given, and let waiting lanes try at once."""
        _check(parsed_args)
        subclouds.get(self.app.database, parsed_args.name)
        values = {
            name: getattr(parsed_args, name)
            for name in _ACCESS
            if getattr(parsed_args, name) is not None
        }
        if parsed_args.password or parsed_args.password_file is not None:
            password = passwords.read(parsed_args.password_file)
            values["credentials"] = self.app.key_ring.encrypt({"password": password})
        word = parsed_args.availability
        if not values and word is None:
            raise InvalidInput("Nothing to change was given.")
        if values:
            self.app.fleet.update(parsed_args.name, values)
        if word is not None:
            self.app.fleet.set_states(parsed_args.name, availability=_AVAILABILITY[word])
        changed = subclouds.get(self.app.database, parsed_args.name)
        return record_columns(public_view(changed))


class ListAll(Lister):  # type: ignore[misc]
    """List all subclouds with the state of their lanes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=limit, default=1000, help="Most rows (default 1000).")
        parser.add_argument("--marker", default="", help="List those behind this name.")
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[object, ...]]]:
        """One row per lane."""
        opened = self.app.database
        page = subclouds.list_page(opened, limit=parsed_args.limit, marker=parsed_args.marker)
        of: dict[int, list[Lane]] = {subcloud.id: [] for subcloud in page}
        for lane in lanes.of_subclouds(opened, list(of)):
            of[lane.subcloud_id].append(lane)
        rows = [
            (
                subcloud.region_name,
                subcloud.management_state.value,
                subcloud.availability_status.value,
                lane.endpoint_type,
                lane.sync_status.value,
                lane.pending,
                lane.failed,
            )
            for subcloud in page
            for lane in of[subcloud.id]
        ]
        header = (
            "Name",
            "Management",
            "Availability",
            "Endpoint type",
            "Sync status",
            "Pending",
            "Failed",
        )
        return header, rows


class Show(_Named, ShowOne):  # type: ignore[misc]
    """Show a subcloud, without its password, and its lanes."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        subcloud = subclouds.get(self.app.database, parsed_args.name)
        view = public_view(subcloud)
        of_subcloud = lanes.of_subclouds(self.app.database, [subcloud.id])
        known = audits.of_lanes(self.app.database, [lane.id for lane in of_subcloud])
        for lane in of_subcloud:
            prefix = lane.endpoint_type
            view[f"{prefix}_sync_request"] = lane.sync_request.value
            view[f"{prefix}_sync_status"] = lane.sync_status.value
            view[f"{prefix}_sync_status_since"] = isoformat(lane.sync_status_changed_at)
            view[f"{prefix}_pending"] = lane.pending
            view[f"{prefix}_failed"] = lane.failed
            view[f"{prefix}_next_try_at"] = isoformat(lane.next_try_at)
            view[f"{prefix}_last_error"] = lane.last_error
            audit = known[lane.id]
            view[f"{prefix}_initial_sync"] = audit.initial_sync.value
            if audit.initial_sync is InitialSync.IN_PROGRESS:
                waiting = audits.waiting(self.app.database, [lane.id])[lane.id]
                view[f"{prefix}_initial_sync_progress"] = ", ".join(
                    f"{name} {max(0, total - waiting.get(name, 0))}/{total}"
                    for name, total in audit.totals.items()
                    if total
                )
            view[f"{prefix}_audit"] = audit.status.value
            view[f"{prefix}_audited_at"] = isoformat(audit.audited_at)
            view[f"{prefix}_next_audit_at"] = isoformat(audit.next_audit_at)
            view[f"{prefix}_audit_error"] = audit.error
        return record_columns(view)


class Manage(_Named):
    """Replay changes on a subcloud from now on."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set the state, let its backlog run, and say whether the subcloud can be used."""
        subcloud = self.app.fleet.set_states(parsed_args.name, Management.MANAGED)
        self.app.stdout.write(f"Subcloud {parsed_args.name} is managed.\n")
        access = build.subcloud_access(self.app.conf, self.app.key_ring)
        for endpoint_type in self.app.registry:
            try:
                access.client(subcloud, endpoint_type.service_type, lambda: None).root()
            except ExchangeError as error:
                LOG.warning("%s does not work yet: %s", endpoint_type.name, error)


class Unmanage(_Named):
    """Replay nothing on a subcloud any more. Its backlog is kept unless you say otherwise."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Ask what becomes of the backlog."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--drop-backlog",
            action="store_true",
            help="Forget the changes that it has not had, with their passwords. The initial sync "
            "brings what is still true when it is managed again.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set the state."""
        self.app.fleet.set_states(parsed_args.name, Management.UNMANAGED)
        if parsed_args.drop_backlog:
            number = self.app.fleet.drop_backlog(parsed_args.name)
            self.app.stdout.write(f"{number} requests are forgotten.\n")


class Delete(_Named):
    """Forget an unmanaged subcloud with its backlog and password. The cloud is not touched."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete, with the bodies of changes that only this subcloud still waited for."""
        self.app.fleet.delete(parsed_args.name)


class Sync(Command):  # type: ignore[misc]
    """Let what waits for subclouds run now, whatever their back-offs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the region names."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("names", metavar="NAME", nargs="+", help="Region name of a subcloud.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask for the lanes."""
        number = self.app.fleet.sync(parsed_args.names)
        self.app.stdout.write(f"{number} lanes with a backlog run within seconds.\n")

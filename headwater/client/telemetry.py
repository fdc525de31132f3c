# SPDX-License-Identifier: Apache-2.0
"""openstack pod telemetry policy ..., pod metric list, pod event list."""

import argparse
from typing import Any

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import options
from headwater.client.columns import Columns, Rows
from headwater.client.machines import id_of
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne

_PATH = "/v1/telemetry_policies"


class _Named(OnOne):
    """A command on one policy."""

    argument = ("name", "policy", "Name of the policy.")


class Create(_Named, command.ShowOne):  # type: ignore[misc]
    """Poll pods again and again: power, health and sensors of their machines."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which pods, how often, and what is worth an event."""
        parser = super().get_parser(prog_name)
        _add_fields(parser, required=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Send it."""
        new = {"name": parsed_args.name, **_fields(parsed_args)}
        return _columns(self.api.send("POST", _PATH, {"telemetry_policy": new}))


class Set(_Named):
    """Change a telemetry policy. Labels and thresholds replace all that there were."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the fields, all optional."""
        parser = super().get_parser(prog_name)
        _add_fields(parser, required=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change what is given."""
        changes = _fields(parsed_args)
        if not changes:
            raise exceptions.CommandError("Nothing to change was given.")
        path = path_of("telemetry_policies", parsed_args.name)
        self.api.send("PATCH", path, {"telemetry_policy": changes})


def _add_fields(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--interval",
        type=options.positive,
        required=required,
        metavar="<seconds>",
        help="Seconds between two polls, 5 to 3600.",
    )
    options.add_labels(
        parser, "That a pod has to have; may be given many times (default: all pods)."
    )
    for side in ("above", "below"):
        parser.add_argument(
            f"--{side}",
            type=threshold(side),
            action="append",
            dest="thresholds",
            metavar="<metric>=<value>[:<severity>[:<hysteresis>]]",
            help=f"Raise an event {side} this value, such as temperature_celsius=80:critical; the "
            "severity is warning or critical (default: warning). May be given many times.",
        )
    parser.add_argument("--description", metavar="<text>", help="Free text.")


def _fields(parsed_args: argparse.Namespace) -> Json:
    labels = parsed_args.label
    given = {
        "interval": parsed_args.interval,
        "labels": None if labels is None else dict(labels),
        "thresholds": parsed_args.thresholds,
        "description": parsed_args.description,
    }
    return {name: value for name, value in given.items() if value is not None}


def threshold(side: str) -> Any:
    """A reader of METRIC=VALUE[:SEVERITY[:HYSTERESIS]], for argparse."""

    def read(text: str) -> Json:
        metric, _, rest = text.partition("=")
        value, severity, hysteresis = (*rest.split(":"), "", "")[:3]
        try:
            found: Json = {"metric": metric, side: float(value)}
            found["severity"] = severity or "warning"
            if hysteresis:
                found["hysteresis"] = float(hysteresis)
        except ValueError:
            metric = ""
        if not metric or rest.count(":") > 2 or severity not in ("", "warning", "critical"):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not <metric>=<value>[:<severity>[:<hysteresis>]]."
            )
        return found

    return read


class ListAll(command.Lister):  # type: ignore[misc]
    """List telemetry policies."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_paging(parser, "policy")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per policy."""
        found = self.app.client_manager.headwater.pages(
            _PATH, "telemetry_policies", parsed_args.limit, marker=parsed_args.marker
        )
        header = ("Name", "Labels", "Interval", "Thresholds", "Description")
        return header, (
            (
                each["name"],
                format_columns.DictColumn(each["labels"]),
                each["interval"],
                format_columns.ListColumn([_text(one) for one in each["thresholds"]]),
                each["description"],
            )
            for each in found
        )


class Show(_Named, command.ShowOne):  # type: ignore[misc]
    """Show a telemetry policy."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        return _columns(self.api.get(path_of("telemetry_policies", parsed_args.name)))


class Delete(_Named):
    """Forget a telemetry policy. What was read because of it stays until it is old."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        self.api.send("DELETE", path_of("telemetry_policies", parsed_args.name))


class ListMetrics(OnOne, command.Lister):  # type: ignore[misc]
    """List what the sensors of a machine showed last, or since a time."""

    argument = ("machine", "machine", "Id or name of the machine.")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--metric", metavar="<metric>", help="Only this, such as power_watts.")
        parser.add_argument(
            "--since",
            type=options.moment,
            metavar="<time>",
            help="The history since then: 2026-03-01T12:00, or 30m, 2h, 1d ago.",
        )
        parser.add_argument(
            "--limit",
            type=options.positive,
            metavar="<number>",
            help="Most rows (default: all).",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per value."""
        machine = id_of(self.api, parsed_args.machine)
        found = self.api.pages(
            path_of("machines", machine, "metrics"),
            "metrics",
            parsed_args.limit,
            metric=parsed_args.metric,
            since=parsed_args.since,
        )
        names = ("metric", "sensor", "value", "read_at")
        header = ("Metric", "Sensor", "Value", "Read at")
        return header, (tuple(each[name] for name in names) for each in found)


class ListEvents(command.Lister):  # type: ignore[misc]
    """List what happened to pods and machines, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--pod", metavar="<pod>", help="Only those of this pod.")
        parser.add_argument(
            "--machine", metavar="<machine>", help="Only those of this machine, by id or name."
        )
        parser.add_argument("--severity", choices=["ok", "warning", "critical"])
        options.add_paging(parser, "event", 50)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per event."""
        api = self.app.client_manager.headwater
        machine = parsed_args.machine
        found = api.pages(
            "/v1/pod_events",
            "pod_events",
            parsed_args.limit,
            marker=parsed_args.marker,
            pod=parsed_args.pod,
            machine=None if machine is None else id_of(api, machine),
            severity=parsed_args.severity,
        )
        names = ("id", "created_at", "pod", "machine", "severity", "kind", "message", "source")
        header = ("ID", "Created at", "Pod", "Machine", "Severity", "Kind", "Message", "Source")
        return header, (tuple(each[name] for name in names) for each in found)


def _columns(answer: Json) -> Columns:
    policy = answer["telemetry_policy"]
    shown = {
        **policy,
        "labels": format_columns.DictColumn(policy["labels"]),
        "thresholds": format_columns.ListColumn([_text(each) for each in policy["thresholds"]]),
    }
    return tuple(shown), tuple(shown.values())


def _text(one: Json) -> str:
    side = "below" if one["above"] is None else "above"
    return f"{one['metric']} {side} {one[side]:g}: {one['severity']}"

# SPDX-License-Identifier: Apache-2.0
"""openstack orchestration status: the fleet as a matrix, problems first."""

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cliff.columns import FormattableColumn
from osc_lib.command import command

from headwater.client.progress import duration
from headwater.client.rest import Json

#: Rows of a table before those without a problem are summed up.
_ROWS = 30

_RED, _YELLOW, _GREEN, _PLAIN = "\033[31m", "\033[33m", "\033[32m", "\033[0m"


@dataclass
class Row:
    """One subcloud."""

    name: str
    management: str
    availability: str
    #: By endpoint type.
    lanes: dict[str, Json] = field(default_factory=dict)

    @property
    def badness(self) -> int:
        """0 where all is well; the higher, the sooner somebody should look."""
        if self.management == "unmanaged":
            return 1
        worst = 0
        for lane in self.lanes.values():
            if lane["failed"]:
                worst = max(worst, 5)
            elif lane["last_error"]:
                worst = max(worst, 4)
            elif lane["sync_status"] != "in-sync":
                worst = max(worst, 3 if lane["sync_status"] == "out-of-sync" else 2)
        return max(worst, 4) if self.availability == "offline" else worst


def rows(lanes: Iterable[Json]) -> list[Row]:
    """Subclouds from their lanes, problems first and then by name."""
    found: dict[str, Row] = {}
    for lane in lanes:
        name = lane["subcloud"]
        row = found.setdefault(
            name, Row(name, lane["management_state"], lane["availability_status"])
        )
        row.lanes[lane["endpoint_type"]] = lane
    return sorted(found.values(), key=lambda row: (-row.badness, row.name))


def state(lane: Json | None) -> str:
    """A lane in one or two words."""
    if lane is None:
        return ""
    if lane["management_state"] == "unmanaged":
        return f"{lane['pending']} kept" if lane["pending"] else "-"
    parts = []
    if lane["failed"]:
        parts.append(f"{lane['failed']} failed")
    if lane["pending"]:
        parts.append(f"{lane['pending']} pending")
    if lane["initial_sync"]["state"] in ("requested", "in-progress"):
        parts.insert(0, "initial sync")
    return ", ".join(parts) or str(lane["sync_status"])


class _Cell(FormattableColumn):  # type: ignore[misc]
    """A lane; coloured for people, the plain words for machines."""

    def human_readable(self) -> str:
        """With its colour."""
        text, color = self._value
        return f"{color}{text}{_PLAIN}" if color and text else str(text)

    def machine_readable(self) -> str:
        """Without."""
        return str(self._value[0])


def color(lane: Json | None) -> str:
    """By how it is."""
    if lane is None or lane["management_state"] == "unmanaged":
        return ""
    if lane["failed"] or lane["last_error"]:
        return _RED
    return {"in-sync": _GREEN, "out-of-sync": _YELLOW}.get(lane["sync_status"], "")


class Status(command.Lister):  # type: ignore[misc]
    """Show the fleet: how every subcloud is in every endpoint type, problems first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Choose the rows."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--all",
            action="store_true",
            help=f"Show all subclouds, also where there are more than {_ROWS}.",
        )
        which.add_argument(
            "--problems", action="store_true", help="Show only those that need a look."
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Sequence[tuple[object, ...]]]:
        """One row per subcloud, one column per endpoint type."""
        api = self.app.client_manager.headwater
        found = rows(api.pages("/v1/lanes", "lanes"))
        types = list(dict.fromkeys(name for row in found for name in row.lanes))
        for_people = parsed_args.formatter == "table"
        if for_people:
            self.app.stdout.write(heading(api.get("/v1/summary")["summary"]))
        shown = [row for row in found if row.badness] if parsed_args.problems else found
        if for_people and not parsed_args.all:
            shown = shown[: max(_ROWS, sum(1 for row in shown if row.badness > 2))]
        self._left = len(found) - len(shown) if for_people and not parsed_args.problems else 0
        colored = for_people and self.app.stdout.isatty() and "NO_COLOR" not in os.environ
        return ("Subcloud", "Management", "Availability", *types), [
            (
                row.name,
                row.management,
                row.availability,
                *(
                    _Cell((state(row.lanes.get(name)), color(row.lanes.get(name)) * colored))
                    for name in types
                ),
            )
            for row in shown
        ]

    def run(self, parsed_args: argparse.Namespace) -> Any:
        """Sum up what is not shown, below the table."""
        code = super().run(parsed_args)
        if self._left:
            self.app.stdout.write(f"... and {self._left} more; --all shows them.\n")
        return code


def heading(summary: Json) -> str:
    """The fleet in three lines."""
    subclouds, lanes = summary["subclouds"], summary["lanes"]
    requests, lag = summary["requests"], summary["lag_seconds"]
    text = (
        f"Subclouds: {subclouds['managed']} managed ({subclouds['online']} online, "
        f"{subclouds['offline']} offline, {subclouds['unknown']} unknown), "
        f"{subclouds['unmanaged']} unmanaged\n"
        f"Lanes:     {lanes['in-sync']} in-sync, {lanes['out-of-sync']} out-of-sync, "
        f"{lanes['unknown']} unknown\n"
        f"Requests:  {requests['queued'] + requests['in-progress']} pending, "
        f"{requests['failed']} failed"
    )
    if lag["max"] is not None:
        text += (
            f"; behind by {duration(lag['p50'])} (median), {duration(lag['p95'])} (95 %), "
            f"{duration(lag['max'])} (most)"
        )
    return f"{text}\n"

# SPDX-License-Identifier: Apache-2.0
"""The fleet as a matrix: what comes first, and what a cell says."""

import argparse
import io
import os
import unittest
from types import SimpleNamespace
from typing import Any
from unittest import mock

from headwater.client.status import Status, color, rows, state

SUMMARY = {
    "subclouds": {"managed": 3, "unmanaged": 1, "online": 2, "offline": 1, "unknown": 0},
    "lanes": {"in-sync": 1, "out-of-sync": 1, "unknown": 1},
    "requests": {"queued": 5, "in-progress": 2, "failed": 1},
    "lag_seconds": {"p50": 3.2, "p95": 70.0, "p99": 80.0, "max": 4000.0},
}


def lane(subcloud: str, endpoint_type: str = "identity", **fields: Any) -> dict[str, Any]:
    return {
        "subcloud": subcloud,
        "endpoint_type": endpoint_type,
        "management_state": "managed",
        "availability_status": "online",
        "sync_status": "in-sync",
        "pending": 0,
        "failed": 0,
        "last_error": None,
        "initial_sync": {"state": "completed"},
        **fields,
    }


class RowsTest(unittest.TestCase):
    def test_problems_come_first_and_then_names(self) -> None:
        found = rows(
            [
                lane("b"),
                lane("a"),
                lane("unmanaged", management_state="unmanaged"),
                lane("unknown", sync_status="unknown"),
                lane("behind", sync_status="out-of-sync", pending=3),
                lane("offline", availability_status="offline"),
                lane("error", sync_status="out-of-sync", last_error="x"),
                lane("failed", failed=1),
                lane("failed", "compute"),
            ]
        )
        self.assertEqual(
            ["failed", "error", "offline", "behind", "unknown", "unmanaged", "a", "b"],
            [row.name for row in found],
        )
        self.assertEqual({"identity", "compute"}, set(found[0].lanes))

    def test_a_cell_says_what_counts(self) -> None:
        for fields, text in (
            ({}, "in-sync"),
            ({"sync_status": "unknown"}, "unknown"),
            ({"pending": 42, "sync_status": "out-of-sync"}, "42 pending"),
            ({"pending": 1, "failed": 2}, "2 failed, 1 pending"),
            ({"initial_sync": {"state": "requested"}}, "initial sync"),
            ({"initial_sync": {"state": "in-progress"}, "pending": 9}, "initial sync, 9 pending"),
            ({"management_state": "unmanaged"}, "-"),
            ({"management_state": "unmanaged", "pending": 4}, "4 kept"),
        ):
            self.assertEqual(text, state(lane("a", **fields)))
        self.assertEqual("", state(None))

    def test_colours_tell_the_same(self) -> None:
        colors = [
            color(lane("a", **fields))
            for fields in (
                {},
                {"failed": 1},
                {"last_error": "x"},
                {"sync_status": "out-of-sync"},
                {"sync_status": "unknown"},
            )
        ]
        self.assertEqual(["\033[32m", "\033[31m", "\033[31m", "\033[33m", ""], colors)


class StatusTest(unittest.TestCase):
    def show(self, lanes: list[dict[str, Any]], *arguments: str, terminal: bool = False) -> str:
        screen = io.StringIO()
        self.enterContext(mock.patch.object(screen, "isatty", return_value=terminal))
        api = SimpleNamespace(
            pages=lambda path, noun: iter(lanes), get=lambda path: {"summary": SUMMARY}
        )
        app = SimpleNamespace(
            stdout=screen,
            client_manager=SimpleNamespace(headwater=api),
            command_options=[],
            options=None,
        )
        command = Status(app, argparse.Namespace())
        parsed = command.get_parser("status").parse_args(list(arguments))
        self.assertEqual(0, command.run(parsed))
        return screen.getvalue()

    def fleet(self, number: int) -> list[dict[str, Any]]:
        names = [f"edge{index:04}" for index in range(number)]
        return [lane("sick", failed=1), *(lane(name) for name in names)]

    def test_a_thousand_subclouds_are_summed_up_below_the_problems(self) -> None:
        text = self.show(self.fleet(1000))
        self.assertIn("Subclouds: 3 managed (2 online, 1 offline, 0 unknown), 1 unmanaged", text)
        self.assertIn("7 pending, 1 failed; behind by 3 s (median), 1 min 10 s (95 %)", text)
        self.assertIn("... and 971 more; --all shows them.", text)
        table = [line for line in text.splitlines() if line.startswith("| ")]
        self.assertEqual(1 + 30, len(table))
        self.assertIn("sick", table[1])

    def test_all_and_problems_only(self) -> None:
        everything = self.show(self.fleet(1000), "--all")
        self.assertIn("edge0999", everything)
        self.assertNotIn("more", everything)
        self.assertNotIn("edge", self.show(self.fleet(1000), "--problems"))

    def test_more_problems_than_rows_are_all_shown(self) -> None:
        text = self.show([lane(f"sick{number:03}", failed=1) for number in range(100)])
        self.assertIn("sick099", text)

    def test_machines_get_all_rows_and_nothing_else(self) -> None:
        text = self.show(self.fleet(100), "-f", "value", "-c", "identity", terminal=True)
        self.assertEqual(["1 failed", *100 * ["in-sync"]], text.splitlines())

    def test_colours_are_for_terminals_whose_owner_does_not_mind(self) -> None:
        with mock.patch.dict("os.environ"):
            os.environ.pop("NO_COLOR", None)
            self.assertIn("\033[31m1 failed\033[0m", self.show(self.fleet(1), terminal=True))
            self.assertNotIn("\033", self.show(self.fleet(1)))
        with mock.patch.dict("os.environ", {"NO_COLOR": "1"}):
            self.assertNotIn("\033", self.show(self.fleet(1), terminal=True))

# SPDX-License-Identifier: Apache-2.0
"""What people see of a job while they wait for it."""

import io
import os
import unittest
from typing import Any
from unittest import mock

from headwater.client.progress import Progress, TaskProgress, duration


def job(done: int, total: int = 200, state: str = "in-progress", **counts: int) -> dict[str, Any]:
    left = total - done - sum(counts.values())
    requests = {"queued": left, "in-progress": 0, "completed": done, "failed": 0, "cancelled": 0}
    return {"state": state, "requests": {**requests, **counts, "total": total}}


class Screen(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class ProgressTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 100.0

    def progress(self, terminal: bool) -> tuple[Progress, Screen]:
        screen = Screen(terminal)
        return Progress(screen, lambda: self.now), screen

    def test_a_line_tells_done_failed_pace_and_what_is_left(self) -> None:
        progress, _ = self.progress(False)
        self.assertEqual(f"  0/200 [{30 * '.'}]", progress.line(job(0)))
        self.now += 10
        self.assertEqual(
            f"100/200 [{15 * '#'}{15 * '.'}] 5 failed - 10.0/s, 10 s left",
            progress.line(job(95, failed=5)),
        )
        self.assertEqual(f"200/200 [{30 * '#'}]", progress.line(job(200)))

    def test_a_job_for_no_subcloud_is_done(self) -> None:
        progress, _ = self.progress(False)
        self.assertEqual(f"0/0 [{30 * '#'}]", progress.line(job(0, 0, "completed")))

    def test_an_open_job_says_what_it_waits_for(self) -> None:
        progress, _ = self.progress(False)
        self.assertIn("waits for the central cloud's answer", progress.line(job(0, 0, "open")))

    def test_anywhere_but_on_a_terminal_there_is_a_line_per_step(self) -> None:
        progress, screen = self.progress(False)
        for done in (0, 0, 50, 50, 200):
            self.now += 1
            progress.show(job(done))
        progress.end()
        lines = screen.getvalue().splitlines()
        self.assertEqual(["  0/200", " 50/200", "200/200"], [line[:7] for line in lines])
        self.assertNotIn("\r", screen.getvalue())

    def test_on_a_terminal_one_line_is_drawn_again_and_leaves_no_rest(self) -> None:
        size = os.terminal_size((60, 24))
        with mock.patch("shutil.get_terminal_size", return_value=size):
            progress, screen = self.progress(True)
            progress.show(job(0))
            self.now += 100
            progress.show(job(100, failed=1, cancelled=2))
            progress.show(job(200))
            progress.end()
        drawn = screen.getvalue()
        self.assertEqual(1, drawn.count("\n"))
        first, *lines = drawn.rstrip("\n").split("\r")
        self.assertEqual("", first)
        self.assertLess(max(map(len, lines)), 60)
        self.assertEqual(len(lines[1]), len(lines[2]), "what is shorter covers what was longer")

    def test_time_spans_are_what_people_say(self) -> None:
        for seconds, text in (
            (0.4, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (190, "3 min 10 s"),
            (7500, "2 h 5 min"),
        ):
            self.assertEqual(text, duration(seconds))


class TaskProgressTest(unittest.TestCase):
    def test_a_line_tells_percent_state_and_what_it_says(self) -> None:
        screen = Screen(False)
        progress = TaskProgress(screen)
        task = {"percent": 0, "state": "pending", "error": None, "message": None}
        for change in (
            {},
            {"percent": 50, "state": "waiting", "message": "Ordered; the machine is Off."},
            {"error": "No answer."},
            {"percent": 100, "state": "completed", "error": None, "message": "It is On."},
        ):
            task.update(change)
            progress.show(task)
        half = f"{15 * '#'}{15 * '.'}"
        self.assertEqual(
            [
                f"  0 % [{30 * '.'}] pending",
                f" 50 % [{half}] waiting: Ordered; the machine is Off.",
                f" 50 % [{half}] waiting: No answer.",
                f"100 % [{30 * '#'}] completed: It is On.",
            ],
            screen.getvalue().splitlines(),
        )

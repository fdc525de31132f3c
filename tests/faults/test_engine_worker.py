# SPDX-License-Identifier: Apache-2.0
"""Engine workers die or stand still in the middle of a lane: another one goes on, in order."""

import itertools
import os
import re
import signal
import threading
import time
from typing import ClassVar

from tests.faults.installation import HASTY, FaultTest, children, kill, pid_of
from tests.support.relay import Piece
from tests.support.waiting import PATIENCE, eventually

#: Seconds.
LEASE = float(str(HASTY["engine"]["lease"]))
_WRITTEN = re.compile(rb'"description": ?"n(\d+)"')


class EngineWorkerTest(FaultTest):
    options: ClassVar = HASTY

    def setUp(self) -> None:
        super().setUp()
        self.group = self.created_group().json()["group"]
        self.quiet()
        self.cloud = self.system.subclouds["subcloud1"]
        self.relay = self.system.to_cloud["subcloud1"]
        #: The changes of the group that were sent to subcloud1, in that order.
        self.sent: list[int] = []

    def describe(self, number: int) -> None:
        """Change the group, as the NUMBER-th."""
        body = {"group": {"description": f"n{number}"}}
        path = f"/v3/groups/{self.group['id']}"
        answer = self.system.call("PATCH", path, body, token=self.token)
        self.assertEqual(answer.status_code, 200, answer.text)

    def number_in(self, piece: Piece) -> int | None:
        """Which change of the group a piece carries to subcloud1, if any."""
        found = _WRITTEN.search(piece.data) if piece.to_server else None
        return int(found[1]) if found else None

    def note(self, piece: Piece) -> int | None:
        number = self.number_in(piece)
        if number is not None:
            self.sent.append(number)
        return number

    def assert_up_to_date(self, number: int) -> None:
        """All clouds show the NUMBER-th change, and nothing is left to do."""
        self.quiet()
        name = self.group["name"]
        self.assertEqual(self.assert_alike(name), {name: f"n{number}"})

    def signal_workers(self, sign: signal.Signals) -> None:
        """Send a signal to all worker processes."""
        for worker in children(self.system.worker):
            os.kill(worker, sign)

    def second_is_done(self, name: str) -> bool:
        """Whether a subcloud has the second change and nobody works there."""
        group = self.one(self.system.subclouds[name], "group", name=self.group["name"])
        return group["description"] == "n1" and self.system.held(name) is None

    def taken_over(self, owner: str, start: float) -> float:
        """Wait until somebody else holds the lane; returns the seconds since START."""
        eventually(
            lambda: self.system.held("subcloud1") not in (None, owner), "another worker", PATIENCE
        )
        return time.monotonic() - start

    def test_a_killed_workers_lane_goes_on_elsewhere_in_order(self) -> None:
        self.relay.watch = self.note
        self.relay.delay = 0.05
        for number in range(20):
            self.describe(number)
        eventually(lambda: len(self.sent) >= 5, "the middle of the lane")
        owner = eventually(lambda: self.system.held("subcloud1"), "an owner")
        kill(pid_of(owner))
        seconds = self.taken_over(owner, time.monotonic())
        self.tell("from kill -9 to the lane running elsewhere", seconds)
        self.assertLess(seconds, 2 * LEASE)
        self.assert_up_to_date(19)
        # What was done and not yet written down is done again, and then everything in order.
        steps = [after - before for before, after in itertools.pairwise(self.sent)]
        self.assertEqual((self.sent[0], self.sent[-1]), (0, 19))
        self.assertLessEqual(sum(step != 1 for step in steps), 1, self.sent)
        self.assertLessEqual(max(steps), 1, self.sent)

    def test_a_worker_that_stood_still_beyond_its_lease_writes_nothing_stale(self) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def hold_first_answer(piece: Piece) -> None:
            """Change 0 is done; its answer comes after the worker stood still."""
            self.note(piece)
            if not piece.to_server and b'"n0"' in piece.data and not reached.is_set():
                reached.set()
                go_on.wait(2 * PATIENCE)

        self.addCleanup(go_on.set)
        self.relay.watch = hold_first_answer
        # Nobody works until both changes are there: they become one batch.
        self.signal_workers(signal.SIGSTOP)
        try:
            for number in range(2):
                self.describe(number)
        finally:
            self.signal_workers(signal.SIGCONT)
        self.assertTrue(reached.wait(PATIENCE))
        # The other lane is done: it is not what this test stops in the middle.
        eventually(lambda: self.second_is_done("subcloud2"), "the end of the other lane")
        owner = eventually(lambda: self.system.held("subcloud1"), "an owner")
        stopped = pid_of(owner)
        os.kill(stopped, signal.SIGSTOP)
        try:
            seconds = self.taken_over(owner, time.monotonic())
            self.tell("from SIGSTOP to the lane running elsewhere", seconds)
            self.assertLess(seconds, 2 * LEASE)
            self.describe(2)
            self.assert_up_to_date(2)
        finally:
            said = len(self.system.worker.log())
            os.kill(stopped, signal.SIGCONT)
        sent = len(self.sent)
        go_on.set()
        eventually(
            lambda: re.search(
                rf" {stopped} .*(?i:lease|another worker)", self.system.worker.log()[said:]
            ),
            "its word that the lease is lost",
        )
        self.assert_up_to_date(2)
        self.assertEqual(self.sent[sent:], [], "stale changes reached the subcloud")

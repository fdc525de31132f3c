# SPDX-License-Identifier: Apache-2.0
"""Many things are read at a time, and what hangs or breaks holds up nothing else."""

import threading
import unittest
from collections.abc import Sequence
from unittest import mock

from headwater.common.errors import LeaseLost, LoginRefused, Unreachable
from headwater.orchestrator.podm import fan_out
from headwater.orchestrator.podm.drivers import Busy, PodRefused
from headwater.orchestrator.podm.fan_out import Silent, read_all
from tests.support.waiting import PATIENCE


class FanOutTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.released = threading.Event()
        self.addCleanup(self.released.set)
        self.enterContext(mock.patch.object(fan_out, "_LOOK", 0.01))

    def read(self, name: str) -> str:
        if name.startswith("hangs"):
            self.released.wait(PATIENCE)
        errors = {
            "silent": Unreachable("timed out"),
            "strange": PodRefused("500: no"),
            "closed": LoginRefused("Refused"),
            "broken": KeyError("x"),
            "full": Busy("503"),
        }
        if name in errors:
            raise errors[name]
        return name.upper()

    def all(self, *chains: Sequence[str], longest: float | None = None) -> dict[str, str | Silent]:
        return dict(read_all(chains, self.read, lambda: None, longest=longest))

    def test_nothing_is_read_at_once(self) -> None:
        self.assertEqual({}, self.all())

    def test_all_of_all_chains_is_read(self) -> None:
        self.assertEqual({"a": "A", "b": "B", "c": "C"}, self.all(["a", "b"], ["c"]))

    def test_errors_are_silence_and_those_of_ours_are_logged(self) -> None:
        found = self.all(["silent", "a"], ["strange"], ["closed"])
        self.assertEqual(
            {
                "silent": Silent("timed out"),
                "a": "A",
                "strange": Silent("500: no"),
                "closed": Silent("Refused"),
            },
            found,
        )
        with self.assertLogs(fan_out.LOG, "ERROR"):
            found = self.all(["a"], ["broken"])
        self.assertEqual("A", found["a"])
        self.assertIsInstance(found["broken"], Silent)

    def test_what_hangs_is_given_up_with_its_chain_and_no_other(self) -> None:
        found = self.all(["hangs", "a"], ["b"], longest=0.05)
        late = Silent("No whole answer within 0.05 s.")
        unread = Silent(f"Not read: {late.reason}", busy=True)
        self.assertEqual({"hangs": late, "a": unread, "b": "B"}, found)

    def test_one_that_has_no_time_is_not_silent(self) -> None:
        self.assertEqual({"full": Silent("503", busy=True)}, self.all(["full"]))

    def test_others_are_given_while_one_hangs(self) -> None:
        found = read_all([["hangs"], ["a"]], self.read, lambda: None)
        self.assertEqual(("a", "A"), next(found))
        found.close()

    def test_a_lost_lease_ends_it(self) -> None:
        guard = mock.Mock(side_effect=[None, LeaseLost("gone")])
        with self.assertRaises(LeaseLost):
            list(read_all([["hangs"]], self.read, guard))

    def test_more_chains_than_threads(self) -> None:
        chains = [[f"n{number}"] for number in range(250)]
        self.assertEqual(250, len(self.all(*chains)))

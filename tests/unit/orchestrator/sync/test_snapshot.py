# SPDX-License-Identifier: Apache-2.0
"""One listing of the central cloud for many audits."""

import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import load_registry
from headwater.orchestrator.sync.central import CentralUnreadable
from headwater.orchestrator.sync.listing import CloudState
from headwater.orchestrator.sync.snapshot import CentralSnapshot
from tests.support.waiting import PATIENCE

IDENTITY = load_registry(None).endpoint_type("identity")


class Reader:
    """Lists a cloud that has one user more each time, when `go` says so."""

    def __init__(self) -> None:
        self.lists, self.fails = 0, False
        self.began, self.go = threading.Event(), threading.Event()
        self.go.set()

    def list_all(self, endpoint_type: EndpointType) -> CloudState:
        self.lists += 1
        number = self.lists
        self.began.set()
        if not self.go.wait(PATIENCE):
            raise AssertionError("nobody let the list end")
        if self.fails:
            raise CentralUnreadable("away")
        return {"user": {str(each): {} for each in range(number)}}


class CentralSnapshotTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reader = Reader()
        self.snapshot = CentralSnapshot(IDENTITY, self.reader)  # type: ignore[arg-type]

    def users(self, age: float) -> int:
        return len(self.snapshot.get(age).state["user"])

    def test_a_list_is_shared_as_long_as_it_is_new_enough(self) -> None:
        self.assertEqual([1, 1, 2, 2], [self.users(age) for age in (60, 60, 0, 60)])

    def test_who_asks_for_a_fresh_one_never_gets_one_that_began_before(self) -> None:
        self.reader.go.clear()
        with ThreadPoolExecutor(9) as pool:
            first = pool.submit(self.users, 0)
            self.assertTrue(self.reader.began.wait(PATIENCE))
            later = [pool.submit(self.users, 0) for _ in range(8)]
            self.reader.go.set()
            self.assertEqual(1, first.result(PATIENCE))
            self.assertGreaterEqual(min(each.result(PATIENCE) for each in later), 2)

    def test_a_list_that_failed_is_not_remembered(self) -> None:
        self.reader.fails = True
        with self.assertRaises(CentralUnreadable):
            self.users(60)
        self.reader.fails = False
        self.assertEqual(2, self.users(60))

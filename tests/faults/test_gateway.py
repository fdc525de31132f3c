# SPDX-License-Identifier: Apache-2.0
"""Gateway processes are killed: what the central cloud did is found out, and the rest forgotten."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import ClassVar

import requests

from headwater.common.states import IntentState
from tests.faults.installation import HASTY, FaultTest, children, kill, timed
from tests.faults.load import Load
from tests.support.relay import Piece
from tests.support.waiting import PATIENCE, eventually


class GatewayTest(FaultTest):
    options: ClassVar = HASTY

    def test_killed_workers_under_load_lose_no_change_and_are_replaced(self) -> None:
        kills = 0
        with Load(self) as load:
            while kills < 3 or 0 not in load.answers:
                before = load.succeeded()
                eventually(lambda before=before: load.succeeded() > before + 10, "some changes")
                kill(children(self.system.process)[0])
                kills += 1
        self.quiet()
        found = self.assert_alike(load.prefix)
        for name, allowed in load.allowed.items():
            self.assertIn(found.get(name), allowed, name)
        self.system.wait(self.created_group())

    def before_recording(self, name: str, fault: Callable[[], None]) -> threading.Event:
        """Once, between the central cloud's answer to NAME and its way on, call FAULT.

        The event is set when that has happened and something wants to reach the database.
        """
        wanted = threading.Event()
        central = self.system.to_cloud[self.system.central.region_name]

        def to_central(piece: Piece) -> None:
            if not piece.to_server and name.encode() in piece.data:
                central.watch = None
                self.system.to_database.watch = to_database
                fault()

        def to_database(piece: Piece) -> None:
            if piece.to_server:
                wanted.set()

        central.watch = to_central
        return wanted

    def test_a_change_whose_gateway_dies_before_it_is_recorded_arrives(self) -> None:
        name = self.unique("unrecorded")
        wanted = self.before_recording(name, self.system.to_database.freeze)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.create_group, name)
            self.assertTrue(wanted.wait(PATIENCE))
            for worker in children(self.system.process):
                kill(worker)
            with self.assertRaises(requests.ConnectionError):
                answer.result(PATIENCE)
        (job,) = self.system.open_jobs()
        self.assertEqual(job.job.resource_name, name)
        self.one(self.system.central, "group", name=name)
        self.system.to_database.heal(resume=False)
        self.quiet()
        self.assertEqual(list(self.assert_alike(name)), [name])
        self.system.wait(self.created_group())

    def test_a_change_is_answered_and_arrives_when_the_database_goes_before_it_is_recorded(
        self,
    ) -> None:
        name = self.unique("unrecorded")
        self.before_recording(name, self.system.to_database.cut)
        answer, seconds = timed(lambda: self.create_group(name))
        self.assertEqual(answer.status_code, 201, answer.text)
        self.tell("answered without the database after", seconds)
        self.assertEqual(self.system.job(answer).job.intent_state, IntentState.OPEN)
        self.system.to_database.heal()
        self.system.wait(answer)
        self.assertEqual(list(self.assert_alike(name)), [name])

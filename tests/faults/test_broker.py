# SPDX-License-Identifier: Apache-2.0
"""The broker is away: no client waits for it, no change is lost, both sides find it again."""

import statistics
import time
from typing import ClassVar

import requests

from tests.faults.installation import GATEWAY, FaultTest, timed
from tests.support.waiting import eventually

#: Seconds that a missing broker may cost a client; a busy machine costs some, too.
EXTRA = 1.0
#: Seconds between two looks of a worker that is started without a broker; what a replay takes.
POLL, REPLAY = 2, 3
#: Seconds after which a silent broker is given up; 60 by default.
HEARTBEAT = 2


class BrokerTest(FaultTest):
    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {
        # As far apart as allowed: what arrives sooner was announced by a message.
        "engine": {"poll_interval": 60},
        "oslo_messaging_rabbit": {"heartbeat_timeout_threshold": HEARTBEAT},
    }

    def setUp(self) -> None:
        super().setUp()
        self.assert_announced("before")
        self.usual = statistics.median(timed(self.created_group)[1] for _ in range(5))
        # A lane that runs takes everything new along, announced or not.
        self.quiet()

    def assert_announced(self, when: str) -> None:
        """Changes arrive although no worker polls; after a fault perhaps not the first ones."""
        start = time.monotonic()
        answers = [self.created_group()]

        def one_has_arrived() -> bool:
            if time.monotonic() - start > 0.5 * len(answers):
                answers.append(self.created_group())
            return any(self.arrived(each) for each in answers)

        eventually(one_has_arrived, "a message")
        self.tell(f"{when}: one of {len(answers)} changes after", time.monotonic() - start)
        for answer in answers:
            self.system.wait(answer)

    def assert_nobody_waits(self) -> list[requests.Response]:
        """Reads pass, and writes are answered as fast as usual; returns the answers."""
        self.read()
        answers, seconds = zip(*(timed(self.created_group) for _ in range(5)), strict=True)
        self.tell(f"usual write {self.usual * 1000:.0f} ms, slowest without broker", max(seconds))
        self.assertLess(max(seconds), self.usual + EXTRA)
        return list(answers)

    def test_a_broker_that_restarts_is_found_again(self) -> None:
        self.system.rabbitmq.stop()
        try:
            answers = self.assert_nobody_waits()
        finally:
            self.system.rabbitmq.start()
        self.assert_announced("after a restart")
        for answer in answers:
            self.system.wait(answer)

    def test_a_broker_that_falls_silent_for_ever_is_given_up_and_found_again(self) -> None:
        self.system.to_broker.freeze()
        answers = self.assert_nobody_waits()
        self.system.to_broker.heal(resume=False)
        self.assert_announced("after silence")
        for answer in answers:
            self.system.wait(answer)

    def test_all_that_starts_while_the_broker_is_away_works_and_finds_it_later(self) -> None:
        self.assertEqual(self.system.worker.stop(), 0, self.system.worker.log())
        self.assertEqual(self.system.process.stop(), 0, self.system.process.log())
        self.system.to_broker.cut()
        self.system.worker = self.system.run("headwater-engine-worker", "worker.log")
        self.system.process = self.system.start(GATEWAY)
        self.system.worker.wait_for(r"Worker \S+ starts")
        answers = self.assert_nobody_waits()
        polling = self.system.start_worker("polling.log", poll_interval=POLL)
        for answer in answers:
            self.system.wait(answer)
        self.quiet()
        answer = self.created_group()
        _, seconds = timed(lambda: self.system.wait(answer))
        self.tell(f"with poll_interval = {POLL} a change arrives after", seconds)
        self.assertLess(seconds, POLL + REPLAY)
        code, seconds = timed(polling.stop)
        self.assertEqual(code, 0, polling.log())
        self.tell("a worker without broker stops after", seconds)
        self.system.to_broker.heal()
        self.assert_announced("after a start without broker")

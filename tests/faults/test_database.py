# SPDX-License-Identifier: Apache-2.0
"""The database is away: nothing is forwarded that cannot be written down, and nothing is lost."""

import concurrent.futures
import time
from typing import ClassVar

import requests

from tests.faults.installation import HASTY, FaultTest, timed
from tests.faults.load import Load
from tests.support.waiting import eventually

#: Seconds after which a write is refused while the database says nothing.
BOUND = 10.0
#: Seconds of a read meanwhile, on a busy machine.
READ = 3.0


class DatabaseTest(FaultTest):
    options: ClassVar = HASTY

    def setUp(self) -> None:
        super().setUp()
        self.away = self.system.to_cloud["subcloud2"]
        self.system.wait(self.created_group())

    def assert_writes_are_refused(self) -> float:
        """A write is 503 and does not reach the central cloud; returns its seconds.

        Reads pass all the while.
        """
        name = self.unique("refused")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            write = pool.submit(timed, lambda: self.create_group(name))
            while not write.done():
                _, seconds = timed(self.read)
                self.assertLess(seconds, READ)
            answer, seconds = write.result()
        self.assertEqual(answer.status_code, 503, answer.text)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(self.find(self.system.central, "group", name=name), [])
        return seconds

    def assert_writes_work_again(self) -> requests.Response:
        start = time.monotonic()
        answer = eventually(
            lambda: next(
                (a for a in [self.create_group(self.unique("again"))] if a.status_code == 201), None
            ),
            "a write",
        )
        self.tell("writes work again after", time.monotonic() - start)
        self.system.wait(answer)
        self.tell("and are replayed after", time.monotonic() - start)
        return answer

    def test_while_it_is_stopped_reads_pass_and_writes_are_refused_unforwarded(self) -> None:
        self.away.cut()
        pending = self.created_group()
        self.system.wait(pending, among=["subcloud1"])
        self.system.postgresql.stop()
        try:
            for _ in range(3):
                self.assertLess(self.assert_writes_are_refused(), 2)
            self.away.heal()
        finally:
            self.system.postgresql.start()
        self.assert_writes_work_again()
        self.system.wait(pending)
        self.quiet()

    def test_while_it_is_silent_reads_pass_and_writes_are_refused_in_time(self) -> None:
        self.away.cut()
        pending = self.created_group()
        self.system.wait(pending, among=["subcloud1"])
        self.system.to_database.freeze()
        seconds = self.assert_writes_are_refused()
        self.tell("the first write is refused after", seconds)
        self.assertLess(seconds, BOUND)
        self.away.heal()
        # What was connected stays silent for ever, as after a failover.
        self.system.to_database.heal(resume=False)
        self.assert_writes_work_again()
        self.system.wait(pending)
        self.quiet()

    def test_a_crash_under_load_loses_no_change_and_leaves_nothing_stuck(self) -> None:
        with Load(self) as load:
            eventually(lambda: load.succeeded() > 10, "some changes")
            self.system.postgresql.stop(immediate=True)
            eventually(lambda: load.count(lambda status: status == 503), "a refusal")
            before = load.succeeded()
            self.system.postgresql.start()
            eventually(lambda: load.succeeded() > before + 10, "some changes after the crash")
        self.quiet()
        found = self.assert_alike(load.prefix)
        for name, allowed in load.allowed.items():
            self.assertIn(found.get(name), allowed, name)
        self.assertEqual(self.system.number_of_held(), 0)

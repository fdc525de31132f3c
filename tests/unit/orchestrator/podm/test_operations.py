# SPDX-License-Identifier: Apache-2.0
"""Operations that pods go on with after their answer, and addresses that do not answer."""

import threading
import time
from typing import Any

from headwater.common.errors import Unreachable
from headwater.common.states import PowerAction
from headwater.orchestrator.podm.drivers import DriverSettings, Operation, Progress, Stage
from headwater.orchestrator.podm.drivers.redfish import BmcFleet
from tests.support.redfish import RESET, SYSTEM
from tests.support.waiting import PATIENCE, eventually
from tests.unit.orchestrator.podm.test_redfish import DriverTestCase

TASK = "/redfish/v1/TaskService/Tasks/1"
MONITOR = f"{TASK}/Monitor"


class OperationTest(DriverTestCase):
    def ordered(self, document: object = None, **headers: str) -> Operation | None:
        """What comes of a power-on that is answered with 202."""
        self.bmc.faults["POST", RESET] = lambda handler: handler.answer(202, document, **headers)
        return self.driver.power(self.uri, PowerAction.ON)

    def shown(
        self, document: object, status: int = 200, path: str = TASK, **headers: str
    ) -> Progress:
        """What an operation is taken for."""
        self.bmc.faults["GET", path] = lambda handler: handler.answer(status, document, **headers)
        return self.driver.operation(self.bmc.url + path)

    def test_the_task_in_the_answer_is_watched(self) -> None:
        made = self.ordered({"@odata.id": TASK, "TaskState": "New"}, Location=MONITOR)
        self.assertEqual(Operation(self.bmc.url + TASK), made)

    def test_without_one_its_monitor_is(self) -> None:
        for document in (None, "<html>", {"Name": "no task"}):
            with self.subTest(document):
                made = self.ordered(document, Location=MONITOR)
                self.assertEqual(Operation(self.bmc.url + MONITOR), made)

    def test_an_order_that_is_done_at_once_is_no_operation(self) -> None:
        self.assertIsNone(self.driver.power(self.uri, PowerAction.ON))
        self.assertIsNone(self.ordered(None))

    def test_nobody_is_sent_to_another_host(self) -> None:
        made = self.ordered(None, Location=f"http://evil.example{MONITOR}")
        self.assertEqual(Operation(self.bmc.url + MONITOR), made)

    def test_the_task_state_decides_and_nothing_else(self) -> None:
        for state, status, stage in (
            ("New", 200, Stage.RUNNING),
            ("Running", 200, Stage.RUNNING),
            ("Suspended", 202, Stage.RUNNING),
            ("Cancelling", 200, Stage.RUNNING),
            ("Completed", 200, Stage.DONE),
            ("Completed", 202, Stage.DONE),
            ("Exception", 200, Stage.FAILED),
            ("Killed", 200, Stage.FAILED),
            ("Cancelled", 200, Stage.FAILED),
        ):
            with self.subTest(f"{state} {status}"):
                self.assertIs(stage, self.shown({"TaskState": state}, status).stage)

    def test_a_task_that_completed_and_says_that_it_is_critical_failed(self) -> None:
        document = {"TaskState": "Completed", "TaskStatus": "Critical"}
        self.assertIs(Stage.FAILED, self.shown(document).stage)

    def test_a_monitor_is_done_when_it_has_the_orders_own_answer(self) -> None:
        self.assertIs(Stage.RUNNING, self.shown(None, 202, MONITOR).stage)
        for status in (200, 201, 204):
            self.assertIs(Stage.DONE, self.shown({"Name": "made"}, status, MONITOR).stage)

    def test_a_monitor_that_shows_its_task_is_judged_by_that(self) -> None:
        # The false finish: 200, and the task still runs.
        shown = self.shown({"TaskState": "Running"}, 200, MONITOR)
        self.assertIs(Stage.RUNNING, shown.stage)

    def test_an_order_that_is_refused_in_the_end_says_why(self) -> None:
        self.bmc.fail("GET", MONITOR, 409, "The block was taken.")
        found = self.driver.operation(self.bmc.url + MONITOR)
        self.assertIs(Stage.FAILED, found.stage)
        self.assertIn("The block was taken.", str(found.message))

    def test_a_wait_in_seconds_is_heard(self) -> None:
        found = self.shown({"TaskState": "Running"}, Retry_After="7")
        self.assertEqual(7.0, found.after)
        found = self.shown({"TaskState": "Running"}, Retry_After="Fri, 01 Jan 2027 00:00:00 GMT")
        self.assertIsNone(found.after)

    def test_percent_and_the_last_message_are_told(self) -> None:
        messages: list[Any] = [
            {"Message": "Begun."},
            "odd",
            {"Message": "Writing."},
            {"Message": 7},
        ]
        document = {"TaskState": "Running", "PercentComplete": 40, "Messages": messages}
        self.assertEqual(Progress(Stage.RUNNING, 40, "Writing."), self.shown(document))
        for odd in (-1, 101, "40", None):
            document["PercentComplete"] = odd
            self.assertIsNone(self.shown(document).percent)

    def test_an_operation_that_nobody_knows_any_more_is_gone(self) -> None:
        for status in (404, 410):
            self.bmc.fail("GET", TASK, status)
            self.assertIs(Stage.GONE, self.driver.operation(self.bmc.url + TASK).stage)


class SilenceTest(DriverTestCase):
    def make_careful(self, **settings: Any) -> BmcFleet:
        return BmcFleet(DriverSettings("admin", "tiger", None, PATIENCE, 0.3, **settings))

    def test_an_address_that_does_not_answer_is_left_alone_for_a_while(self) -> None:
        driver = self.make_careful(breaker_failures=2, pause=0.5)
        driver.power_state(self.uri)
        self.bmc.hang("GET", SYSTEM)
        for _ in range(2):
            with self.assertRaises(Unreachable):
                driver.power_state(self.uri)
        asked = self.asked("GET", SYSTEM)
        with self.assertRaises(Unreachable) as caught:
            driver.power_state(self.uri)
        self.assertIn("Left alone", str(caught.exception))
        self.assertGreater(caught.exception.retry_after or 0, 0)
        self.assertEqual(asked, self.asked("GET", SYSTEM))
        self.bmc.faults.clear()

        def answers() -> bool:
            try:
                return driver.power_state(self.uri) == "Off"
            except Unreachable:
                return False

        eventually(answers, "the pause to end")
        # One silence alone does not close it again.
        self.bmc.hang("GET", SYSTEM)
        with self.assertRaises(Unreachable):
            driver.power_state(self.uri)
        self.bmc.faults.clear()
        self.assertEqual("Off", driver.power_state(self.uri))

    def test_answers_of_any_kind_are_no_silence(self) -> None:
        driver = self.make_careful(breaker_failures=1)
        self.bmc.fail("GET", SYSTEM, 503)
        for _ in range(3):
            with self.assertRaises(Unreachable) as caught:
                driver.power_state(self.uri)
            self.assertNotIn("Left alone", str(caught.exception))

    def test_calls_to_one_address_are_few_at_a_time(self) -> None:
        driver = BmcFleet(
            DriverSettings("admin", "tiger", None, PATIENCE, PATIENCE, calls_per_address=2)
        )
        driver.power_state(self.uri)
        go, lock, now, most = threading.Event(), threading.Lock(), 0, 0

        def slow(handler: Any) -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            go.wait(PATIENCE)
            with lock:
                now -= 1
            handler.answer(200, self.bmc.documents[SYSTEM])

        self.bmc.faults["GET", SYSTEM] = slow
        threads = [threading.Thread(target=driver.power_state, args=(self.uri,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        eventually(lambda: now == 2, "two calls")
        go.set()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(2, most)

    def test_a_hung_address_delays_no_other(self) -> None:
        driver = self.make_careful()
        driver.power_state(self.uri)
        self.bmc.hang("GET", SYSTEM)
        thread = threading.Thread(target=self._silent, args=(driver,))
        thread.start()
        other = self.enterContext(type(self.bmc)())
        began = time.monotonic()
        self.assertEqual("Off", driver.power_state(other.url + SYSTEM))
        self.assertLess(time.monotonic() - began, PATIENCE)
        thread.join(PATIENCE)

    def _silent(self, driver: BmcFleet) -> None:
        with self.assertRaises(Unreachable):
            driver.power_state(self.uri)

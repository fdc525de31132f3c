# SPDX-License-Identifier: Apache-2.0
"""Operations that pods go on with after their answer, and addresses that do not answer."""

import gzip
import json
import pathlib
import socket
import tempfile
import threading
import time
from typing import Any
from unittest import mock

import requests

from headwater.common.errors import NoAnswer, Unreachable
from headwater.common.redact import storable
from headwater.common.states import PowerAction
from headwater.orchestrator.podm.drivers import (
    DriverSettings,
    Operation,
    PodRefused,
    Progress,
    Stage,
    connections,
    limits,
)
from headwater.orchestrator.podm.drivers.redfish import BmcFleet
from tests.support.redfish import INSERT, RESET, SYSTEM, SYSTEMS, Fault, FaultyBmc
from tests.support.waiting import PATIENCE, eventually
from tests.unit.orchestrator.podm.test_redfish import DriverTestCase, self_signed

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

    def test_a_location_that_nobody_can_read_is_none(self) -> None:
        for location in ("http://[fe80::1/x", "http://[x]:y/z", "nowhere"):
            with self.subTest(location):
                self.assertIsNone(self.ordered(None, Location=location))
        made = self.ordered({"@odata.id": TASK, "TaskState": "New"}, Location="http://[fe80::1/x")
        self.assertEqual(Operation(self.bmc.url + TASK), made)

    def test_an_order_that_was_taken_is_never_told_as_refused(self) -> None:
        error: Exception

        def odd(response: requests.Response) -> None:
            if str(response.url).endswith(RESET):
                raise error

        with mock.patch.object(connections, "_location", odd):
            for error in (ValueError("odd"), TypeError("odd"), AttributeError("odd")):
                for status in (200, 202, 204):
                    self.bmc.faults["POST", RESET] = lambda handler, s=status: handler.answer(s)
                    with self.subTest(f"{error!r} {status}"), self.assertRaises(NoAnswer):
                        self.press()

    def test_an_order_that_was_refused_stays_so_whatever_its_answer_is(self) -> None:
        self.bmc.fail("POST", RESET, 409, Location="http://[fe80::1/x")
        with self.assertRaises(PodRefused):
            self.press()

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


class EndlessTest(DriverTestCase):
    """Answers that are never silent for long, and never end."""

    #: Where such an answer hangs, and what it goes on with.
    heads = (
        (b"HTTP/1.1 200 OK\r\nX-Odd: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    )

    def test_one_that_trickles_is_given_up(self) -> None:
        for head, piece in self.heads:
            self.driver = self.make(timeout=0.2)
            self.bmc.trickle("GET", SYSTEM, head, piece)
            with self.subTest(head), self.assertRaises(Unreachable):
                self.driver.power_state(self.uri)

    def test_one_to_an_order_leaves_doubt(self) -> None:
        for head, piece in self.heads:
            self.driver = self.make(timeout=0.2)
            self.bmc.trickle("POST", RESET, head, piece)
            with self.subTest(head), self.assertRaises(NoAnswer):
                self.press()
        self.assertEqual(len(self.heads), self.asked("POST", RESET))

    def test_one_that_is_too_large_is_given_up(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        self.bmc.trickle("GET", SYSTEM, head, bytes(2**16), every=0)
        with self.assertRaises(Unreachable) as caught:
            self.driver.power_state(self.uri)
        self.assertIn("more than 16777216 bytes", str(caught.exception))
        self.bmc.trickle("POST", RESET, head, bytes(2**16), every=0)
        self.bmc.faults.pop(("GET", SYSTEM))
        with self.assertRaises(NoAnswer):
            self.press()

    def test_one_that_is_large_only_when_it_is_unpacked_is_given_up(self) -> None:
        packed = gzip.compress(bytes(limits.MOST_BYTES + 1))
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        self.bmc.trickle("GET", SYSTEM, head % len(packed) + packed)
        with self.assertRaises(Unreachable) as caught:
            self.driver.power_state(self.uri)
        self.assertIn("bytes", str(caught.exception))

    def test_over_tls_too(self) -> None:
        certificate = self_signed(pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())))
        with FaultyBmc(certificate) as bmc:
            driver = self.make(timeout=0.5, cafile=str(certificate))
            self.assertEqual("Off", driver.power_state(bmc.url + SYSTEM))
            bmc.trickle("GET", SYSTEM, *self.heads[0])
            with self.assertRaises(Unreachable):
                driver.power_state(bmc.url + SYSTEM)

    def test_one_that_is_slow_and_ends_in_time_is_heard(self) -> None:
        self.driver = self.make(timeout=1)
        document = json.dumps(self.bmc.documents[SYSTEM]).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(document) + 9)
        self.bmc.trickle("GET", SYSTEM, head + document)
        self.assertEqual("Off", self.driver.power_state(self.uri))


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

    def test_one_call_tries_what_was_silent_and_the_others_wait_nowhere(self) -> None:
        driver = self.make_careful(breaker_failures=1, pause=0.05)
        driver.power_state(self.uri)
        self.bmc.hang("GET", SYSTEM)
        with self.assertRaises(Unreachable):
            driver.power_state(self.uri)
        asked = self.asked("GET", SYSTEM)
        told: list[str] = []

        def tries() -> None:
            try:
                driver.power_state(self.uri)
            except Unreachable as error:
                told.append(str(error))

        eventually(lambda: self.trial(tries, told), "the pause to end")
        threads = [threading.Thread(target=tries) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        # One at a time, whoever asks.
        self.assertLess(self.asked("GET", SYSTEM) - asked, 1 + len(threads))

    def trial(self, tries: Any, told: list[str]) -> bool:
        tries()
        return "Left alone" not in told[-1]


class ElsewhereTest(DriverTestCase):
    """Nothing leads us, with our login, to another host."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.enterContext(FaultyBmc())
        self.driver.power_state(self.uri)

    def moved(self, status: int) -> Fault:
        return lambda handler: handler.answer(status, None, Location=self.other.url + handler.path)

    def test_redirects_are_refused(self) -> None:
        for status in (301, 302, 307, 308):
            self.bmc.faults["GET", SYSTEM] = self.moved(status)
            self.bmc.faults["POST", RESET] = self.moved(status)
            with self.subTest(status), self.assertRaises(PodRefused) as caught:
                self.driver.power_state(self.uri)
            self.assertIn("sends us to", str(caught.exception))
            self.bmc.faults.pop(("GET", SYSTEM))
            with self.assertRaises(PodRefused):
                self.driver.power(self.uri, PowerAction.ON)
        self.assertEqual(([], []), (self.other.asked, self.other.resets))

    def test_targets_and_links_on_other_hosts_are_refused(self) -> None:
        system = self.bmc.documents[SYSTEM]
        system["Actions"]["#ComputerSystem.Reset"]["target"] = self.other.url + RESET
        with self.assertRaises(PodRefused):
            self.driver.power(self.uri, PowerAction.ON)
        for path in ("//evil.example/x", "@evil.example/x", "http://evil.example/x", "/a b", 7):
            system["EthernetInterfaces"] = {"@odata.id": path}
            with self.subTest(path):
                self.assertEqual([], self.driver.ports(self.uri))
        self.assertEqual([], self.other.asked)

    def test_a_location_with_another_host_is_its_path_or_nothing(self) -> None:
        for location, uri in (
            (f"{self.other.url}{MONITOR}", self.bmc.url + MONITOR),
            ("@evil.example/x", None),
            ("//evil.example//x", None),
        ):
            self.bmc.faults["POST", RESET] = lambda handler, location=location: handler.answer(  # type: ignore[misc]
                202, None, Location=location
            )
            made = self.driver.power(self.uri, PowerAction.ON)
            with self.subTest(location):
                self.assertEqual(uri, None if made is None else made.uri)


class DoubtTest(DriverTestCase):
    def test_a_service_or_a_proxy_that_breaks_over_an_order_leaves_doubt(self) -> None:
        for status in (500, 502, 504):
            self.bmc.fail("POST", RESET, status)
            with self.subTest(status), self.assertRaises(NoAnswer):
                self.driver.power(self.uri, PowerAction.ON)
        self.assertEqual(3, self.asked("POST", RESET))

    def test_errors_that_sushy_cannot_read_have_their_meaning(self) -> None:
        self.bmc.faults["POST", RESET] = lambda handler: handler.answer(
            503, {"error": "text"}, Retry_After="4"
        )
        with self.assertRaises(Unreachable) as caught:
            self.driver.power(self.uri, PowerAction.ON)
        self.assertEqual(4.0, caught.exception.retry_after)

    def test_a_wait_without_end_is_cut(self) -> None:
        self.bmc.fail("POST", RESET, 503, Retry_After="9" * 400)
        with self.assertRaises(Unreachable) as caught:
            self.driver.power(self.uri, PowerAction.ON)
        self.assertEqual(300.0, caught.exception.retry_after)

    def test_an_operation_that_cannot_be_looked_at_has_not_failed(self) -> None:
        for fault in (
            lambda handler: handler.refuse(500),
            lambda handler: handler.answer(200, "<html>"),
            lambda handler: handler.refuse(503),
        ):
            self.bmc.faults["GET", TASK] = fault
            with self.assertRaises(Unreachable):
                self.driver.operation(self.bmc.url + TASK)

    def test_a_signature_is_masked_before_a_text_is_cut(self) -> None:
        signature = "s3cr3t" * 20
        image = f"http://images/{'a' * 250}.iso?signature={signature}"
        self.bmc.fail("POST", INSERT, 400, f"Cannot fetch {image}")
        with self.assertRaises(PodRefused) as caught:
            self.driver.set_media(self.uri, image)
        self.assertNotIn("s3cr3t", str(caught.exception))
        # Of others nothing is masked.
        self.bmc.fail("POST", RESET, 400, f"Cannot fetch {image[:40]}")
        with self.assertRaises(PodRefused) as caught:
            self.driver.power(self.uri, PowerAction.ON)
        self.assertIn(image[:40], str(caught.exception))

    def test_the_certificate_is_the_only_trouble_of_tls_before_anything_is_sent(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificate = self_signed(directory)
        with FaultyBmc(certificate) as bmc:
            driver = self.make(cafile=str(certificate))
            driver.power_state(bmc.url + SYSTEM)

            def broken(handler: Any) -> None:
                # The order was read; what comes back is no TLS.
                plain = socket.socket(fileno=handler.connection.detach())
                plain.sendall(b"no TLS at all, and certainly no record of it")
                plain.close()
                # As the server sees it.
                raise ConnectionAbortedError

            bmc.faults["POST", RESET] = broken
            with self.assertRaises(NoAnswer):
                driver.power(bmc.url + SYSTEM, PowerAction.ON)


class PagesTest(DriverTestCase):
    def test_collections_are_read_page_after_page(self) -> None:
        second, third = f"{SYSTEMS}?$skip=1", f"{SYSTEMS}/more"
        self.bmc.documents[SYSTEMS]["Members@odata.nextLink"] = second
        more = {"@odata.id": f"{SYSTEMS}/2"}
        self.bmc.documents[second] = {"Members": [more], "Members@odata.nextLink": third}
        self.bmc.documents[f"{SYSTEMS}/2"] = {**more, "Name": "server-2"}
        # One that leads back ends it.
        self.bmc.documents[third] = {"Members": [], "Members@odata.nextLink": second}
        found = self.driver.inventory(self.bmc.url)
        self.assertEqual(["server-1", "server-2"], [each.name for each in found.machines])

    def test_many_members_are_read_in_their_order(self) -> None:
        paths = [f"{SYSTEMS}/{number}" for number in range(1, 41)]
        self.bmc.documents[SYSTEMS]["Members"] = [{"@odata.id": path} for path in paths]
        for path in paths[1:]:
            self.bmc.documents[path] = {"@odata.id": path, "Name": path}
        self.bmc.fail("GET", paths[7], 500)
        found = self.driver.inventory(self.bmc.url)
        self.assertEqual([self.bmc.url + paths[7]], list(found.unread))
        names = ["server-1", *(path for path in paths[1:] if path != paths[7])]
        self.assertEqual(names, [each.name for each in found.machines])


class AbsurdTest(DriverTestCase):
    def test_numbers_and_names_that_no_column_holds(self) -> None:
        text = json.dumps(self.bmc.documents[SYSTEM])
        for cpus, memory, name in (
            ("NaN", "1e999", '"x\\u0000y"'),
            ("-1", "Infinity", '"\\ud800"'),
            ("9" * 30, "9" * 30, f'"{"n" * 999}"'),
            ("true", '"2"', "[]"),
        ):
            document = text.replace('"Count": 2', f'"Count": {cpus}')
            document = document.replace(
                '"TotalSystemMemoryGiB": 96', f'"TotalSystemMemoryGiB": {memory}'
            )
            document = document.replace('"Name": "server-1"', f'"Name": {name}')
            self.bmc.faults["GET", SYSTEM] = lambda handler, document=document: handler.answer(  # type: ignore[misc]
                200, document
            )
            (machine,) = self.driver.inventory(self.bmc.url).machines
            with self.subTest(name):
                self.assertEqual((None, None), (machine.cpus, machine.memory_mib))
                self.assertEqual(storable(machine.name)[:255], machine.name)

    def test_cores_count_where_they_are_told(self) -> None:
        self.bmc.documents[SYSTEM]["ProcessorSummary"] = {"Count": 2, "CoreCount": 64}
        (machine,) = self.driver.inventory(self.bmc.url).machines
        self.assertEqual(64, machine.cpus)

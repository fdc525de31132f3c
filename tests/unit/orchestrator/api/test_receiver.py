# SPDX-License-Identifier: Apache-2.0
"""What pods send: who may, what is taken of it, and that nobody learns the secret."""

import io
import json
import logging
from typing import Any
from unittest import mock

import webob

from headwater.common.errors import DatabaseUnavailable
from headwater.common.states import EventSource, Severity
from headwater.db import inventory, pod_events, subscriptions, tasks
from headwater.db.pod_records import Task
from headwater.db.telemetry_records import PodEvent
from headwater.orchestrator.api import receiver
from tests.support.api import ApiTestCase
from tests.support.pod_builders import URI, add_machine, add_pod, seen
from tests.support.telemetry_builders import add_policy

SECRET = "s" * 43
ADDRESS = "http://bmc.example"
SYSTEM = URI.removeprefix(ADDRESS)


def event(**changes: Any) -> dict[str, Any]:
    known = {
        "MessageId": "Alert.1.0.PSU",
        "Message": "A power supply failed.",
        "MessageSeverity": "Critical",
        "OriginOfCondition": {"@odata.id": SYSTEM},
    }
    return {**known, **changes}


class ReceiverTestCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)
        self.machine = add_machine(self.database, self.pod)
        subscriptions.begin(self.database, self.pod.id, {ADDRESS: SECRET})

    def send(
        self, document: object, secret: str = SECRET, method: str = "POST", **environ: Any
    ) -> webob.Response:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        request = webob.Request.blank(
            f"/v1/pod_events/{secret}", method=method, body=body, environ=environ
        )
        return request.get_response(self.app)

    def events(self) -> list[PodEvent]:
        return list(pod_events.list_page(self.database, limit=99))

    def polls(self) -> list[Task]:
        return list(tasks.list_page(self.database, limit=9))


class TakenTest(ReceiverTestCase):
    def test_an_event_is_written_down_and_its_machine_is_read(self) -> None:
        add_policy(self.database)
        answer = self.send({"Events": [event()]})
        self.assertEqual((204, b""), (answer.status_int, answer.body))
        (found,) = self.events()
        self.assertEqual(
            (self.machine.uuid, "Alert.1.0.PSU", Severity.CRITICAL, "A power supply failed."),
            (found.machine, found.kind, found.severity, found.message),
        )
        self.assertIs(EventSource.REDFISH, found.source)
        (poll,) = self.polls()
        self.assertEqual("poll-machine", poll.action)
        self.assertEqual(["telemetry"], self.woken)

    def test_without_a_policy_nothing_is_polled(self) -> None:
        self.send({"Events": [event(), event(OriginOfCondition=None)]})
        self.assertEqual((2, []), (len(self.events()), self.polls()))

    def test_what_is_about_no_machine_lets_the_pod_be_read(self) -> None:
        add_policy(self.database)
        others = [seen(self.machine.uri), seen(f"{ADDRESS}/redfish/v1/Systems/9")]
        inventory.store(self.database, self.pod.id, others, [])
        for odd in ("no path", "//[x", "//a\u2100b", None):
            with mock.patch.object(receiver.telemetry, "ask_pod") as ask:
                self.send({"Events": [event(OriginOfCondition=odd)]})
            ask.assert_called_once_with(self.database, self.pod.id)
            self.assertIsNone(self.events()[0].machine)

    def test_the_only_machine_of_an_address_is_what_it_is_about(self) -> None:
        add_policy(self.database)
        self.send({"Events": [event(OriginOfCondition=None)]})
        self.assertEqual(self.machine.uuid, self.events()[0].machine)
        self.assertEqual(["poll-machine"], [each.action for each in self.polls()])

    def test_one_address_that_floods_silences_no_other(self) -> None:
        other = "x" * 43
        subscriptions.begin(self.database, self.pod.id, {"http://other.example": other})
        with mock.patch.object(receiver, "_MOST_PER_MINUTE", 3):
            for _ in range(3):
                self.assertEqual(204, self.send({"Events": [event()] * 2}).status_int)
            self.assertEqual(3, len(self.events()))
            self.send({"Events": [event()]}, other)
            self.assertEqual(4, len(self.events()))

    def test_a_doubled_slash_hides_no_secret(self) -> None:
        request = webob.Request.blank(
            f"//v1//pod_events/{SECRET}", method="POST", body=json.dumps({"Events": []}).encode()
        )
        with self.assertLogs("headwater", "INFO") as logged:
            logging.getLogger("headwater").info("Something")
            self.assertEqual(204, request.get_response(self.app).status_int)
        self.assertNotIn(SECRET, "".join(logged.output))

    def test_older_services_name_what_it_is_about_as_a_text(self) -> None:
        self.send({"Events": [event(OriginOfCondition=f"{SYSTEM}/Memory/1")]})
        self.assertEqual(self.machine.uuid, self.events()[0].machine)

    def test_any_field_may_be_missing_or_odd(self) -> None:
        odd = [{}, "odd", None, event(MessageId=7, Message=[], MessageSeverity={}), {"Message": ""}]
        self.assertEqual(204, self.send({"Events": odd}).status_int)
        self.assertEqual(["event"] * 3, [each.kind for each in self.events()])
        self.assertEqual({Severity.OK}, {each.severity for each in self.events()})

    def test_texts_do_nothing_to_terminals_and_never_show_the_secret(self) -> None:
        message = f"\x1b[31mTo https://here/v1/pod_events/{SECRET}\r\n\x00\ud800" + "x" * 5000
        self.send({"Events": [event(Message=message, MessageId=SECRET)]})
        (found,) = self.events()
        self.assertEqual("[31mTo https://here/v1/pod_events/*** \ufffd?x", found.message[:41])
        self.assertEqual((1000, "***"), (len(found.message), found.kind))

    def test_of_one_call_only_some_are_taken(self) -> None:
        self.assertEqual(204, self.send({"Events": [event()] * 80}).status_int)
        self.assertEqual(50, len(self.events()))


class RefusedTest(ReceiverTestCase):
    def refuse(self, status: int, answer: webob.Response) -> str:
        error = self.refused(answer)
        self.assertEqual(status, error["status"])
        self.assertEqual([], self.events())
        return str(error["detail"])

    def test_an_unknown_secret_is_no_resource_whatever_comes_with_it(self) -> None:
        for secret in ("t" * 43, "short", "x" * 5000, f"{SECRET}/x", f"{SECRET}\n", "%00"):
            for method in ("POST", "GET"):
                with self.subTest(secret[:50] + method):
                    self.refuse(404, self.send({"Events": [event()]}, secret, method))

    def test_its_body_is_not_read_then(self) -> None:
        body = mock.Mock(spec=io.BytesIO)
        self.send(b"x", "t" * 43, **{"wsgi.input": body})
        body.read.assert_not_called()

    def test_only_post(self) -> None:
        answer = self.send({}, method="GET")
        self.refuse(405, answer)
        self.assertEqual("POST", answer.headers["Allow"])

    def test_bodies_that_are_no_event(self) -> None:
        deep = b"[" * 50000
        for body in (b"", b"no", deep, b"7", b"[]", b'{"Events": {}}', b'{"MetricValues": []}'):
            with self.subTest(body[:20]):
                self.refuse(400, self.send(body))

    def test_long_bodies_are_not_read(self) -> None:
        self.refuse(400, self.send(b" " * 65537))
        self.refuse(400, self.send(b"{}", HTTP_TRANSFER_ENCODING="chunked"))
        self.refuse(400, self.send(b"{}", CONTENT_LENGTH="many"))
        self.refuse(400, self.send(b"{}", CONTENT_LENGTH="-7"))

    def test_a_database_that_is_away_is_503_without_its_name(self) -> None:
        away = DatabaseUnavailable("The database at 192.0.2.1 cannot be used")
        with mock.patch.object(receiver.subscriptions, "sender", side_effect=away):
            detail = self.refuse(503, self.send({"Events": [event()]}))
        self.assertNotIn("192.0.2.1", detail)

    def test_no_log_shows_the_secret(self) -> None:
        with self.assertLogs("headwater", logging.DEBUG) as caught:
            logging.getLogger("headwater").debug("one line at least")
            self.send({"Events": [event()]}, method="PUT")
            with mock.patch.object(receiver, "parse", side_effect=KeyError("x")):
                self.assertEqual(500, self.send({"Events": []}).status_int)
        text = "\n".join(caught.output)
        self.assertIn("/v1/pod_events/*** broke", text)
        self.assertNotIn(SECRET, text)

    def test_the_list_of_events_still_needs_a_token(self) -> None:
        for path in ("/v1/pod_events", "/v1/pod_events/"):
            self.assertEqual(401, self.ask(path).status_int)
            self.assertEqual(200, self.call("GET", path).status_int)

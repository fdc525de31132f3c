# SPDX-License-Identifier: Apache-2.0
"""Answers of clouds and their absence, over real connections to a server of the test's own."""

import http.server
import json
import socket
import threading
import unittest
from typing import Any, ClassVar

from keystoneauth1 import noauth
from keystoneauth1.session import Session

from headwater.common.errors import LoginRefused, Unreachable
from headwater.common.sessions import Answer, ServiceClient, SessionCache, password_session

#: Status, headers, body.
Scripted = tuple[int, dict[str, str], bytes]


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Scripted]]
    asked: ClassVar[list[tuple[str, str, bytes]]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, body))
        status, headers, content = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def document(status: int, value: object, **headers: str) -> Scripted:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode()


class ServedTestCase(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.answers: dict[str, Scripted] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        handler = type("Handler", (_Handler,), {"answers": self.answers, "asked": self.asked})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"

    def client(self, url: str | None = None, timeout: float = 10.0) -> ServiceClient:
        session = Session(auth=noauth.NoAuth(endpoint=url or self.url), timeout=timeout)
        self.addCleanup(session.session.close)
        return ServiceClient(
            session, service_type="identity", interface="public", region_name="one"
        )

    def get(self, answer: Scripted) -> Answer:
        self.answers["/x"] = answer
        return self.client().call("GET", "/x")


class CallTest(ServedTestCase):
    def test_an_answer_has_status_body_and_reason(self) -> None:
        answer = self.get(document(200, {"user": {"id": "u1"}}))
        self.assertEqual(
            (200, {"user": {"id": "u1"}}, True), (answer.status, answer.body, answer.ok)
        )

    def test_what_is_sent_arrives(self) -> None:
        self.answers["/x?name=%C3%BC"] = (204, {}, b"")
        answer = self.client().call(
            "PATCH", "/x", json={"user": {"password": "p"}}, params={"name": "ü"}
        )
        self.assertEqual((204, None), (answer.status, answer.body))
        (asked,) = self.asked
        self.assertEqual(("PATCH", "/x?name=%C3%BC"), asked[:2])
        self.assertEqual({"user": {"password": "p"}}, json.loads(asked[2]))

    def test_an_error_is_an_answer_with_the_message_of_its_document(self) -> None:
        answer = self.get(document(409, {"error": {"code": 409, "message": "Name\n is taken"}}))
        self.assertEqual((409, "Name is taken", False), (answer.status, answer.reason, answer.ok))

    def test_an_error_without_a_document_has_the_start_of_its_text(self) -> None:
        answer = self.get((500, {}, b"<html>\n <b>Oops</b>"))
        self.assertEqual((None, "<html> <b>Oops</b>"), (answer.body, answer.reason))
        self.assertTrue(self.get((500, {}, b"")).reason)
        self.assertLess(len(self.get((500, {}, 10**6 * b"x")).reason), 20_000)

    def test_a_redirect_is_not_followed(self) -> None:
        self.assertEqual(302, self.get((302, {"Location": f"{self.url}/y"}, b"")).status)
        self.assertEqual(["/x"], [path for _, path, _ in self.asked])

    def test_an_answer_that_says_not_now_is_no_answer_of_the_call(self) -> None:
        for status in (429, 502, 503, 504):
            with self.subTest(status), self.assertRaises(Unreachable) as caught:
                self.get(document(status, {"error": {"message": "busy"}}))
            self.assertEqual(f"GET /x: {status} busy", str(caught.exception))
            self.assertIsNone(caught.exception.retry_after)

    def test_the_wait_that_it_asks_for_is_told(self) -> None:
        for value, seconds in (
            ("7", 7.0),
            ("0", 0.0),
            ("soon", None),
            ("-1", None),
            ("\xb2", None),
        ):
            with self.subTest(value):
                with self.assertRaises(Unreachable) as caught:
                    self.get((503, {"Retry-After": value}, b"busy"))
                self.assertEqual(seconds, caught.exception.retry_after)

    def test_nobody_there_is_unreachable_in_the_systems_own_words(self) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        with self.assertRaisesRegex(Unreachable, "^No answer: Connection refused$"):
            self.client(f"http://127.0.0.1:{port}").call("GET", "/x")

    def test_silence_is_unreachable(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with self.assertRaisesRegex(Unreachable, "^No answer: timed out$"):
                self.client(url, timeout=0.2).call("GET", "/x")

    def test_the_address_has_neither_version_nor_slash(self) -> None:
        for path in ("", "/", "/v3", "/v3/", "/identity/v3", "/v2.1/"):
            with self.subTest(path):
                root = self.client(self.url + path).root()
                self.assertEqual(self.url + path.partition("/v")[0].rstrip("/"), root)


class LoginTest(ServedTestCase):
    def login(self) -> ServiceClient:
        session = password_session(
            auth_url=f"{self.url}/v3",
            username="admin",
            password="tiger",
            user_domain_name="Default",
            project_name="admin",
            project_domain_name="Default",
            timeout=10.0,
            cafile=None,
        )
        self.addCleanup(session.session.close)
        return ServiceClient(
            session, service_type="identity", interface="public", region_name="one"
        )

    def failure(self, answer: Scripted) -> Exception:
        self.answers["/v3/auth/tokens"] = answer
        with self.assertRaises((LoginRefused, Unreachable)) as caught:
            self.login().call("GET", "/v3/users")
        self.assertNotIn("tiger", str(caught.exception))
        return caught.exception

    def test_credentials_that_are_refused(self) -> None:
        error = self.failure(document(401, {"error": {"code": 401, "message": "Wrong password"}}))
        self.assertIsInstance(error, LoginRefused)
        self.assertIn("Wrong password", str(error))

    def test_a_keystone_that_is_in_trouble(self) -> None:
        for status in (500, 503, 404):
            error = self.failure((status, {}, b"oops"))
            self.assertIsInstance(error, Unreachable, status)

    def test_a_keystone_that_is_something_else(self) -> None:
        self.assertIsInstance(self.failure((200, {}, b"<html>a page</html>")), Unreachable)


class SessionCacheTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = 0

    def make(self) -> Any:
        self.made += 1
        return object()

    def test_a_session_is_made_once_until_its_version_changes(self) -> None:
        cache = SessionCache()
        first = cache.get(1, "v1", self.make)
        self.assertIs(first, cache.get(1, "v1", self.make))
        second = cache.get(1, "v2", self.make)
        self.assertIsNot(first, second)
        self.assertIs(second, cache.get(1, "v2", self.make))
        self.assertEqual(2, self.made)

    def test_beyond_the_limit_the_least_recently_used_is_forgotten(self) -> None:
        cache = SessionCache(limit=2)
        first, second = (cache.get(key, 0, self.make) for key in (1, 2))
        self.assertIs(first, cache.get(1, 0, self.make))
        cache.get(3, 0, self.make)
        self.assertIs(first, cache.get(1, 0, self.make))
        self.assertIsNot(second, cache.get(2, 0, self.make))

    def test_an_error_while_a_session_is_made_leaves_nothing_behind(self) -> None:
        cache = SessionCache()

        def fail() -> Any:
            raise ValueError

        with self.assertRaises(ValueError):
            cache.get(1, 0, fail)
        cache.get(1, 0, self.make)
        self.assertEqual(1, self.made)

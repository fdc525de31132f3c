# SPDX-License-Identifier: Apache-2.0
"""The gateway's WSGI callable under gunicorn and uWSGI, with threads and nothing patched."""

import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import requests

from tests.functional.system import BIN, Command, Process, SystemTest
from tests.support import brokers
from tests.support.databases import Postgresql
from tests.support.waiting import PATIENCE

GATEWAY = "headwater.wsgi.api_proxy:application"
#: The same callable, with a path that tells about the process it runs in.
PROBE = "tests.functional.wsgi_probe:application"
ECHO = "tests.functional.wsgi_echo:application"

#: So that the servers find the tests' own modules, wherever they are started.
ROOT = pathlib.Path(__file__).parents[2]


def gunicorn(target: str, **environment: str) -> Command:
    return Command(
        "gunicorn",
        (
            *("--preload", "--worker-class", "gthread", "--workers", "2", "--threads", "8"),
            *(
                "--no-control-socket",
                "--graceful-timeout",
                "10",
                "--keep-alive",
                "75",
                "--limit-request-line",
                "8190",
            ),
            *("--chdir", str(ROOT), "--bind", "{listen}", target),
        ),
        {"HEADWATER_CONFIG_FILES": "{config}", **environment},
        r"Listening at: http://(\S+)",
    )


def uwsgi(target: str, **environment: str) -> Command:
    return Command(
        "uwsgi",
        (
            *("--master", "--need-app", "--enable-threads", "--processes", "2", "--threads", "8"),
            *("--buffer-size", "65535", "--socket-timeout", "120", "--worker-reload-mercy", "10"),
            *("--die-on-term", "--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
            # It ends every connection: a client that is not told would use it again.
            *("--add-header", "Connection: close"),
            *("--chdir", str(ROOT), "--http-socket", "{listen}", "--module", target),
        ),
        {"HEADWATER_CONFIG_FILES": "{config}", **environment},
        # Ready to be stopped as well, which it is not before.
        r"(?s)bound to TCP address (\S+).*\(master-start\)",
    )


SERVERS = (gunicorn, uwsgi)


def on_every_server(body: type[unittest.TestCase]) -> tuple[type[unittest.TestCase], ...]:
    """Class decorator: the body becomes one test class per server, such as `EchoTestUwsgi`.

    The plain name is the tuple of them, so that no runner collects the body by itself.
    """
    made = []
    for server in SERVERS:
        name = body.__name__ + server.__name__.title()
        members = {"server": staticmethod(server), "__module__": __name__, "__doc__": body.__doc__}
        made.append(type(name, (body,), members))
        setattr(sys.modules[__name__], name, made[-1])
    return tuple(made)


@on_every_server
class ChangesThrough(SystemTest):
    """A change goes through the gateway and reaches a subcloud, on PostgreSQL and RabbitMQ."""

    server: ClassVar[Callable[..., Command]]
    regions: ClassVar = ("subcloud1",)
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))

    @classmethod
    def setUpClass(cls) -> None:
        database = Postgresql()
        database.require()
        cls.options = {
            "DEFAULT": {"transport_url": brokers.fresh_transport(cls)},
            "database": {"connection": database.fresh(cls.addClassCleanup, migrated=False)},
            # As far apart as allowed: what arrives sooner was announced by a message.
            "engine": {"poll_interval": 60},
        }
        cls.program = cls.server(PROBE)
        super().setUpClass()

    def process_facts(self) -> dict[str, Any]:
        answer = self.system.http.get(f"{self.system.url}/test/process", timeout=PATIENCE)
        facts: dict[str, Any] = answer.json()
        return facts

    def test_a_change_is_recorded_announced_and_replayed(self) -> None:
        worker = Process(
            "headwater-engine-worker", self.system.config, self.system.directory / "worker.log"
        )
        self.addCleanup(worker.stop)
        worker.wait_for("Worker .* starts")
        name = self.unique("group")
        body = {"group": {"name": name, "domain_id": "default"}}
        answer = self.system.change("POST", "/v3/groups", body)
        self.assertEqual(answer.status_code, 201)
        self.assertTrue(answer.json()["group"]["links"]["self"].startswith(self.system.url))
        self.one(self.system.subclouds["subcloud1"], "group", name=name)
        self.assertEqual(worker.stop(), 0, worker.log())

    def test_many_calls_at_a_time_are_answered_by_unpatched_threads(self) -> None:
        token = self.system.central.admin_session().get_token()

        def read(number: int) -> tuple[int, str]:
            answer = requests.get(
                f"{self.system.url}/v3/users?name=none-{number}",
                headers={"X-Auth-Token": token},
                timeout=PATIENCE,
            )
            return answer.status_code, answer.json()["links"]["self"].rpartition("=")[2]

        numbers = range(60)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(read, numbers))
        self.assertEqual([(200, f"none-{number}") for number in numbers], answers)
        facts = self.process_facts()
        self.assertEqual({"backend": "threading", "patched": []}, facts)

    def test_without_a_token_or_with_a_wrong_one_it_is_401(self) -> None:
        for headers in ({}, {"X-Auth-Token": "wrong"}):
            answer = self.system.http.get(
                f"{self.system.url}/v3/users", headers=headers, timeout=PATIENCE
            )
            self.assertEqual(401, answer.status_code)

    def test_a_client_is_told_when_its_connection_ends(self) -> None:
        answer = self.system.call("GET", "/v3/users")
        closes = answer.headers.get("Connection", "").lower() == "close"
        self.assertEqual(self.server is uwsgi, closes, answer.headers)

    def test_the_server_stops_cleanly_and_starts_again(self) -> None:
        self.assertEqual(0, self.system.process.stop(), self.system.process.log())
        type(self).system.process = self.system.start(self.program)
        self.assertEqual(200, self.system.call("GET", "/v3/users").status_code)


class EchoTestCase(unittest.TestCase):
    """A server with the echo, and raw sockets to it."""

    server: ClassVar[Callable[..., Command]]
    process: ClassVar[Process]
    address: ClassVar[tuple[str, int]]

    def start(self) -> tuple[Process, tuple[str, int]]:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        command = self.server(ECHO)
        process = Process(command, directory / "none.conf", directory / "log", "127.0.0.1:0")
        self.addCleanup(process.stop)
        host, port = process.wait_for(command.listens)[1].split(":")
        return process, (host, int(port))

    def connect(self, address: tuple[str, int], content: bytes) -> socket.socket:
        connection = self.enterContext(socket.create_connection(address, PATIENCE))
        connection.sendall(content)
        return connection

    def answer(self, connection: socket.socket) -> tuple[int, dict[str, Any]]:
        """Status and document of an answer; no document where there is none."""
        response = http.client.HTTPResponse(connection)
        response.begin()
        content = response.read()
        return response.status, json.loads(content) if content.startswith(b"{") else {}


@on_every_server
class ExchangesUnder(EchoTestCase):
    """What the gateway understands of a client's bytes."""

    def test_what_a_client_sends_arrives_or_is_refused(self) -> None:
        _, address = self.start()

        def send(*lines: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
            head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
            return self.answer(self.connect(address, head + body))

        with self.subTest("the raw path"):
            status, got = send("GET /v3/a%2Fb/%75?x=%2F&y HTTP/1.1", "Host: g.example:1")
            self.assertEqual(200, status)
            self.assertEqual("/v3/a%2Fb/%75?x=%2F&y", got["target"])
            self.assertEqual(
                ("g.example:1", "127.0.0.1", 0), tuple(got[k] for k in ("host", "peer", "length"))
            )
        with self.subTest("the absolute form"):
            status, got = send("GET http://g.example/v3/a%2Fb?x HTTP/1.1", "Host: g.example")
            self.assertEqual((200, "/v3/a%2Fb?x"), (status, got.get("target")))
        with self.subTest("headers"):
            _, got = send("GET /v3 HTTP/1.1", "Host: h", "X-A: 1", "x-a: 2", "X-Auth-Token: t")
            headers = {name: value.replace(" ", "") for name, value in got["headers"]}
            self.assertEqual(("1,2", "t"), (headers["X-A"], headers["X-Auth-Token"]))
        with self.subTest("a body"):
            content = b"0123456789" * 20_000
            status, got = send(
                "PUT /v3 HTTP/1.1", "Host: h", "Content-Length: 200000", body=content
            )
            self.assertEqual((200, content.decode()), (status, got["body"]))
        for framing in (
            ["Host: h", "Content-Length: 3", "Content-Length: 4"],
            ["Host: h", "Content-Length: 4", "Transfer-Encoding: chunked"],
            ["Host: h", "Transfer-Encoding: xchunked"],
            ["Host: h", "Host: i", "Content-Length: 4"],
        ):
            with self.subTest(str(framing)):
                status, _ = send("POST /v3 HTTP/1.1", *framing, body=b"abcd")
                self.assertIn(status, (400, 501))

    def test_a_chunked_body_is_read_whole_or_refused(self) -> None:
        _, address = self.start()
        status, got = self.answer(
            self.connect(
                address,
                b"POST /v3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            )
        )
        if self.server is gunicorn:
            self.assertEqual((200, "abcde", None), (status, got["body"], got["length"]))
        else:
            self.assertEqual(411, status)

    def test_an_exchange_under_way_ends_before_the_server_stops(self) -> None:
        process, address = self.start()
        connection = self.connect(
            address,
            b"POST /v3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc",
        )
        process.wait_for("Reading on")
        process.popen.send_signal(signal.SIGTERM)
        process.wait_for("Handling signal: term|Gracefully killing worker")
        connection.sendall(b"def")
        status, got = self.answer(connection)
        self.assertEqual((200, "abcdef"), (status, got["body"]))
        self.assertEqual(0, process.popen.wait(PATIENCE), process.log())


@on_every_server
class ApiUnder(unittest.TestCase):
    """The orchestrator's own API, on SQLite and without a broker."""

    server: ClassVar[Callable[..., Command]]

    def test_it_serves_versions_and_health(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        config = directory / "headwater.conf"
        config.write_text(
            f"[DEFAULT]\nstate_path = {directory}\ntransport_url = fake://\n"
            "[keystone_authtoken]\nauth_type = password\nauth_url = http://127.0.0.1:9/v3\n"
            "www_authenticate_uri = http://127.0.0.1:9/v3\n"
        )
        for words in (("db", "sync"), ("secrets", "create")):
            subprocess.run(
                [BIN / "headwater-manage", "--config-file", config, *words],
                check=True,
                capture_output=True,
            )
        command = self.server("headwater.wsgi.api:application")
        process = Process(command, config, directory / "log", "127.0.0.1:0")
        self.addCleanup(process.stop)
        url = "http://" + process.wait_for(command.listens)[1]
        link = requests.get(url, timeout=PATIENCE).json()["versions"][0]["links"][0]["href"]
        self.assertEqual(f"{url}/v1/", link)
        health = requests.get(f"{url}/healthcheck", timeout=PATIENCE)
        self.assertEqual((200, "ok"), (health.status_code, health.json()["status"]))
        self.assertEqual(401, requests.get(f"{url}/v1/x", timeout=PATIENCE).status_code)


@on_every_server
class StartsUnder(unittest.TestCase):
    """A configuration that cannot work keeps the server from coming up."""

    server: ClassVar[Callable[..., Command]]

    def test_a_wrong_configuration_is_one_line_and_no_server(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        config = directory / "headwater.conf"
        config.write_text("[api_proxy]\nmax_connections = none\n")
        process = Process(self.server(GATEWAY), config, directory / "log", "127.0.0.1:0")
        self.addCleanup(process.stop)
        self.assertNotEqual(0, process.popen.wait(PATIENCE))
        self.assertRegex(process.log(), r"(?m)ConfigurationError: \[api_proxy\] max_connections: ")

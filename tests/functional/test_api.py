# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's own API as a process, on PostgreSQL and RabbitMQ, with a real Keystone."""

import socket
from typing import Any, ClassVar

import requests
import sqlalchemy as sa

from tests.functional.system import Command, Process, SystemTest
from tests.support import brokers
from tests.support.databases import Postgresql
from tests.support.waiting import PATIENCE, eventually

API = Command("headwater-api", listens=r"The API listens on http://(\S+)")


class ApiProcess(SystemTest):
    """headwater-api in two processes, and what it depends on coming and going."""

    regions: ClassVar = ()
    program: ClassVar = API
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))

    @classmethod
    def setUpClass(cls) -> None:
        database = Postgresql()
        database.require()
        cls.database_url = sa.make_url(database.fresh(cls.addClassCleanup, migrated=False))
        cls.options = {
            "DEFAULT": {
                "transport_url": brokers.fresh_transport(cls),
                "api_workers": 2,
                "workers": 1,
            },
            "engine": {"poll_interval": 60},
            "database": {"connection": cls.database_url.render_as_string(hide_password=False)},
        }
        super().setUpClass()

    def get(self, path: str, url: str | None = None, **headers: str) -> requests.Response:
        return self.system.http.get(
            (url or self.system.url) + path, headers=headers, timeout=PATIENCE
        )

    def test_versions_need_no_token_and_name_the_address(self) -> None:
        link = self.get("/").json()["versions"][0]["links"][0]["href"]
        self.assertEqual(f"{self.system.url}/v1/", link)
        self.assertEqual("v1.0", self.get("/v1").json()["version"]["id"])

    def test_all_else_needs_a_valid_token(self) -> None:
        for headers in ({}, {"X-Auth-Token": "wrong"}):
            answer = self.get("/v1/nothing", **headers)
            self.assertEqual(401, answer.status_code)
            self.assertEqual(401, answer.json()["errors"][0]["status"])
            self.assertIn("Keystone uri=", answer.headers["WWW-Authenticate"])
        token = self.system.central.admin_session().get_token()
        answer = self.get("/v1/nothing", **{"X-Auth-Token": token})
        self.assertEqual(404, answer.status_code)
        (error,) = answer.json()["errors"]
        self.assertEqual(answer.headers["X-Openstack-Request-Id"], error["request_id"])

    def test_a_database_that_goes_away_is_503_until_it_is_back(self) -> None:
        ok = {"status": "ok"}
        well = {"status": "ok", "checks": {"database": ok, "broker": ok}}
        self.assertEqual((200, well), self.health())
        self.allow_connections("false")
        self.addCleanup(self.allow_connections, "true")
        status, document = self.health()
        self.assertEqual((503, "unavailable"), (status, document["status"]))
        self.assertEqual({"status": "ok"}, document["checks"]["broker"])
        self.allow_connections("true")
        eventually(lambda: self.health() == (200, well), "health")

    def health(self, url: str | None = None) -> tuple[int, dict[str, Any]]:
        answer = self.get("/healthcheck", url)
        document: dict[str, Any] = answer.json()
        return answer.status_code, document

    def allow_connections(self, allowed: str) -> None:
        name = self.database_url.database
        engine = sa.create_engine(
            self.database_url.set(database="postgres"),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.NullPool,
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
            if allowed == "false":
                connection.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = :name"
                    ),
                    {"name": name},
                )

    def test_what_an_admin_asks_for_wakes_a_worker_on_the_broker(self) -> None:
        worker = Process(
            "headwater-engine-worker", self.system.config, self.system.directory / "worker.log"
        )
        self.addCleanup(worker.stop)
        worker.wait_for(r"Worker \S+ starts")
        token = {"X-Auth-Token": self.system.central.admin_session().get_token()}

        def call(method: str, path: str, body: object = None) -> requests.Response:
            return self.system.http.request(
                method, f"{self.system.url}/v1{path}", json=body, headers=token, timeout=PATIENCE
            )

        new = {"name": "edge", "auth_url": "http://127.0.0.1:9/v3", "password": "word"}
        self.assertEqual(201, call("POST", "/subclouds", {"subcloud": new}).status_code)
        # Its poll looks only long after this test has lost its patience.
        self.assertEqual(200, call("POST", "/subclouds/edge/manage", {}).status_code)

        def tried() -> str | None:
            error: str | None = call("GET", "/subclouds/edge/lanes").json()["lanes"][0][
                "last_error"
            ]
            return error

        self.assertIn("Audit: ", eventually(tried, "a try"))
        kinds = {each["kind"] for each in call("GET", "/services").json()["services"]}
        self.assertEqual({"engine-worker"}, kinds)

    def test_without_a_broker_it_is_degraded_and_works(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        url, process = self.start_with(f"transport_url = rabbit://u:secret@127.0.0.1:{port}/")
        answer = self.get("/healthcheck", url)
        self.assertEqual((200, "degraded"), (answer.status_code, answer.json()["status"]))
        self.assertNotIn("secret", answer.text + process.log())
        self.assertEqual(0, process.stop(), process.log())

    def start_with(self, line: str) -> tuple[str, Process]:
        """One more API, with another option."""
        part = self.system.directory / "changed.conf"
        part.write_text(f"{self.system.config.read_text()}\n[DEFAULT]\n{line}\n")
        process = Process(API, part, self.system.directory / "changed.log")
        self.addCleanup(process.stop)
        return "http://" + process.wait_for(API.listens)[1], process


class ApiOfAllInOne(SystemTest):
    """The embedded mode serves the API beside the gateway."""

    regions: ClassVar = ()

    def test_it_is_well_without_a_broker(self) -> None:
        listen = self.system.process.wait_for(API.listens)[1]
        answer = self.system.http.get(f"http://{listen}/healthcheck", timeout=PATIENCE)
        self.assertEqual(200, answer.status_code)
        self.assertEqual({"status": "ok", "detail": "embedded"}, answer.json()["checks"]["broker"])

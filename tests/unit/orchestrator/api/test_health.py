# SPDX-License-Identifier: Apache-2.0
"""Health is found out within a bounded time, whatever hangs."""

import pathlib
import socket
import threading
import unittest

from headwater.orchestrator.api.health import Finding, Health, Probe
from tests.support.databases import DatabaseTestCase
from tests.support.waiting import PATIENCE


class ProbeTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    def test_without_an_age_every_question_is_a_look(self) -> None:
        probe = Probe("thing", self.look, PATIENCE)
        self.assertEqual([Finding(ok=True)] * 2, [probe.ask(), probe.ask()])
        self.assertEqual(2, self.looks)

    def test_a_finding_counts_for_its_age(self) -> None:
        probe = Probe("thing", self.look, PATIENCE, age=3600)
        self.assertEqual([Finding(ok=True)] * 2, [probe.ask(), probe.ask()])
        self.assertEqual(1, self.looks)

    def test_an_error_is_logged_and_not_shown(self) -> None:
        def fail() -> None:
            raise OSError("no route to secret.example")

        with self.assertLogs("headwater.orchestrator.api.health") as logs:
            found = Probe("thing", fail, PATIENCE).ask()
        self.assertEqual(Finding(ok=False, detail="The thing cannot be used."), found)
        self.assertIn("secret.example", logs.output[0])

    def test_one_that_hangs_is_asked_once_and_waited_for_no_longer_than_allowed(self) -> None:
        hung = threading.Event()

        def hang() -> None:
            self.look()
            hung.wait(PATIENCE)

        probe = Probe("thing", hang, 0.01)
        with self.assertLogs("headwater.orchestrator.api.health"):
            self.assertEqual([False, False], [probe.ask().ok, probe.ask().ok])
        self.assertEqual(1, self.looks)
        hung.set()


class HealthTest(DatabaseTestCase):
    def listener(self) -> tuple[str, int]:
        server = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        host, port = server.getsockname()
        return host, port

    def closed(self) -> tuple[str, int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = server.getsockname()
        return host, port

    def test_all_is_well(self) -> None:
        well = {"status": "ok"}
        self.assertEqual(
            (True, {"status": "ok", "checks": {"database": well, "broker": well}}),
            Health(self.database, [self.listener()]).report(),
        )

    def test_the_embedded_mode_needs_no_broker(self) -> None:
        works, document = Health(self.database, []).report()
        self.assertTrue(works)
        self.assertEqual({"status": "ok", "detail": "embedded"}, document["checks"]["broker"])

    def test_one_broker_of_several_is_enough(self) -> None:
        _, document = Health(self.database, [self.closed(), self.listener()]).report()
        self.assertEqual("ok", document["status"])

    def test_without_a_broker_it_works_but_is_degraded(self) -> None:
        with self.assertLogs("headwater.orchestrator.api.health"):
            works, document = Health(self.database, [self.closed()]).report()
        self.assertTrue(works)
        self.assertEqual("degraded", document["status"])
        self.assertEqual("unavailable", document["checks"]["broker"]["status"])

    def test_without_its_tables_the_database_is_unavailable(self) -> None:
        assert self.database.engine.url.database is not None
        pathlib.Path(self.database.engine.url.database).write_bytes(b"not a database" * 1000)
        with self.assertLogs("headwater.orchestrator.api.health"):
            works, document = Health(self.database, []).report()
        self.assertFalse(works)
        self.assertEqual("unavailable", document["status"])
        self.assertNotIn(str(self.database.engine.url.database), str(document))

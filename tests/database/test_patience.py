# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for ever for a database that says nothing, nor a database for its client."""

import time
from unittest import mock

import sqlalchemy as sa

from headwater.common.errors import DatabaseUnavailable
from headwater.db import patience
from headwater.db.connection import Database, connect
from tests.support import builders, databases
from tests.support.relay import Relay
from tests.support.waiting import PATIENCE

#: Seconds; far below the real ones, and far above what the statements here take.
PROMPT, ANSWER = 0.5, 1.0


@databases.on_servers
class PatienceTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name, seconds in (("PROMPT", PROMPT), ("ANSWER", ANSWER), ("IDLE", 1)):
            self.enterContext(mock.patch.object(patience, name, seconds))
        self.enterContext(mock.patch.object(patience._Connection, "patience", PROMPT))
        url = sa.make_url(self.url)
        port = url.port or {"postgresql": 5432}.get(url.get_backend_name(), 3306)
        self.relay = self.enterContext(Relay(port, url.host or "127.0.0.1"))
        self.relayed = self.through(url.set(host="127.0.0.1", port=self.relay.port))
        self.sleep = sa.text("SELECT pg_sleep(1.5)" if self.postgresql else "SELECT SLEEP(1.5)")

    @property
    def postgresql(self) -> bool:
        return self.backend is databases.POSTGRESQL

    def through(self, url: sa.URL) -> Database:
        database = connect(url.render_as_string(hide_password=False))
        self.addCleanup(database.dispose)
        return database

    def select(self) -> int:
        with self.relayed.read() as connection:
            number: int = connection.execute(sa.text("SELECT 1")).scalar_one()
        return number

    def assert_given_up(self, limit: float) -> None:
        started = time.monotonic()
        with self.assertRaises(DatabaseUnavailable):
            self.select()
        self.assertLess(time.monotonic() - started, limit)

    def test_a_silent_server_is_given_up_and_found_again(self) -> None:
        self.select()
        self.relay.freeze()
        # The pooled connection is tried, then a new one is; after that there is only the latter.
        self.assert_given_up(PATIENCE / 2)
        self.assert_given_up(PATIENCE / 2)
        self.relay.heal(resume=False)
        self.assertEqual(1, self.select())

    def test_a_server_that_falls_silent_during_a_transaction_is_given_up(self) -> None:
        started = time.monotonic()
        with self.assertRaises(DatabaseUnavailable), self.relayed.write() as connection:
            connection.execute(sa.text("SELECT 1"))
            self.relay.freeze()
            connection.execute(sa.text("SELECT 1"))
        self.assertLess(time.monotonic() - started, PATIENCE / 2)

    def test_a_long_statement_is_given_up_where_nobody_said_that_it_is_one(self) -> None:
        self.select()
        with self.assertRaises(DatabaseUnavailable), self.relayed.read() as connection:
            connection.execute(self.sleep)
        with self.relayed.read() as connection:
            patience.unhurried(connection)
            connection.execute(self.sleep)

    def test_a_transaction_whose_client_stands_still_gives_its_locks_back(self) -> None:
        builders.add_subcloud(self.database, "one")
        change = sa.text("UPDATE subcloud SET username = 'else'")
        with (
            self.assertRaises(DatabaseUnavailable),
            self.through(self.relayed.engine.url).write() as idle,
        ):
            idle.execute(change)
            with self.connect().write() as other:
                patience.unhurried(other)
                other.execute(change)
            idle.execute(change)

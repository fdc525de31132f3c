# SPDX-License-Identifier: Apache-2.0
"""Transactions commit whole or not at all, and what goes wrong has a meaning and no secrets."""

import contextlib
import os
import pathlib
import socket
import stat
import tempfile
import threading
import unittest
from collections.abc import Callable

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import ConfigurationError, DatabaseUnavailable, HeadwaterError
from headwater.db import jobs, subclouds
from headwater.db.connection import Database, connect, describe, retried
from headwater.db.models import subcloud
from headwater.db.records import NewIntent
from tests.support import builders, databases

SECRET = "correct-horse-battery"


class _Stop(Exception):
    """Ends a transaction from within."""


@databases.on_every_backend
class TransactionTest(databases.DatabaseTestCase):
    def names(self) -> list[str]:
        return [found.region_name for found in subclouds.list_page(self.database, limit=10)]

    def insert(self, connection: sa.Connection, name: str) -> None:
        new = builders.new_subcloud(name)
        now = clock.now()
        connection.execute(
            subcloud.insert().values(
                region_name=name,
                auth_url=new.auth_url,
                username="admin",
                user_domain_name="Default",
                project_name="admin",
                project_domain_name="Default",
                credentials=SECRET,
                created_at=now,
                updated_at=now,
            )
        )

    def test_a_write_is_committed_at_the_end_of_its_block(self) -> None:
        with self.database.write() as connection:
            self.insert(connection, "one")
        self.assertEqual(["one"], self.names())

    def test_an_error_rolls_the_whole_write_back(self) -> None:
        with self.assertRaises(_Stop), self.database.write() as connection:
            self.insert(connection, "one")
            self.insert(connection, "two")
            raise _Stop
        self.assertEqual([], self.names())

    def test_a_database_error_rolls_the_whole_write_back(self) -> None:
        with (
            self.assertRaises(db_exception.DBDuplicateEntry),
            self.database.write() as connection,
        ):
            self.insert(connection, "one")
            self.insert(connection, "one")
        self.assertEqual([], self.names())

    def test_a_connection_serves_again_after_an_error(self) -> None:
        for _ in range(3):
            with self.assertRaises(_Stop), self.database.write():
                raise _Stop
        builders.add_subcloud(self.database, "one")
        self.assertEqual(["one"], self.names())

    def test_others_see_a_write_only_after_its_commit(self) -> None:
        other = self.connect()
        with self.database.write() as connection:
            self.insert(connection, "one")
            self.assertEqual([], list(subclouds.list_page(other, limit=10)))
        self.assertEqual(1, len(subclouds.list_page(other, limit=10)))

    def test_no_database_error_shows_the_values_of_its_statement(self) -> None:
        def duplicate(connection: sa.Connection) -> None:
            self.insert(connection, "one")
            self.insert(connection, "one")

        def missing_value(connection: sa.Connection) -> None:
            self.insert(connection, "one")
            connection.execute(subcloud.update().values(auth_url=None))

        def missing_table(connection: sa.Connection) -> None:
            connection.execute(sa.text("INSERT INTO nowhere (x) VALUES (:x)"), {"x": SECRET})

        for wrong in (duplicate, missing_value, missing_table):
            with self.subTest(wrong.__name__):
                with self.assertRaises(Exception) as caught, self.database.write() as connection:
                    wrong(connection)
                error: BaseException | None = caught.exception
                texts = []
                while error is not None:
                    texts += [str(error), repr(error), repr(getattr(error, "value", ""))]
                    # What a traceback would show.
                    context = None if error.__suppress_context__ else error.__context__
                    error = error.__cause__ or context
                self.assertGreaterEqual(len(texts), 3)
                self.assertNotIn(SECRET, "\n".join(texts))

    def test_a_usable_database_is_writable_and_stays_as_it_was(self) -> None:
        before = sa.inspect(self.database.engine).get_table_names()
        self.database.check_writable()
        self.assertEqual(before, sa.inspect(self.database.engine).get_table_names())


@databases.on_every_backend
class OddValuesTest(databases.DatabaseTestCase):
    """Whatever a client puts into a path or a header is stored, or refused by one of our errors.

    The gateway answers a HeadwaterError as a fault; anything else is a bare 500 with a traceback.
    """

    def open(self, intent: NewIntent) -> None:
        try:
            job = jobs.open_intent(self.database, intent)
        except HeadwaterError:
            return
        stored = jobs.get(self.database, job.uuid).job
        self.assertEqual(intent.master_id, stored.master_id)
        # Only people read it: as much as fits is kept.
        self.assertEqual((intent.caller.request_id or "")[:255] or None, stored.request_id)

    def test_a_long_id_in_a_path(self) -> None:
        self.open(builders.intent(master_id="x" * 300))

    def test_an_id_with_a_null_character(self) -> None:
        self.open(builders.intent(master_id="a\0b"))

    def test_an_id_beyond_the_basic_plane(self) -> None:
        self.open(builders.intent(master_id="id-\U0001f600-\u00e9"))

    def test_a_name_that_no_database_can_store(self) -> None:
        # A JSON body may have both; the central cloud decides what it thinks of them.
        for name in ("null \0", "half of a pair \ud800"):
            with self.subTest(repr(name)):
                self.open(builders.intent(resource_name=name))

    def test_a_long_request_id(self) -> None:
        self.open(builders.intent(caller=Caller(request_id="req-" + "1" * 300)))


@databases.on_every_backend
class RetriedTest(databases.DatabaseTestCase):
    def transaction(self, failures: int) -> tuple[list[int], Callable[[Database, str], str]]:
        runs: list[int] = []

        @retried
        def function(database: Database, value: str) -> str:
            runs.append(1)
            if len(runs) <= failures:
                raise db_exception.DBDeadlock
            return value

        return runs, function

    def test_a_deadlock_runs_the_transaction_again(self) -> None:
        runs, function = self.transaction(failures=2)
        self.assertEqual("done", function(self.database, "done"))
        self.assertEqual(3, len(runs))

    def test_after_five_deadlocks_the_database_counts_as_unavailable(self) -> None:
        runs, function = self.transaction(failures=100)
        with self.assertRaisesRegex(DatabaseUnavailable, "5 attempts"):
            function(self.database, "done")
        self.assertEqual(5, len(runs))


class LockedTest(databases.DatabaseTestCase):
    """SQLite, one writer at a time."""

    def test_a_lock_that_another_process_keeps_makes_the_database_unavailable(self) -> None:
        other = self.connect()
        self.hurry()
        with other.write(), self.assertRaises(DatabaseUnavailable):
            jobs.open_intent(self.database, builders.intent())
        jobs.open_intent(self.database, builders.intent())

    def test_reading_goes_on_during_a_write_of_another_process(self) -> None:
        other = self.connect()
        with other.write():
            self.assertEqual([], list(subclouds.list_page(self.database, limit=1)))

    def test_threads_of_one_process_wait_for_each_other(self) -> None:
        failures: list[BaseException] = []

        def write(number: int) -> None:
            try:
                for index in range(5):
                    builders.add_subcloud(self.database, f"{number}-{index}")
            except BaseException as error:  # noqa: BLE001 - told by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([], failures)
        self.assertEqual(40, len(subclouds.list_page(self.database, limit=100)))


class UnusableTest(unittest.TestCase):
    """A database that cannot be used is one line for the operator, without the password."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def refusal(self, url: str) -> str:
        """The text with which `url` is refused, at once or when it is first used."""
        with self.assertRaises(ConfigurationError) as caught:
            opened = connect(url)
            self.addCleanup(opened.dispose)
            opened.check_writable()
        text = str(caught.exception)
        self.assertNotIn("\n", text)
        self.assertNotIn(SECRET, text)
        self.assertTrue(text.startswith("[database] connection"), text)
        return text

    def closed_port(self) -> int:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            return int(held.getsockname()[1])

    def test_a_directory_in_place_of_the_sqlite_file(self) -> None:
        text = self.refusal(f"sqlite:///{self.directory}")
        self.assertIn(f"{self.directory}: cannot be used: ", text)
        self.assertIn("unable to open database file", text)

    def test_a_sqlite_file_in_a_directory_that_is_missing(self) -> None:
        file = self.directory / "missing" / "headwater.db"
        self.assertIn(f"{file}: cannot be used: ", self.refusal(f"sqlite:///{file}"))

    def test_a_sqlite_file_that_may_only_be_read(self) -> None:
        file = self.directory / "headwater.db"
        url = f"sqlite:///file:{file}?mode=ro&uri=true"
        opened = connect(f"sqlite:///{file}")
        opened.check_writable()
        opened.dispose()
        self.assertIn("readonly database", self.refusal(url))

    def test_a_file_that_is_no_database(self) -> None:
        file = self.directory / "notes.txt"
        file.write_text("These are notes, no database.\n" * 100)
        with self.assertLogs("oslo_db.sqlalchemy.exc_filters"):
            self.assertIn("not a database", self.refusal(f"sqlite:///{file}"))

    def test_a_sqlite_database_in_memory_which_every_thread_would_have_its_own_of(self) -> None:
        self.enterContext(contextlib.chdir(self.directory))
        for url in ("sqlite://", "sqlite:///:memory:"):
            with self.subTest(url):
                self.refusal(url)
        self.assertEqual([], list(self.directory.iterdir()))

    def test_a_postgresql_that_is_not_there(self) -> None:
        port = self.closed_port()
        text = self.refusal(f"postgresql+psycopg2://u:{SECRET}@127.0.0.1:{port}/headwater")
        self.assertIn(f"127.0.0.1:{port}/headwater: cannot be used: ", text)
        self.assertIn("refused", text)

    def test_a_mariadb_that_is_not_there(self) -> None:
        port = self.closed_port()
        text = self.refusal(f"mysql+pymysql://u:{SECRET}@127.0.0.1:{port}/headwater")
        self.assertIn(f"127.0.0.1:{port}/headwater", text)
        self.assertIn("refused", text)

    def test_a_server_that_is_not_there_makes_every_transaction_unavailable(self) -> None:
        for scheme in ("postgresql", "mysql"):
            with self.subTest(scheme):
                opened = connect(f"{scheme}://u:{SECRET}@127.0.0.1:{self.closed_port()}/headwater")
                self.addCleanup(opened.dispose)
                with self.assertRaises(DatabaseUnavailable):
                    subclouds.list_page(opened, limit=1)
                with self.assertRaises(DatabaseUnavailable):
                    jobs.open_intent(opened, builders.intent())

    def test_drivers_that_block_green_threads(self) -> None:
        for driver in (
            "postgresql+psycopg",
            "postgresql+asyncpg",
            "mysql+mysqldb",
            "mariadb+mariadbconnector",
            "sqlite+aiosqlite",
            "oracle",
        ):
            with self.subTest(driver):
                text = self.refusal(f"{driver}://u:{SECRET}@host/headwater")
                self.assertIn(f"{driver} is not supported", text)
                self.assertIn("postgresql+psycopg2", text)

    def test_what_is_no_url(self) -> None:
        for url in ("", "headwater", "://", f"postgresql://u:{SECRET}@host:port/headwater"):
            with self.subTest(url):
                self.refusal(url)


class UrlTest(unittest.TestCase):
    def driver(self, url: str) -> str:
        opened = connect(url)
        self.addCleanup(opened.dispose)
        return opened.engine.url.drivername

    def test_a_url_without_driver_gets_the_one_that_is_green(self) -> None:
        self.assertEqual("postgresql+psycopg2", self.driver("postgresql://u@h/d"))
        self.assertEqual("mysql+pymysql", self.driver("mysql://u@h/d"))
        self.assertEqual("mysql+pymysql", self.driver("mariadb://u@h/d"))

    def test_a_sqlite_file_is_the_owners_only(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        opened = connect(f"sqlite:///{directory}/headwater.db")
        self.addCleanup(opened.dispose)
        opened.check_writable()
        for file in directory.iterdir():
            self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode), file.name)

    def test_mariadb_speaks_all_of_unicode(self) -> None:
        opened = connect("mysql://u@h/d?charset=latin1")
        self.addCleanup(opened.dispose)
        self.assertEqual("utf8mb4", opened.engine.url.query["charset"])

    def test_messages_name_the_file_of_sqlite_and_mask_passwords(self) -> None:
        self.assertEqual("/x/y.db", describe(sa.make_url("sqlite:////x/y.db")))
        self.assertEqual(
            "postgresql://u:***@h/d", describe(sa.make_url(f"postgresql://u:{SECRET}@h/d"))
        )


@databases.on_servers
class PooledConnectionTest(databases.DatabaseTestCase):
    def number_of(self, connection: sa.Connection) -> int:
        """How the server calls a connection."""
        mine = {"postgresql": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}[self.database.dialect]
        number: int = connection.execute(sa.text(f"SELECT {mine}")).scalar_one()
        return number

    def end(self, number: int) -> None:
        """End the server's side of a connection, as a restart would."""
        end = {"postgresql": f"SELECT pg_terminate_backend({number})", "mysql": f"KILL {number}"}
        with self.connect().read() as other:
            other.execute(sa.text(end[self.database.dialect]))

    def number(self) -> int:
        with self.database.read() as connection:
            value: int = connection.execute(sa.text("SELECT 1")).scalar_one()
        return value

    def test_one_that_has_ended_in_the_pool_is_replaced_unnoticed(self) -> None:
        with self.database.read() as connection:
            number = self.number_of(connection)
        self.end(number)
        self.assertEqual(1, self.number())

    def test_one_that_ends_in_use_is_an_error_that_may_pass(self) -> None:
        with self.assertRaises(DatabaseUnavailable), self.database.read() as connection:
            self.end(self.number_of(connection))
            connection.execute(sa.text("SELECT 1"))
        self.assertEqual(1, self.number())

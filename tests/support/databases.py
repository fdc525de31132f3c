# SPDX-License-Identifier: Apache-2.0
"""A database of its own for each test, on every backend that headwater supports.

SQLite is always there. PostgreSQL and MariaDB are those of HEADWATER_TEST_POSTGRESQL_URL and
HEADWATER_TEST_MARIADB_URL (SQLAlchemy URLs of a user who may create databases) or, without these
variables, whatever answers on this host's standard ports. Tests on a backend that is missing are
skipped, or end with an error where HEADWATER_REQUIRE_SERVICES=1.
"""

import atexit
import functools
import getpass
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from unittest import mock

import sqlalchemy as sa

from headwater.db import connection, models, schema
from headwater.db.connection import Database, connect

REQUIRED = "HEADWATER_REQUIRE_SERVICES"
#: Of the names of databases; the id of the process that made it follows.
PREFIX = "headwater_test_"
#: No row ever has this id. Any other one may be in use: databases are emptied and used again, and
#: their ids go on where the last test left them.
NO_ID = 0

Cleanup = Callable[..., None]


class Backend:
    """Makes databases; one object per kind and process."""

    name = ""

    @functools.cached_property
    def missing(self) -> str | None:
        """Why there can be no database of this kind here, or None."""
        return None

    def fresh(self, later: Cleanup, *, migrated: bool) -> str:
        """The URL of a database that no other test sees; `later` is told how to remove it."""
        raise NotImplementedError

    def require(self) -> None:
        """Skip the calling test, or fail it where services are required, if this is missing."""
        if self.missing is None:
            return
        if os.environ.get(REQUIRED) == "1":
            raise AssertionError(f"{REQUIRED}=1, but {self.missing}")
        raise unittest.SkipTest(self.missing)


class Sqlite(Backend):
    """Files; a migrated one is a copy of a file that was migrated once."""

    name = "Sqlite"

    def fresh(self, later: Cleanup, *, migrated: bool) -> str:
        directory = tempfile.mkdtemp(prefix="headwater-test-")
        later(shutil.rmtree, directory)
        file = pathlib.Path(directory, "headwater.db")
        if migrated:
            shutil.copyfile(self._template, file)
        return f"sqlite:///{file}"

    @functools.cached_property
    def _template(self) -> pathlib.Path:
        directory = tempfile.mkdtemp(prefix="headwater-test-")
        atexit.register(shutil.rmtree, directory)
        file = pathlib.Path(directory, "template.db")
        _migrate(f"sqlite:///{file}")
        return file


class Server(Backend):
    """A database server; databases on it are made and dropped over an administrative connection.

    Making and dropping costs more than most tests: a migrated database is emptied after a test and
    used again by a later one of the same process.
    """

    variable = ""
    port = 0
    #: What follows CREATE DATABASE.
    options = ""
    #: Lists the names of all databases.
    listing = ""
    #: Statements that let emptying fail soon where a failed test still holds a lock.
    impatience = ""
    #: What follows DROP DATABASE.
    force = ""

    def __init__(self) -> None:
        self._ready: list[tuple[str, sa.Engine]] = []

    @functools.cached_property
    def missing(self) -> str | None:
        given = os.environ.get(self.variable)
        for text in [given] if given else self.usual_urls():
            self._admin = sa.make_url(text)
            try:
                self._execute(self._admin, "SELECT 1")
            except sa.exc.OperationalError:
                continue
            return None
        where = f"at {self.variable}" if given else f"on 127.0.0.1:{self.port}"
        return (
            f"no {self.name} answers {where}; start one, or set {self.variable} to the URL of a "
            "user who may create databases"
        )

    def fresh(self, later: Cleanup, *, migrated: bool) -> str:
        if not migrated:
            name = self._create()
            later(self._drop, name)
            return self._url(name)
        if self._ready:
            name, engine = self._ready.pop()
        else:
            name = self._create()
            atexit.register(self._drop, name)
            _migrate(self._url(name))
            engine = sa.create_engine(self._url(name), pool_size=1, max_overflow=0)
            atexit.register(engine.dispose)
        later(self._empty, name, engine)
        return self._url(name)

    def usual_urls(self) -> list[str]:
        raise NotImplementedError

    def prepare(self, name: str) -> list[str]:
        """Statements for a new database."""
        return []

    def _create(self) -> str:
        self._swept  # noqa: B018 - once per process
        name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(8)}"
        created = f"CREATE DATABASE {name} {self.options}"
        self._execute(self._admin, created, *self.prepare(name))
        return name

    @functools.cached_property
    def _swept(self) -> None:
        """Drop what killed test runs of this host have left behind."""
        if self.variable in os.environ:
            return  # perhaps another host's server: its users' processes are not known here
        engine = sa.create_engine(self._admin, poolclass=sa.NullPool)
        with engine.connect() as opened:
            names = opened.exec_driver_sql(self.listing).scalars().all()
        for name in names:
            process = name.removeprefix(PREFIX).partition("_")[0]
            if name.startswith(PREFIX) and process.isdecimal() and not _runs(int(process)):
                self._drop(name)

    def _empty(self, name: str, engine: sa.Engine) -> None:
        with engine.begin() as opened:
            opened.exec_driver_sql(self.impatience)
            for table in reversed(models.metadata.sorted_tables):
                opened.execute(table.delete())
        self._ready.append((name, engine))

    def _drop(self, name: str) -> None:
        self._execute(self._admin, f"DROP DATABASE IF EXISTS {name} {self.force}")

    def _url(self, name: str) -> str:
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def _execute(self, url: sa.URL, *statements: str) -> None:
        engine = sa.create_engine(
            url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": 5},
        )
        with engine.connect() as opened:
            for statement in statements:
                opened.exec_driver_sql(statement)


class Postgresql(Server):
    name = "Postgresql"
    variable = "HEADWATER_TEST_POSTGRESQL_URL"
    port = 5432
    options = "TEMPLATE template0"
    listing = "SELECT datname FROM pg_database"
    impatience = "SET lock_timeout = '5s'"
    # A connection that a failed test left open must not keep its database.
    force = "WITH (FORCE)"

    def usual_urls(self) -> list[str]:
        users = dict.fromkeys(["root", "postgres", _current_user()])
        return [
            f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/postgres" for user in users if user
        ]

    def prepare(self, name: str) -> list[str]:
        # Nobody needs these data after a crash, and many tests commit a lot.
        return [f"ALTER DATABASE {name} SET synchronous_commit = off"]


class Mariadb(Server):
    name = "Mariadb"
    variable = "HEADWATER_TEST_MARIADB_URL"
    port = 3306
    options = "CHARACTER SET utf8mb4"
    listing = "SHOW DATABASES"
    impatience = "SET innodb_lock_wait_timeout = 5"

    def usual_urls(self) -> list[str]:
        # PyMySQL reads the whole list of authorities for each connection, which takes 20 ms.
        return [f"mysql+pymysql://root@127.0.0.1:{self.port}/?ssl_disabled=true"]


SQLITE, POSTGRESQL, MARIADB = Sqlite(), Postgresql(), Mariadb()
BACKENDS: tuple[Backend, ...] = (SQLITE, POSTGRESQL, MARIADB)


class DatabaseTestCase(unittest.TestCase):
    """A test with a database of its own in `self.database`."""

    backend: ClassVar[Backend] = SQLITE
    #: False for an empty database without any table.
    migrated: ClassVar[bool] = True

    def setUp(self) -> None:
        super().setUp()
        self.backend.require()
        self.url = self.backend.fresh(self.addCleanup, migrated=self.migrated)
        self.database = self.connect()

    def connect(self) -> Database:
        """The test's database as one more process would see it."""
        opened = connect(self.url)
        self.addCleanup(opened.dispose)
        return opened

    def hurry(self) -> None:
        """Let a transaction wait for a lock of another one for a moment only."""
        self.enterContext(mock.patch.object(connection, "_SQLITE_PATIENCE", 0.05))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collects the SQL that is sent to `self.database` within the block."""
        sent: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *rest: object) -> None:
            sent.append(statement)

        sa.event.listen(self.database.engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            sa.event.remove(self.database.engine, "before_cursor_execute", note)


def on_every_backend(body: type[unittest.TestCase]) -> tuple[type[unittest.TestCase], ...]:
    """Class decorator: the body becomes one test class per backend in the body's module.

    `LanesTest` becomes `LanesTestSqlite`, `LanesTestPostgresql` and `LanesTestMariadb`. The plain
    name is the tuple of them, so that no runner collects the body by itself.
    """
    return _generate(body, BACKENDS)


def on_servers(body: type[unittest.TestCase]) -> tuple[type[unittest.TestCase], ...]:
    """The same without SQLite, for what only a server has: many writers at a time.

    As a function it adds to a class that runs on SQLite itself. A class that is no DatabaseTestCase
    has to make a database of its `backend` by itself.
    """
    return _generate(body, BACKENDS[1:])


def _generate(
    body: type[unittest.TestCase], backends: tuple[Backend, ...]
) -> tuple[type[unittest.TestCase], ...]:
    module = sys.modules[body.__module__]
    made = []
    for backend in backends:
        name = f"{body.__name__}{backend.name}"
        case = type(
            name,
            (body,),
            {"backend": backend, "__module__": body.__module__, "__doc__": body.__doc__},
        )
        setattr(module, name, case)
        made.append(case)
    return tuple(made)


def _migrate(url: str) -> None:
    database = connect(url)
    try:
        schema.sync(database)
    finally:
        database.dispose()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _current_user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None

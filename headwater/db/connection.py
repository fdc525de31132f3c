# SPDX-License-Identifier: Apache-2.0
"""Engines and transactions.

One function of this package is one transaction; what comes out are frozen records. On SQLite a
write transaction begins with BEGIN IMMEDIATE behind one lock per process: a green thread that waits
for the file lock inside C code would stop all others, and an upgrade from read to write would fail.
"""

import contextlib
import functools
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url

from headwater.common.errors import ConfigurationError, DatabaseFailed, DatabaseUnavailable
from headwater.db import patience

LOG = logging.getLogger(__name__)

#: How often a transaction is run again after a deadlock or a lock that was not granted in time.
_ATTEMPTS = 5

#: Seconds that a transaction waits for another process's transaction on the same SQLite file.
_SQLITE_PATIENCE = 10.0

_WRITE = "headwater_write"


class Database:
    """A connection pool and its two kinds of transaction. Make it after a fork, never before."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.dialect = engine.dialect.name
        self._write_lock = threading.Lock() if self.dialect == "sqlite" else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises DatabaseUnavailable."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block and rolls back on any error.

        Nothing in the block may wait for anything but the database. Raises DatabaseUnavailable;
        deadlocks are left to `retried`.
        """
        with (
            _translated(),
            self._write_lock,
            self.engine.connect() as connection,
            connection.execution_options(**{_WRITE: True}).begin(),
        ):
            yield connection

    def check_writable(self) -> None:
        """Raise ConfigurationError, in one line that names the database, when it is not usable."""
        try:
            with self.write() as connection:
                connection.execute(sa.text("SELECT 1"))
                if self.dialect == "sqlite":
                    # Takes the write lock and, on a read-only file, fails as a real write would.
                    connection.execute(sa.text("CREATE TABLE headwater_writable (x INTEGER)"))
                    connection.execute(sa.text("DROP TABLE headwater_writable"))
        except (DatabaseUnavailable, DatabaseFailed) as error:
            raise ConfigurationError(
                f"[database] connection = {describe(self.engine.url)}: cannot be used: "
                f"{str(error).partition(': ')[2]}"
            ) from error

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def describe(url: URL) -> str:
    """A database URL for messages: the file of SQLite, the password masked elsewhere."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def connect(
    url: str, *, pool_size: int = 5, max_overflow: int = 50, pool_timeout: float = 30
) -> Database:
    """The database behind an SQLAlchemy URL; nothing is opened yet.

    Raises ConfigurationError for a URL or driver that cannot work under eventlet.
    """
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The error would show the URL, with the password in it.
        raise ConfigurationError("[database] connection: is not an SQLAlchemy URL.") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError("[database] connection: SQLite needs a file, not memory.")
    parsed = _with_driver(parsed)
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_timeout": pool_timeout,
        "pool_recycle": 3600,
        "pool_pre_ping": parsed.get_backend_name() != "sqlite",
        "connect_args": patience.connect_args(parsed.get_backend_name()),
        # Parameters hold secrets; errors are logged.
        "hide_parameters": True,
    }
    if parsed.get_backend_name() == "mysql":
        # REPEATABLE READ stalls and deadlocks under SKIP LOCKED claims (measured).
        options["isolation_level"] = "READ COMMITTED"
    if parsed.get_backend_name() == "sqlite":
        _make_private(parsed)
    engine = sa.create_engine(parsed, **options)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    else:
        patience.apply(engine)
    exc_filters.register_engine(engine)
    return Database(engine)


def _with_driver(url: URL) -> URL:
    drivers = {"postgresql": "psycopg2", "mysql": "pymysql", "mariadb": "pymysql", "sqlite": ""}
    backend, _, driver = url.drivername.partition("+")
    if backend not in drivers or (driver and driver not in ("pysqlite", drivers[backend])):
        raise ConfigurationError(
            f"[database] connection: {url.drivername} is not supported; use sqlite, "
            "postgresql+psycopg2 or mysql+pymysql (other drivers block all green threads)."
        )
    if backend == "sqlite":
        return url
    backend = "mysql" if backend == "mariadb" else backend
    url = url.set(drivername=f"{backend}+{drivers[backend if backend != 'mariadb' else 'mysql']}")
    if backend == "mysql":
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url


def _make_private(url: URL) -> None:
    """Let nobody else read a new SQLite file; its journal files get the same mode."""
    if url.database:
        # A file that cannot be made is reported, with its name, when it is first used.
        with contextlib.suppress(OSError):
            os.close(os.open(url.database, os.O_CREAT | os.O_WRONLY, 0o600))


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        # The driver must not begin transactions by itself: `begin` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        # SQLite's own wait would stop all green threads; _begin_write waits instead.
        cursor.execute("PRAGMA busy_timeout = 20")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE, False)
        if write:
            _begin_write(connection)
        else:
            connection.exec_driver_sql("BEGIN")


def _begin_write(connection: Connection) -> None:
    """Take the file's write lock, waiting for other processes without stopping this one."""
    limit = time.monotonic() + _SQLITE_PATIENCE
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except sa.exc.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > limit:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def _translated() -> Iterator[None]:
    """Give errors their meaning, without the values of statements, which may be secrets.

    Deadlocks and duplicates pass: `retried` and callers know what to do about them.
    """
    try:
        yield
    except (db_exception.DBDeadlock, db_exception.DBDuplicateEntry):
        raise
    except (
        db_exception.DBConnectionError,
        sa.exc.InterfaceError,
        sa.exc.OperationalError,
        sa.exc.TimeoutError,
    ) as error:
        raise DatabaseUnavailable(f"The database cannot be used: {_first_line(error)}") from None
    except (
        db_exception.DBError,
        db_exception.DBInvalidUnicodeParameter,
        sa.exc.DBAPIError,
    ) as error:
        if isinstance(getattr(error, "inner_exception", None), sa.exc.OperationalError):
            raise DatabaseUnavailable(
                f"The database cannot be used: {_first_line(error)}"
            ) from None
        raise DatabaseFailed(f"The database refused a statement: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    """The driver's own words; PostgreSQL shows the values of a row from the second line on."""
    while True:
        inner = getattr(error, "inner_exception", None) or getattr(error, "orig", None)
        if inner is None:
            break
        error = inner
    return str(error).strip().partition("\n")[0]


_P = ParamSpec("_P")
_R = TypeVar("_R")


def retried(
    function: Callable[Concatenate[Database, _P], _R],
) -> Callable[Concatenate[Database, _P], _R]:
    """Run a transaction again when the database chose it as the victim of a deadlock.

    Raises DatabaseUnavailable after several attempts. The function must be one transaction.
    """

    @functools.wraps(function)
    def wrapper(database: Database, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return function(database, *args, **kwargs)
            except db_exception.DBDeadlock as error:
                if attempt == _ATTEMPTS:
                    raise DatabaseUnavailable(
                        f"The database did not grant a lock in {_ATTEMPTS} attempts."
                    ) from error
                LOG.info("%s: deadlock, attempt %d", function.__name__, attempt)
                time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    return wrapper


def upsert(
    database: Database,
    table: sa.Table,
    keys: tuple[str, ...],
    updates: tuple[str, ...],
    computed: Callable[[Any], Mapping[str, Any]] = lambda _: {},
) -> sa.sql.dml.Insert:
    """INSERT that updates the columns `updates` where a row with the same `keys` exists.

    `computed` gives further columns their expressions, from the row that was to be inserted.
    """
    if database.dialect in ("mysql", "mariadb"):
        statement = mysql.insert(table)
        # Without anything to update the key is set to itself, which changes nothing.
        return statement.on_duplicate_key_update(
            {
                **{name: statement.inserted[name] for name in updates or keys[:1]},
                **computed(statement.inserted),
            }
        )
    module: Any = postgresql if database.dialect == "postgresql" else sqlite
    insert = module.insert(table)
    if updates:
        changed = {
            **{name: insert.excluded[name] for name in updates},
            **computed(insert.excluded),
        }
        insert = insert.on_conflict_do_update(index_elements=list(keys), set_=changed)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=list(keys))
    done: sa.sql.dml.Insert = insert
    return done

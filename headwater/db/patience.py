# SPDX-License-Identifier: Apache-2.0
"""How long a connection waits for a database server that says nothing, and the server for it.

Drivers wait for ever: after a failover or behind a firewall that drops packets no call would ever
return, and no later one would use a connection that works. The timeouts that PostgreSQL's library
has do not help: it ignores its connect_timeout under eventlet, and its TCP ones do not see a server
whose host is well and which itself hangs. A server, too, waits for ever, with all the locks of a
transaction whose client it can no more hear.
"""

import select
from typing import Any

import psycopg2.extensions
import sqlalchemy as sa
from sqlalchemy import event

#: Seconds of silence while connecting, and while a pooled connection is tried before its use. Both
#: may follow each other in one call: a client is told within 10 s that nothing can be written.
PROMPT = 4.0

#: Seconds of silence during a statement. The longest, a fan-out to 50,000 subclouds, takes 1 s.
ANSWER = 10.0

#: Seconds after which a server ends a transaction, and its connection, in which nothing happens.
#: Nothing in a transaction waits for anything but the database.
IDLE = 5


def connect_args(backend: str) -> dict[str, Any]:
    """What a driver's connect needs in addition."""
    if backend == "postgresql":
        # For the whole process; connections that are not ours wait as they always did.
        psycopg2.extensions.set_wait_callback(_wait)
        return {"connection_factory": _Connection}
    if backend == "mysql":
        return {
            "connect_timeout": PROMPT,
            "read_timeout": PROMPT,
            "write_timeout": ANSWER,
            # MariaDB alone reads the comment; MySQL has no such variable.
            "init_command": f"SET @headwater = 1 /*M!100300 , idle_transaction_timeout = {IDLE} */",
        }
    return {}


def apply(engine: sa.Engine) -> None:
    """Let connections be prompt in the pool, where they are tried, and patient in use."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        if isinstance(connection, _Connection):
            with connection.cursor() as cursor:
                # Not among the startup parameters, which connection poolers refuse.
                cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE}s'")
            connection.commit()

    @event.listens_for(engine, "checkout")
    def checked_out(connection: Any, record: object, proxy: object) -> None:
        _set(connection, ANSWER)

    @event.listens_for(engine, "checkin")
    def checked_in(connection: Any, record: object) -> None:
        if connection is not None:  # None: it was found broken
            _set(connection, PROMPT)


def unhurried(connection: sa.Connection) -> None:
    """Wait without end on a connection until it is given back: a migration takes what it takes."""
    _set(connection.connection.dbapi_connection, None)


class _Connection(psycopg2.extensions.connection):  # type: ignore[misc]
    #: Seconds, or None for no end.
    patience: float | None = PROMPT


def _set(connection: Any, seconds: float | None) -> None:
    if isinstance(connection, _Connection):
        connection.patience = seconds
    elif hasattr(connection, "_read_timeout"):
        connection._read_timeout = seconds  # PyMySQL has no public way


def _wait(connection: Any) -> None:
    """Psycopg2's waiting, with an end; the driver closes a connection on which this raises."""
    patience = getattr(connection, "patience", None)
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        if not _ready(connection.fileno(), state, patience):
            raise psycopg2.OperationalError(f"The server has said nothing for {patience:g} s.")


def _ready(descriptor: int, state: int, patience: float | None) -> bool:
    reading = state == psycopg2.extensions.POLL_READ
    if not hasattr(select, "poll"):
        # Under eventlet, which has only this one in a green form.
        readers, writers = ([descriptor], []) if reading else ([], [descriptor])
        return any(select.select(readers, writers, [], patience))
    poll = select.poll()  # select.select fails beyond 1024 descriptors
    poll.register(descriptor, select.POLLIN if reading else select.POLLOUT)
    return bool(poll.poll(None if patience is None else patience * 1000))

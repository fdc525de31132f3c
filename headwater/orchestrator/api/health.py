# SPDX-License-Identifier: Apache-2.0
"""Whether the service can work: looks at what it depends on, within a bounded time.

Anybody may ask, so the answers name no host, no user and no reason; the log does.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.db import subclouds
from headwater.db.connection import Database

LOG = logging.getLogger(__name__)

#: Seconds; below the deadlines that load balancers usually have for such a question.
_DATABASE_DEADLINE = 2.0
_BROKER_DEADLINE = 1.0
#: Seconds for which a look at the broker counts.
_BROKER_AGE = 5.0


@dataclass(frozen=True)
class Finding:
    """What one look came to."""

    ok: bool
    detail: str | None = None

    def document(self) -> dict[str, str]:
        """As JSON."""
        found = {"status": "ok" if self.ok else "unavailable"}
        return found if self.detail is None else {**found, "detail": self.detail}


class Probe:
    """Looks at one thing that may be away, from one thread at a time.

    `look` raises anything when it is away. One that hangs holds up its own thread only: whoever
    asks meanwhile waits for that look, and at most `deadline` seconds. A finding counts for `age`
    seconds.
    """

    def __init__(self, name: str, look: Callable[[], object], deadline: float, age: float = 0.0):
        self._name, self._look, self._deadline, self._age = name, look, deadline, age
        self._lock = threading.Lock()
        self._last: _Look | None = None

    def ask(self) -> Finding:
        """The present finding."""
        with self._lock:
            if self._last is None or self._last.is_older_than(self._age):
                self._last = _Look(self._name, self._look)
            last = self._last
        if not last.ended.wait(self._deadline):
            LOG.warning("The %s does not answer within %g s", self._name, self._deadline)
            return Finding(ok=False, detail=f"The {self._name} does not answer in time.")
        return last.finding


class _Look:
    """One look, on a thread of its own that is started with it."""

    def __init__(self, name: str, look: Callable[[], object]):
        self._name, self._look = name, look
        self._time = 0.0
        self.ended = threading.Event()
        self.finding = Finding(ok=False)
        threading.Thread(target=self._run, name=f"{name}-probe", daemon=True).start()

    def is_older_than(self, age: float) -> bool:
        return self.ended.is_set() and time.monotonic() - self._time >= age

    def _run(self) -> None:
        try:
            self._look()
            self.finding = Finding(ok=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thing cannot be used
            LOG.warning("The %s cannot be used: %s", self._name, error)
            self.finding = Finding(ok=False, detail=f"The {self._name} cannot be used.")
        self._time = time.monotonic()
        self.ended.set()


class Health:
    """The findings about everything that the service depends on.

    `brokers` are the addresses of a broker; none is the embedded mode, which needs no broker.
    """

    def __init__(self, database: Database, brokers: Sequence[tuple[str, int]]):
        self._database = Probe(
            # Reads a table: SQLite would answer a bare SELECT without a look at its file.
            "database",
            lambda: subclouds.list_page(database, limit=1),
            _DATABASE_DEADLINE,
        )
        self._broker = None
        if brokers:
            self._broker = Probe("broker", lambda: _connect(brokers), _BROKER_DEADLINE, _BROKER_AGE)

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the service can work, and the document that says why not.

        Without its broker it works, only slower: changes are found by the poll.
        """
        database = self._database.ask()
        broker = self._broker.ask() if self._broker else Finding(ok=True, detail="embedded")
        working = "ok" if broker.ok else "degraded"
        checks = {"database": database.document(), "broker": broker.document()}
        return database.ok, {"status": working if database.ok else "unavailable", "checks": checks}


def _connect(brokers: Sequence[tuple[str, int]]) -> None:
    """Connect to any of several addresses; raises OSError when none of them can be."""
    failed: list[str] = []
    for host, port in brokers:
        try:
            with contextlib.closing(socket.create_connection((host, port), _BROKER_DEADLINE)):
                return
        except OSError as error:
            failed.append(f"{host}:{port}: {error}")
    raise OSError("; ".join(failed))

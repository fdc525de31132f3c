# SPDX-License-Identifier: Apache-2.0
"""What one engine worker carries: .venv/bin/python -m bench.replay [SUBCLOUDS [CHANGES]].

One worker process with its green threads runs CHANGES changes on SUBCLOUDS lanes with a replay that
does nothing, so that only the engine and the database are measured: CPU of the worker, statements
and wall time per delivered request, on SQLite, PostgreSQL and MariaDB.
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - as the service runs
# isort: on

import contextlib
import logging
import sys
import time

import sqlalchemy as sa

from bench.fan_out import populate
from headwater.common.context import Caller
from headwater.common.states import Operation, RequestState
from headwater.db import jobs
from headwater.db.connection import Database, connect
from headwater.db.models import orch_request
from headwater.db.records import AcceptedChange, NewIntent
from headwater.engine.execution import LaneRunner
from headwater.engine.lane_source import LaneSource
from headwater.engine.outcome import Done, Outcome
from headwater.engine.retry import Policy
from headwater.engine.task import LaneWork, Work
from headwater.engine.worker import Worker, WorkerSettings
from tests.support.databases import Mariadb, Postgresql, Sqlite


class Nothing:
    """A handler whose replays do nothing."""

    def open(self, batch: LaneWork) -> "Nothing":
        """Nothing to prepare."""
        return self

    def execute(self, work: Work) -> Outcome:
        """Done."""
        return Done()

    def decrypt(self, text: str) -> dict[str, object]:
        """Stand in for the key ring too."""
        return {}


def main() -> None:
    """Print a table."""
    logging.disable(logging.INFO)
    subclouds, changes = (*map(int, sys.argv[1:]), *(1000, 1)[len(sys.argv) - 1 :])
    print(f"{subclouds} subclouds, {changes} changes, per delivered request:")
    print(f"{'database':<12}{'CPU ms':>8}{'statements':>12}{'wall ms':>9}{'per second':>12}")
    for backend in (Sqlite(), Postgresql(), Mariadb()):
        if backend.missing:
            print(f"{backend.name:<12}{backend.missing}")
            continue
        with contextlib.ExitStack() as stack:
            database = connect(backend.fresh(stack.callback, migrated=True))
            stack.callback(database.dispose)
            populate(database, subclouds)
            cpu, statements, wall = measure(database, changes)
        number = subclouds * changes
        print(
            f"{backend.name:<12}{cpu / number * 1000:>8.2f}{statements / number:>12.1f}"
            f"{wall / number * 1000:>9.2f}{number / wall:>12.0f}"
        )


def measure(database: Database, changes: int) -> tuple[float, int, float]:
    """Seconds of CPU, number of statements and seconds until all requests are completed."""
    for number in range(changes):
        job = jobs.open_intent(
            database, NewIntent("identity", "user", Operation.UPDATE, f"u{number}", "x", Caller())
        )
        jobs.accept(database, job, AcceptedChange(Operation.UPDATE, f"u{number}", None, "x"))
    handler = Nothing()
    policy = Policy(max_tries=3, retry_delay=1, max_retry_delay=30)
    runner = LaneRunner(
        database,
        handler,  # type: ignore[arg-type]
        handler,
        policy=policy,
        batch=50,
        breaker_after=3,
    )
    worker = Worker(
        LaneSource(database, runner, ("identity",), 4),
        WorkerSettings(100, lease=15, poll_interval=5),
    )
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    sa.event.listen(database.engine, "before_cursor_execute", count)
    began, ticks = time.monotonic(), time.process_time()
    worker.start()
    while pending(database):
        time.sleep(0.05)
    figures = time.process_time() - ticks, statements, time.monotonic() - began
    worker.stop(30)
    return figures


def pending(database: Database) -> bool:
    """Whether something is still to do."""
    with database.read() as connection:
        unfinished = sa.exists().where(orch_request.c.state != RequestState.COMPLETED)
        return bool(connection.execute(sa.select(unfinished)).scalar_one())


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""How long the database's part of a change takes: .venv/bin/python -m bench.fan_out [SUBCLOUDS...].

For SQLite, PostgreSQL and MariaDB (see docs/testing.md for where they are looked for): milliseconds
of `jobs.accept` (in the client's way), of the notify's `lanes.request`, and lanes claimed per
second, medians of several rounds on databases that are made and dropped here.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.states import Management, Operation
from headwater.db import claims, jobs, lanes, models
from headwater.db.connection import Database, connect
from headwater.db.records import AcceptedChange, NewIntent
from tests.support.databases import Mariadb, Postgresql, Sqlite

ROUNDS = 7


def main() -> None:
    """Print a table."""
    numbers = [int(text) for text in sys.argv[1:]] or [1000, 5000]
    print(f"{'database':<12}{'subclouds':>10}{'accept ms':>11}{'notify ms':>11}{'claims/s':>10}")
    for backend in (Sqlite(), Postgresql(), Mariadb()):
        if backend.missing:
            print(f"{backend.name:<12}{backend.missing}")
            continue
        for number in numbers:
            with contextlib.ExitStack() as stack:
                database = connect(backend.fresh(stack.callback, migrated=True))
                stack.callback(database.dispose)
                accept, notify, claims = measure(database, number)
            print(f"{backend.name:<12}{number:>10}{accept:>11.1f}{notify:>11.1f}{claims:>10.0f}")


def measure(database: Database, subclouds: int) -> tuple[float, float, float]:
    """Milliseconds of accept and notify, and claims per second in batches of 100."""
    populate(database, subclouds)
    accepts, notifies = [], []
    for number in range(ROUNDS):
        job = jobs.open_intent(
            database,
            NewIntent("identity", "user", Operation.CREATE, None, "x" * 500, Caller("admin")),
        )
        change = AcceptedChange(Operation.CREATE, f"id-{number}", {"name": "a"}, "x" * 500)
        accepts.append(timed(lambda job=job, change=change: jobs.accept(database, job, change)))
        notifies.append(timed(lambda: lanes.request(database, ["identity"])))

    def claim_all() -> None:
        while claims.claim(database, claims.Wanted(("identity",), 100, 4), "bench", 600):
            pass

    seconds = timed(claim_all) / 1000
    return statistics.median(accepts), statistics.median(notifies), subclouds / seconds


def populate(database: Database, number: int) -> None:
    """Managed subclouds with a lane each, written in bulk."""
    now = clock.now()
    with database.write() as connection:
        connection.execute(
            models.subcloud.insert(),
            [
                {
                    "region_name": f"edge-{index:06}",
                    "auth_url": "http://edge.example:5000/v3",
                    "username": "admin",
                    "user_domain_name": "Default",
                    "project_name": "admin",
                    "project_domain_name": "Default",
                    "credentials": "x",
                    "management_state": Management.MANAGED,
                    "created_at": now,
                    "updated_at": now,
                }
                for index in range(number)
            ],
        )
        if database.dialect == "postgresql":
            connection.execute(sa.text("ANALYZE subcloud"))
    lanes.ensure(database, ["identity"])


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that `work` takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""How soon the API answers first pages: .venv/bin/python -m bench.api [SUBCLOUDS [JOBS]].

By default 1,000 subclouds with a lane each and 100 jobs, so 100,000 requests, of which a part ran,
waits and failed. Milliseconds of each GET, the median of several, without network and without the
check of the token, on SQLite, PostgreSQL and MariaDB.
"""

import contextlib
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import webob
from oslo_config import cfg

from bench.fan_out import populate
from headwater.cmd import policies
from headwater.common.auth import Refusals, WsgiApp
from headwater.common.context import Caller
from headwater.common.endpoints.registry import load_registry
from headwater.common.secrets import KeyRing
from headwater.common.states import AuditMode, Operation, RequestState
from headwater.db import claims, jobs, lanes, requests
from headwater.db.connection import Database, connect
from headwater.db.records import AcceptedChange, NewIntent, RequestResult
from headwater.engine.fleet import Fleet
from headwater.orchestrator.api.app import Api
from headwater.orchestrator.api.health import Health
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.v1 import ROUTES
from headwater.orchestrator.watch import JobWatch
from tests.support.databases import Mariadb, Postgresql, Sqlite

ROUNDS = 9


def main() -> None:
    """Print a table."""
    subclouds, changes = (*map(int, sys.argv[1:]), *(1000, 100)[len(sys.argv) - 1 :])
    print(f"{subclouds} subclouds, {subclouds * changes} requests; milliseconds of a first page:")
    backends = [each for each in (Sqlite(), Postgresql(), Mariadb()) if not each.missing]
    columns: list[dict[str, float]] = []
    for backend in backends:
        with contextlib.ExitStack() as stack:
            database = connect(backend.fresh(stack.callback, migrated=True))
            stack.callback(database.dispose)
            keys = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            job = fill(database, subclouds, changes)
            columns.append(measure(api(database, KeyRing.ensure(keys)), job))
    print(f"{'':<72}" + "".join(f"{each.name:>12}" for each in backends))
    for path in columns[0]:
        print(f"{path:<72}" + "".join(f"{column[path]:>12.1f}" for column in columns))


def fill(database: Database, subclouds: int, changes: int) -> str:
    """Lanes that have run a half of their requests; returns the id of a job."""
    populate(database, subclouds)
    for number in range(changes):
        intent = NewIntent("identity", "user", Operation.CREATE, None, "x" * 500, Caller("admin"))
        job = jobs.open_intent(database, intent)
        change = AcceptedChange(Operation.CREATE, f"id-{number}", {"name": "a"}, "x" * 500)
        jobs.accept(database, job, change)
    lanes.request(database, ["identity"])
    wanted = claims.Wanted(("identity",), subclouds, 4)
    for lane in claims.claim(database, wanted, "bench", 600):
        batch = requests.next_batch(database, lane, changes // 2)
        now = jobs.get(database, job.uuid).job.created_at
        results = [
            RequestResult(
                request_id=each.id,
                state=RequestState.FAILED if index == lane.id % 50 else RequestState.COMPLETED,
                try_count=1,
                error=None,
                started_at=now,
                finished_at=now,
            )
            for index, each in enumerate(batch.requests)
        ]
        lanes.release(database, lane, seen_wakeups=batch.wakeups, results=results)
    if database.dialect == "postgresql":
        with database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("ANALYZE")
    return job.uuid


def api(database: Database, keys: KeyRing) -> Api:
    """The API for a caller who is an admin."""
    registry = load_registry(None)
    conf = cfg.ConfigOpts()
    conf([], project="headwater", default_config_files=[], default_config_dirs=[])
    modes = dict.fromkeys(registry.names, AuditMode.ENFORCE)
    fleet, watch = Fleet(database, registry.names), JobWatch(database)
    parts = Parts(database, keys, registry, modes, fleet, watch, lambda: None)

    def as_admin(app: WsgiApp, _: Refusals) -> WsgiApp:
        def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            return app({**environ, "HTTP_X_USER_ID": "a", "HTTP_X_ROLES": "admin"}, start_response)

        return called

    return Api(Health(database, ()), parts, policies.load(conf, registry), as_admin, "bench")


def measure(app: Api, job: str) -> dict[str, float]:
    """Milliseconds by path."""
    paths = [
        route.path.format(name="edge-000007", id=job)
        for route in ROUTES
        if route.method == "GET" and not route.streams
    ]
    paths += [
        "/v1/subclouds?limit=1000",
        "/v1/lanes?limit=1000",
        "/v1/lanes?sync_status=out-of-sync",
        "/v1/jobs?state=failed",
        "/v1/jobs?state=in-progress",
        "/v1/jobs?subcloud=edge-000007",
        "/v1/jobs?user=nobody",
        f"/v1/jobs/{job}/requests?state=failed",
    ]
    found = {}
    for path in paths:
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = webob.Request.blank(path).get_response(app)
            times.append((time.perf_counter() - began) * 1000)
            if answer.status_int != 200:
                raise AssertionError(f"{path}: {answer.status_int} {answer.text}")
        found[path.replace(job, "ID")] = statistics.median(times)
    return found


if __name__ == "__main__":
    main()

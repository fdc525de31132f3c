# SPDX-License-Identifier: Apache-2.0
"""What aligning subclouds costs: .venv/bin/python -m bench.audit [RESOURCES [SUBCLOUDS]].

A real central Keystone with RESOURCES users, projects, groups and memberships, and one real
Keystone that stands for all SUBCLOUDS. Measured are the initial sync of the first subcloud, which
brings all of it, and then one round of audits of all subclouds, which find everything: seconds, CPU
of the worker and SQL statements, on SQLite, PostgreSQL and MariaDB. Needs .venv-services
(tools/test makes it).
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - as the service runs
# isort: on

import contextlib
import logging
import pathlib
import sys
import tempfile
import time

import sqlalchemy as sa

from headwater.common.endpoints.registry import load_registry
from headwater.common.secrets import KeyRing
from headwater.common.sessions import ServiceClient
from headwater.common.states import AuditMode, AuditStatus, InitialSync, Management
from headwater.db import audits, subclouds
from headwater.db.connection import Database, connect
from headwater.db.models import subcloud_sync
from headwater.db.records import ClaimedLane, NewSubcloud
from headwater.engine.execution import LaneRunner
from headwater.engine.lane_source import LaneSource
from headwater.engine.retry import Policy
from headwater.engine.worker import Worker, WorkerSettings
from headwater.orchestrator.subclouds import AccessSettings, SubcloudAccess
from headwater.orchestrator.sync.audit import AuditSettings, Comparer
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.replay import SyncHandler
from headwater.orchestrator.sync.snapshot import CentralSnapshot
from tests.services.keystone import Keystone, start_clouds
from tests.support.databases import Mariadb, Postgresql, Sqlite

REGISTRY = load_registry(None)
IDENTITY = REGISTRY.endpoint_type("identity")


def main() -> None:
    """Print a table."""
    logging.disable(logging.WARNING)
    number, count = (*map(int, sys.argv[1:]), *(300, 50)[len(sys.argv) - 1 :])
    print(f"{number} resources, {count} subclouds:")
    print(f"{'database':<12}{'what':<16}{'seconds':>9}{'CPU s':>8}{'statements':>12}")
    for backend in (Sqlite(), Postgresql(), Mariadb()):
        if backend.missing:
            print(f"{backend.name:<12}{backend.missing}")
            continue
        with contextlib.ExitStack() as stack:
            directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            clouds = start_clouds(["RegionOne", "edge"], directory)
            for cloud in clouds.values():
                stack.callback(cloud.close)
            populate(clouds["RegionOne"], number)
            database = connect(backend.fresh(stack.callback, migrated=True))
            stack.callback(database.dispose)
            measure(backend.name, database, directory, clouds, count)


def populate(cloud: Keystone, number: int) -> None:
    """A quarter each of users, projects, groups and memberships."""
    for each in range(number // 4):
        ids = {}
        for noun in ("user", "project", "group"):
            body = {noun: {"name": f"{noun}-{each}", "domain_id": "default"}}
            ids[noun] = cloud.request("POST", f"/v3/{noun}s", body).json()[noun]["id"]
        cloud.request("PUT", f"/v3/groups/{ids['group']}/users/{ids['user']}")


def measure(
    name: str,
    database: Database,
    directory: pathlib.Path,
    clouds: dict[str, Keystone],
    count: int,
) -> None:
    """One line for the initial sync and one for the round."""
    keys = KeyRing.ensure(directory / "keys")
    edge, regions = clouds["edge"], [f"edge-{each:03}" for each in range(count)]
    password = keys.encrypt({"password": edge.admin_password})
    for region in regions:
        edge.add_region_endpoint(region, edge.auth_url)
        subclouds.add(database, NewSubcloud(region, edge.auth_url, "admin", password), ["identity"])
        subclouds.set_management(database, region, Management.MANAGED)
    worker = make_worker(database, keys, clouds["RegionOne"])
    statements = 0

    def sent(*_: object) -> None:
        nonlocal statements
        statements += 1

    sa.event.listen(database.engine, "before_cursor_execute", sent)
    worker.start()
    for what, some, initial in (
        ("initial sync", regions[:1], True),
        ("audit round", regions, False),
    ):
        ids = [subclouds.get(database, region).id for region in some]
        before, began, ticks = statements, time.monotonic(), time.process_time()
        audits.request(database, ["identity"], ids, initial=initial)
        worker.look()
        looks = 0
        while unfinished(database):
            looks += 1
            time.sleep(0.05)
        print(
            f"{name:<12}{what:<16}{time.monotonic() - began:>9.2f}"
            f"{time.process_time() - ticks:>8.2f}{statements - before - looks - 1:>12}"
        )
    worker.stop(30)


def make_worker(database: Database, keys: KeyRing, central: Keystone) -> Worker[ClaimedLane]:
    """A worker as `cmd/build` makes it, without a configuration."""
    client = ServiceClient(
        central.admin_session(),
        service_type="identity",
        interface="public",
        region_name=central.region_name,
    )
    reader = CentralReader(lambda: client)
    access = SubcloudAccess(keys, AccessSettings("public", 30, None))
    comparer = Comparer(
        database,
        REGISTRY,
        access,
        {"identity": CentralSnapshot(IDENTITY, reader)},
        {"identity": AuditSettings(AuditMode.ENFORCE, 300)},
    )
    handler = SyncHandler(database, REGISTRY, access, {"identity": reader}, comparer)
    policy = Policy(max_tries=3, retry_delay=1, max_retry_delay=30)
    runner = LaneRunner(database, keys, handler, policy=policy, batch=50, breaker_after=3)
    return Worker(
        LaneSource(database, runner, ("identity",), 4),
        WorkerSettings(100, lease=15, poll_interval=5),
    )


def unfinished(database: Database) -> bool:
    """Whether an audit, or what it found, is still to be done."""
    lane = subcloud_sync.c
    busy = sa.or_(
        lane.audit_status.in_([AuditStatus.REQUESTED, AuditStatus.IN_PROGRESS]),
        lane.initial_sync_state.in_([InitialSync.REQUESTED, InitialSync.IN_PROGRESS]),
        lane.lease_owner.is_not(None),
    )
    with database.read() as connection:
        return bool(connection.execute(sa.select(sa.exists().where(busy))).scalar_one())


if __name__ == "__main__":
    main()

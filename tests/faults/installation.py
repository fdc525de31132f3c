# SPDX-License-Identifier: Apache-2.0
"""An installation of several processes whose every connection may be broken by a test."""

import atexit
import concurrent.futures
import os
import pathlib
import re
import signal
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

import requests
import sqlalchemy as sa

from headwater.common.secrets import KeyRing
from headwater.common.states import PENDING
from headwater.db import schema, subclouds
from headwater.db.connection import connect
from headwater.db.models import orch_request, subcloud_sync
from tests.functional.system import Process, System, SystemTest
from tests.services.keystone import require_services
from tests.support.relay import Relay
from tests.support.servers import PrivatePostgresql, PrivateRabbitmq, shared_rabbitmq
from tests.support.waiting import eventually

GATEWAY, WORKER, ENGINE = "headwater-api-proxy", "headwater-engine-worker", "headwater-engine"


class Installation(System):
    """A gateway of two processes, a worker of two, an engine, and everything between breakable.

    Its own look at the database goes past every relay.
    """

    postgresql: PrivatePostgresql
    rabbitmq: PrivateRabbitmq
    #: On the way of gateway and worker to the database, to the broker, and to each cloud.
    to_database: Relay
    to_broker: Relay
    to_cloud: dict[str, Relay]
    worker: Process
    engine: Process

    def _make(self, regions: Iterable[str], options: Mapping[str, Mapping[str, object]]) -> None:
        self._start_servers()
        database = self.postgresql.url(self.to_database.port)
        broker = self.rabbitmq.url(self.to_broker.port)
        usual: dict[str, dict[str, object]] = {
            "DEFAULT": {"transport_url": broker, "api_workers": 2, "workers": 2},
            "database": {"connection": database},
        }
        for group, values in options.items():
            usual.setdefault(group, {}).update(values)
        super()._make(regions, usual)
        self._relay_clouds()
        self._database = connect(self.postgresql.url())
        self._cleanup.callback(self._database.dispose)
        # What 'headwater-manage db sync' and 'secrets create' do, without 3 s of their imports.
        schema.sync(self._database)
        KeyRing.ensure(self.directory / "state" / "keys")
        # It starts while the gateway does.
        self.worker = self.run(WORKER, "worker.log")
        self.engine = self.run(ENGINE, "engine.log")

    def _start_servers(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            rabbitmq = pool.submit(shared_rabbitmq)
            self.postgresql = self._cleanup.enter_context(PrivatePostgresql())
            self.postgresql.start()
            self.rabbitmq = rabbitmq.result()
        self.to_database = self._cleanup.enter_context(Relay(self.postgresql.port))
        self.to_broker = self._cleanup.enter_context(Relay(self.rabbitmq.port))

    def _relay_clouds(self) -> None:
        self.to_cloud = {}
        for name, cloud in self.clouds.items():
            self.to_cloud[name] = self._cleanup.enter_context(Relay(cloud.port))
        for name, cloud in self.subclouds.items():
            cloud.add_region_endpoint(name, f"{self.to_cloud[name].url}/v3")
        upstream = self.to_cloud[self.central.region_name].url
        self.options["endpoint_type:identity"] = {"upstream": upstream}
        self.write_config()

    def heal(self) -> None:
        """Mend all that a test broke."""
        for relay in (self.to_database, self.to_broker, *self.to_cloud.values()):
            relay.watch, relay.delay = None, 0.0
            relay.heal()

    def add(self, name: str, *, auth_url: str | None = None, password: str | None = None) -> None:
        """Add and manage a subcloud, behind its relay."""
        super().add(name, auth_url=auth_url or f"{self.to_cloud[name].url}/v3", password=password)

    def run(self, program: str, log: str) -> Process:
        """Start a service; it is stopped with the installation."""
        process = Process(program, self.config, self.directory / log)
        self._cleanup.callback(process.stop)
        return process

    def start_worker(self, log: str = "worker.log", **engine: object) -> Process:
        """Start a worker program, with other values of [engine], and wait until it works."""
        usual = self.options.get("engine", {})
        self.options["engine"] = {**usual, **engine}
        self.write_config()
        try:
            process = self.run(WORKER, log)
            process.wait_for(r"Worker \S+ starts")
        finally:
            self.options["engine"] = usual
            self.write_config()
        return process

    def pending(self) -> int:
        """Requests that wait or run."""
        return self._number(orch_request, orch_request.c.state.in_(PENDING))

    def held(self, name: str) -> str | None:
        """Who holds the lane of a subcloud."""
        lane = sa.select(subcloud_sync.c.lease_owner).where(
            subcloud_sync.c.subcloud_id == subclouds.get(self.database, name).id
        )
        with self.database.read() as connection:
            owner: str | None = connection.execute(lane).scalar_one()
        return owner

    def number_of_held(self) -> int:
        """Lanes that somebody holds."""
        return self._number(subcloud_sync, subcloud_sync.c.lease_owner.is_not(None))

    def _number(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        counted = sa.select(sa.func.count()).select_from(table).where(condition)
        with self.database.read() as connection:
            number: int = connection.execute(counted).scalar_one()
        return number


_present: dict[str, Installation] = {}


def installation(
    regions: Sequence[str], options: Mapping[str, Mapping[str, object]]
) -> Installation:
    """The installation of this process; another one only when it has to be a different one.

    Making one takes 5 s of CPU.
    """
    key = repr((regions, options))
    if key not in _present:
        for other in _present.values():
            other.close()
        _present.clear()
        made = Installation(regions, options, GATEWAY)
        atexit.register(made.close)
        for name in regions:
            made.add(name)
        made.worker.wait_for(r"Worker \S+ starts")
        made.engine.wait_for(r"Worker process \d+ is ready")
        _present[key] = made
    return _present[key]


#: Of the tests of processes and of the database: everything is soon found out.
HASTY: Mapping[str, Mapping[str, object]] = {
    "engine": {
        "poll_interval": 0.2,
        "lease": 2,
        # Longer than a call takes that its gateway left behind in a busy central cloud: what is
        # done there after the settler has looked is lost.
        "settle_after": 4,
        "settle_interval": 0.5,
        "retry_delay": 0.05,
        "max_retry_delay": 0.5,
    }
}


class FaultTest(SystemTest):
    """Tests that break something; the installation may be that of the class before."""

    system: typing.ClassVar[Installation]

    @classmethod
    def setUpClass(cls) -> None:
        require_services()
        PrivatePostgresql.require()
        PrivateRabbitmq.require()
        cls.system = installation(cls.regions, cls.options)

    def setUp(self) -> None:
        super().setUp()
        self.token = self.system.central.admin_session().get_token()

    def tearDown(self) -> None:
        """Whatever a test broke, the next one finds it whole."""
        self.system.heal()
        super().tearDown()

    def read(self) -> None:
        """A read passes through the gateway."""
        answer = self.system.call("GET", "/v3/regions", token=self.token)
        self.assertEqual(answer.status_code, 200, answer.text)

    def create_group(self, name: str) -> requests.Response:
        """Send the creation of a group through the gateway, whatever comes of it."""
        body = {"group": {"name": name, "domain_id": "default", "description": ""}}
        return self.system.call("POST", "/v3/groups", body, token=self.token)

    def created_group(self, word: str = "group") -> requests.Response:
        """Create a group, which has to succeed."""
        answer = self.create_group(self.unique(word))
        self.assertEqual(answer.status_code, 201, answer.text)
        return answer

    def arrived(self, answer: requests.Response) -> bool:
        """Whether all subclouds have the group of an answer."""
        name = answer.json()["group"]["name"]
        return all(self.find(cloud, "group", name=name) for cloud in self.system.subclouds.values())

    def quiet(self) -> None:
        """Wait until nothing is left to do; fails where something is stuck."""
        system = self.system

        def nothing_left() -> bool:
            # In the order in which work moves on, or it might slip through between two looks.
            return not (system.open_jobs() or system.pending() or system.number_of_held())

        eventually(nothing_left, "the end of all work")

    def assert_alike(self, prefix: str) -> dict[str, str]:
        """All clouds have the same groups whose names begin so; returns their descriptions."""
        found = {}
        for region, cloud in self.system.clouds.items():
            groups = [each for each in self.find(cloud, "group") if each["name"].startswith(prefix)]
            found[region] = {each["name"]: each["description"] for each in groups}
            self.assertEqual(len(groups), len(found[region]), "names are unique")
        central = found[self.system.central.region_name]
        for region, groups in found.items():
            self.assertEqual(groups, central, f"{region} differs from the central cloud")
        return central

    def tell(self, what: str, seconds: float) -> None:
        """Note a measurement; pytest shows it with -rP."""
        print(f"{self.id().rpartition('.')[2]}: {what} {seconds * 1000:.0f} ms")  # noqa: T201


def children(process: Process) -> list[int]:
    """The ids of the worker processes of a service."""
    parent = process.popen.pid
    text = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(each) for each in text.split()]


def pid_of(owner: str) -> int:
    """The process that a lane's owner names."""
    found = re.fullmatch(r".*:(\d+):\w+", owner)
    if found is None:
        raise AssertionError(f"{owner} names no process")
    return int(found[1])


def kill(pid: int) -> None:
    """End a process as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def timed(call: Callable[[], typing.Any]) -> tuple[typing.Any, float]:
    """What a call returns, and the seconds that it took."""
    start = time.monotonic()
    value = call()
    return value, time.monotonic() - start

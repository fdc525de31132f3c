# SPDX-License-Identifier: Apache-2.0
"""A whole installation for functional tests: real Keystones, a real headwater, a real database."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import typing
import unittest
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import requests
import sqlalchemy as sa

from headwater.common.secrets import KeyRing
from headwater.common.states import PENDING, JobState, Management, RequestState
from headwater.db import jobs, lanes, models, subclouds
from headwater.db import requests as orch_requests
from headwater.db.connection import Database, connect
from headwater.db.records import JobFilter, JobSummary, NewSubcloud, Request
from tests.services.keystone import Keystone, require_services, start_clouds
from tests.support import databases
from tests.support.waiting import PATIENCE, eventually

CENTRAL = "RegionOne"
BIN = pathlib.Path(sys.executable).parent


@dataclass(frozen=True)
class Command:
    """How a service is started; `{config}` and `{listen}` are filled in."""

    program: str
    arguments: tuple[str, ...] = ("--config-file", "{config}")
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Where its log tells the address.
    listens: str = r"gateway for identity listens on http://(\S+)"


class Process:
    """One headwater service as an operator runs it, with its log in a file."""

    def __init__(
        self, command: str | Command, config: pathlib.Path, log: pathlib.Path, listen: str = ""
    ):
        if isinstance(command, str):
            command = Command(command)
        self.program, self.log_path = command.program, log

        def filled(text: str) -> str:
            return text.format(config=config, listen=listen)

        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.popen = subprocess.Popen(
                [BIN / self.program, *map(filled, command.arguments)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("OS_")},
                    **{k: filled(v) for k, v in command.environment.items()},
                },
            )

    def log(self) -> str:
        """What it has logged since this start."""
        with self.log_path.open("rb") as stream:
            stream.seek(self._log_start)
            return stream.read().decode(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in its log; fails when it ends before."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.log())
            if found is None and self.popen.poll() is not None:
                raise AssertionError(f"{self.program} ended:\n{self.log()[-3000:]}")
            return found

        match: re.Match[str] = eventually(look, f"{pattern!r} in the log of {self.program}")
        return match

    def kill(self) -> None:
        """End it as a power cut would."""
        self.popen.kill()
        self.popen.wait(PATIENCE)

    def stop(self) -> int:
        """End it as an operator would; returns its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(PATIENCE)
                raise
        return self.popen.returncode


class System:
    """Clouds and headwater in front of them. Close it; use `SystemTest` in tests."""

    def __init__(
        self,
        regions: Iterable[str],
        options: Mapping[str, Mapping[str, object]],
        program: str | Command = "headwater-all-in-one",
        prepare: Iterable[tuple[str, ...]] = (),
    ):
        self._cleanup = contextlib.ExitStack()
        try:
            self._make(regions, options)
            for command in prepare:
                self.manage(*command).check_returncode()
            self.process = self.start(program)
        except BaseException:
            self.close()
            raise

    def _make(self, regions: Iterable[str], options: Mapping[str, Mapping[str, object]]) -> None:
        self.directory = pathlib.Path(
            self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="headwater-test-"))
        )
        self.clouds = start_clouds([CENTRAL, *regions], self.directory)
        for cloud in self.clouds.values():
            self._cleanup.callback(cloud.close)
        self.central = self.clouds[CENTRAL]
        self.subclouds = {name: self.clouds[name] for name in regions}
        self.http = self._cleanup.enter_context(requests.Session())
        self.http.trust_env = False
        self._service_password = secrets.token_urlsafe(16)
        self.central.create_service_user("headwater", self._service_password)
        self.config = self.directory / "headwater.conf"
        self.options = {group: dict(values) for group, values in options.items()}
        self.listen = "127.0.0.1:0"
        self.write_config()
        self._database: Database | None = None

    def close(self) -> None:
        """Stop everything and remove all files."""
        self._cleanup.close()

    def write_config(self) -> None:
        """Write headwater.conf anew from `options`."""
        groups: dict[str, dict[str, object]] = {
            "DEFAULT": {"state_path": self.directory / "state", "graceful_shutdown_timeout": 5},
            "keystone_authtoken": self._login("headwater", self._service_password, "service"),
            "central": self._login("admin", self.central.admin_password, "admin"),
            "api": {"listen": "127.0.0.1:0"},
            # An audit would repair what a test does to a cloud; those of audits turn them on.
            "endpoint_type:identity": {
                "listen": self.listen,
                "upstream": self.central.url,
                "audit": "off",
            },
            # A test decides itself what a subcloud is asked.
            "subclouds": {"probe_interval": 0},
            "engine": {
                "poll_interval": 0.2,
                "lease": 2,
                "retry_delay": 0.05,
                "max_retry_delay": 0.5,
            },
        }
        for group, values in self.options.items():
            groups.setdefault(group, {}).update(values)
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            for group, values in groups.items():
                file.write(f"[{group}]\n")
                file.writelines(f"{name} = {value}\n" for name, value in values.items())

    def _login(self, username: str, password: str, project: str) -> dict[str, object]:
        return {
            "auth_type": "password",
            "auth_url": self.central.auth_url,
            "www_authenticate_uri": self.central.auth_url,
            "username": username,
            "password": password,
            "user_domain_name": "Default",
            "project_name": project,
            "project_domain_name": "Default",
        }

    def start(self, program: str | Command) -> Process:
        """Start a service that has a gateway; the port stays the same over restarts."""
        command = Command(program) if isinstance(program, str) else program
        process = Process(command, self.config, self.directory / "headwater.log", self.listen)
        self._cleanup.callback(process.stop)
        self.listen = process.wait_for(command.listens)[1]
        self.url = f"http://{self.listen}"
        self.write_config()
        return process

    @property
    def database(self) -> Database:
        """The same database, opened by the test."""
        if self._database is None:
            url = self.options.get("database", {}).get("connection")
            self._database = connect(str(url or f"sqlite:///{self.directory}/state/headwater.db"))
            self._cleanup.callback(self._database.dispose)
        return self._database

    @property
    def key_ring(self) -> KeyRing:
        """The same keys."""
        return KeyRing(self.directory / "state" / "keys")

    def add(self, name: str, *, auth_url: str | None = None, password: str | None = None) -> None:
        """Add and manage a subcloud."""
        cloud = self.subclouds.get(name)
        credentials = {"password": password or (cloud.admin_password if cloud else "none")}
        subclouds.add(
            self.database,
            NewSubcloud(
                region_name=name,
                auth_url=auth_url or self.subclouds[name].auth_url,
                username="admin",
                credentials=self.key_ring.encrypt(credentials),
            ),
            ["identity"],
        )
        subclouds.set_management(self.database, name, Management.MANAGED)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        **options: typing.Any,
    ) -> requests.Response:
        """Send a call through the gateway, as the central cloud's administrator by default."""
        headers = {"X-Auth-Token": token or self.central.admin_session().get_token()}
        headers.update(options.pop("headers", {}))
        return self.http.request(
            method, self.url + path, json=body, headers=headers, timeout=PATIENCE, **options
        )

    def change(self, method: str, path: str, body: object = None) -> requests.Response:
        """Send a call that has to succeed and to be replayed everywhere; waits for that."""
        answer = self.call(method, path, body)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        self.wait(answer)
        return answer

    def wait(self, answer: requests.Response, *, among: Iterable[str] = ()) -> list[Request]:
        """Wait until the job of an answer is replayed on all clouds (of AMONG), without failure."""
        job = self.job(answer)
        names = frozenset(among) or frozenset(self.subclouds)

        def done() -> list[Request] | None:
            found = [each for each in self.requests_of(job) if each.region_name in names]
            pending = any(each.state in PENDING for each in found)
            return None if pending or len(found) < len(names) else found

        found: list[Request] = eventually(done, f"the replay of job {job.job.uuid}")
        failed = [each for each in found if each.state is RequestState.FAILED]
        if failed:
            raise AssertionError(f"job {job.job.uuid} failed: {failed}")
        return found

    def job(self, answer: requests.Response) -> JobSummary:
        """The job that an answer names."""
        return jobs.get(self.database, answer.headers["X-Headwater-Job"])

    def requests_of(self, job: JobSummary) -> list[Request]:
        """The requests of a job."""
        return list(orch_requests.of_job(self.database, job.job.id, limit=1000))

    def open_jobs(self) -> list[JobSummary]:
        """Jobs whose fate is not known."""
        return list(jobs.list_page(self.database, limit=100, only=JobFilter(state=JobState.OPEN)))

    def number_of_jobs(self) -> int:
        """All jobs that are written down."""
        with self.database.read() as connection:
            number: int = connection.execute(
                sa.select(sa.func.count()).select_from(models.orch_job)
            ).scalar_one()
        return number

    def replay_again(self, answer: requests.Response) -> None:
        """Run the requests of a replayed job a second time and wait for it."""
        job = self.job(answer)
        names = [subclouds.get(self.database, name).id for name in self.subclouds]
        with self.database.write() as connection:
            connection.execute(
                models.orch_request.update()
                .where(
                    models.orch_request.c.orch_job_id == job.job.id,
                    models.orch_request.c.subcloud_id.in_(names),
                )
                .values(state=RequestState.QUEUED, try_count=0)
            )
        lanes.request(self.database, ["identity"])
        for request in self.wait(answer):
            if request.try_count != 1:
                raise AssertionError(f"the second replay needed more than one try: {request}")

    def manage(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run headwater-manage as an operator does."""
        return subprocess.run(
            [BIN / "headwater-manage", "--config-file", self.config, *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            env={**os.environ, **(environment or {})},
        )


def login(user: str, password: str) -> dict[str, typing.Any]:
    """The body with which a user of the Default domain asks for a token."""
    who = {"name": user, "domain": {"id": "default"}, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}


class SystemTest(unittest.TestCase):
    """A test class with a System of its own: one per class, made before its first test."""

    backend: typing.ClassVar[databases.Backend] = databases.SQLITE
    regions: typing.ClassVar[tuple[str, ...]] = ("subcloud1", "subcloud2")
    options: typing.ClassVar[Mapping[str, Mapping[str, object]]] = {}
    #: The service with the gateway, and what an operator runs before its first start.
    program: typing.ClassVar[str | Command] = "headwater-all-in-one"
    prepare: typing.ClassVar[tuple[tuple[str, ...], ...]] = ()
    system: typing.ClassVar[System]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        require_services()
        options = dict(cls.options)
        if cls.backend is not databases.SQLITE:
            cls.backend.require()
            url = cls.backend.fresh(cls.addClassCleanup, migrated=("db", "sync") not in cls.prepare)
            options["database"] = {"connection": url}
        cls.system = System(cls.regions, options, cls.program, cls.prepare)
        cls.addClassCleanup(cls.system.close)
        for name in cls.regions:
            cls.system.add(name)

    def unique(self, word: str) -> str:
        """A name that nothing else in the clouds has."""
        return f"{word}-{secrets.token_hex(4)}"

    def can_login(self, cloud: Keystone, user: str, password: str) -> bool:
        """Whether a user of the Default domain gets a token by password."""
        answer = self.system.http.post(
            f"{cloud.auth_url}/auth/tokens", json=login(user, password), timeout=PATIENCE
        )
        self.assertIn(answer.status_code, (201, 401), answer.text)
        return answer.status_code == 201

    def find(self, cloud: Keystone, noun: str, **match: str) -> list[dict[str, typing.Any]]:
        """What a cloud's own API lists."""
        answer = cloud.request(
            "GET", f"/v3/{noun}s?" + "&".join(f"{k}={v}" for k, v in match.items())
        )
        self.assertEqual(answer.status_code, 200, answer.text)
        found: list[dict[str, typing.Any]] = answer.json()[f"{noun}s"]
        return found

    def one(self, cloud: Keystone, noun: str, **match: str) -> dict[str, typing.Any]:
        """The only one that a cloud's own API lists."""
        found = self.find(cloud, noun, **match)
        self.assertEqual(len(found), 1, f"{cloud.region_name} {noun} {match}: {json.dumps(found)}")
        return found[0]

# SPDX-License-Identifier: Apache-2.0
"""A host on which devstack would run the plugin: real clouds, a real database, a real broker.

What devstack itself would do is in the shell files beside this one.
"""

import configparser
import contextlib
import json
import os
import pathlib
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import typing
import unittest
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
import yaml

from tests.services.keystone import Keystone, start_clouds
from tests.support import brokers, databases
from tests.support.waiting import PATIENCE

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = ROOT / "devstack"
BIN = pathlib.Path(sys.executable).parent

#: A checkout of devstack whose own functions are used where they can be.
CHECKOUT = "HEADWATER_TEST_DEVSTACK"

#: Seconds for all phases of a stack, which take about thirty.
STACK_PATIENCE = 8 * PATIENCE

LOCALRC = re.compile(r"^\[\[local\|localrc\]\]\n(.*?)(?=^\[\[|\Z)", re.MULTILINE | re.DOTALL)


def localrc(sample: str) -> str:
    """The part of a sample local.conf that devstack sources."""
    found = LOCALRC.search((PLUGIN / "samples" / sample).read_text())
    assert found is not None, sample
    return found[1]


class Host:
    """One machine, in a directory that is removed after the test class."""

    def __init__(self, test: type[unittest.TestCase], backend: databases.Backend, checkout: str):
        self.checkout = checkout
        self.directory = pathlib.Path(
            test.enterClassContext(tempfile.TemporaryDirectory(prefix="headwater-test-"))
        )
        self.clouds = start_clouds(["RegionOne", "RegionTwo"], self.directory, as_devstack=True)
        for cloud in self.clouds.values():
            test.addClassCleanup(cloud.close)
        self.central, self.subcloud = self.clouds["RegionOne"], self.clouds["RegionTwo"]
        self.service_password = secrets.token_urlsafe(16)
        self.ports = {
            name: test.enterClassContext(_reserved_port()) for name in ("identity", "api")
        }
        self.units = self.directory / "units"
        self._stackrc = self._write_stackrc(test, backend)
        # Before the database is dropped, whatever has failed.
        test.addClassCleanup(self._end_processes)
        self._prepare_keystone()

    def _prepare_keystone(self) -> None:
        """What stack.sh has made in Keystone before the first plugin asks."""
        for noun, body in (
            ("project", {"name": "service", "domain_id": "default"}),
            ("role", {"name": "service"}),
        ):
            answer = self.central.request("POST", f"/v3/{noun}s", {noun: body})
            assert answer.status_code in (201, 409), answer.text
        (self.directory / "clouds.yaml").touch(0o600)
        login = {
            "auth_url": self.central.url,
            "username": "admin",
            "password": self.central.admin_password,
            "user_domain_id": "default",
        }
        project = {"project_name": "admin", "project_domain_id": "default"}
        clouds = {
            "devstack-admin": {**login, **project},
            "devstack-system-admin": {**login, "system_scope": "all"},
        }
        text = yaml.safe_dump(
            {
                "clouds": {
                    name: {"auth": auth, "region_name": "RegionOne"}
                    for name, auth in clouds.items()
                }
            }
        )
        (self.directory / "clouds.yaml").write_text(text)

    def _write_stackrc(
        self, test: type[unittest.TestCase], backend: databases.Backend
    ) -> pathlib.Path:
        """The variables that devstack sets before plugins run; as there they are not exported."""
        self.conf_directory = self.directory / "etc"
        variables = {
            "ADMIN_PASSWORD": self.central.admin_password,
            "API_WORKERS": "1",
            "DATA_DIR": self.directory / "data",
            "DEST": self.directory,
            "DEVSTACK_VENV": self.directory / "venv",
            "ENABLED_SERVICES": "",
            "ENABLE_DEBUG_LOG_LEVEL": "True",
            "GLOBAL_VENV": "True",
            "KEYSTONE_SERVICE_HOST": f"127.0.0.1:{self.central.port}",
            "KEYSTONE_SERVICE_URI": self.central.url,
            "LOCALRC": self.directory / "localrc",
            "LOG_COLOR": "False",
            "MEMCACHE_SERVERS": "",
            "MYSQL_SERVICE_NAME": "mysql",
            "OPENSTACKCLIENT_CONF_DIR": self.directory,
            "PRODUCT_BIN": BIN,
            "PYTHON": sys.executable,
            "REGION_NAME": "RegionOne",
            "SERVICE_DOMAIN_NAME": "Default",
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_LISTEN_ADDRESS": "127.0.0.1",
            "SERVICE_PASSWORD": self.service_password,
            "SERVICE_PROJECT_NAME": "service",
            "SERVICE_PROTOCOL": "http",
            "SERVICE_TIMEOUT": "60",
            "SSL_BUNDLE_FILE": self.directory / "no-ca-bundle.pem",
            "STACK_USER": _user(),
            "SYSTEMCTL": HERE / "systemctl",
            "SYSTEMD_DIR": self.units,
            # Where the plugin is put, and where the test wants its ports and files.
            "HEADWATER_DIR": ROOT,
            "HEADWATER_CONF_DIR": self.conf_directory,
            "HEADWATER_IDENTITY_PORT": self.ports["identity"],
            "HEADWATER_API_PORT": self.ports["api"],
            **self._database(test, backend),
            **_broker(test),
        }
        (self.directory / "data").mkdir()
        stackrc = self.directory / "stackrc"
        stackrc.touch(0o600)
        stackrc.write_text(
            "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
        )
        return stackrc

    def _database(
        self, test: type[unittest.TestCase], backend: databases.Backend
    ) -> Mapping[str, object]:
        # devstack's helper makes it anew; only the name and the server are taken.
        fresh = backend.fresh(test.addClassCleanup, migrated=False)
        url = sa.make_url(fresh)
        kind = "mysql" if url.get_backend_name() == "mysql" else "postgresql"
        self.database_url = fresh
        scheme = "mysql+pymysql" if kind == "mysql" else "postgresql"
        port = f":{url.port}" if url.port else ""
        return {
            "BASE_SQL_CONN": f"{scheme}://{url.username}:{url.password or ''}@{url.host}{port}",
            "DATABASE_HOST": url.host,
            "DATABASE_PASSWORD": url.password or "",
            "DATABASE_TYPE": kind,
            "DATABASE_USER": url.username,
            "HEADWATER_DB": url.database,
        }

    def write_localrc(self, text: str) -> None:
        """What the user's local.conf says."""
        (self.directory / "localrc").write_text(text)

    def devstack(
        self, mode: str, *phases: str, plugin: pathlib.Path = PLUGIN
    ) -> subprocess.CompletedProcess[str]:
        """Run the plugin in a mode of devstack; standard error has the trace of all commands."""
        return subprocess.run(
            [HERE / "devstack", self._stackrc, mode, plugin, *phases],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=STACK_PATIENCE,
            cwd=self.directory,
            env={**self.environment(), CHECKOUT: self.checkout, "SYSTEMD_DIR": str(self.units)},
        )

    def environment(self) -> dict[str, str]:
        """Of a shell on that host."""
        return {
            "PATH": f"{HERE}:{self.directory}/venv/bin:{BIN}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.directory),
            "NO_PROXY": "127.0.0.1",
            "OS_CLIENT_CONFIG_FILE": str(self.directory / "clouds.yaml"),
        }

    def openstack(self, *arguments: str) -> typing.Any:
        """What a cloud admin types, in the region SystemController; returns the JSON it prints."""
        done = subprocess.run(
            [
                *(self.directory / "venv" / "bin" / "openstack", "--os-cloud"),
                *("devstack-headwater", *arguments, "-f", "json"),
            ],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            env=self.environment(),
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def configuration(self) -> configparser.RawConfigParser:
        """The headwater.conf that the plugin has written."""
        parser = configparser.RawConfigParser()
        parser.read_string((self.conf_directory / "headwater.conf").read_text())
        return parser

    def services(self) -> dict[str, int]:
        """The main process of each unit that was started."""
        return {
            file.name.removeprefix("devstack@").removesuffix(".service.pid"): int(file.read_text())
            for file in self.units.glob("*.pid")
        }

    def processes(self) -> set[int]:
        """All processes that run with the plugin's configuration."""
        found = set()
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if str(self.conf_directory).encode() in file.read_bytes():
                    found.add(int(file.parent.name))
        return found

    def log(self, service: str) -> str:
        """What a service has written."""
        return (self.units / f"devstack@{service}.service.log").read_text()

    def _end_processes(self) -> None:
        for process in self.services().values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

    def endpoints(self, cloud: Keystone, region: str) -> dict[str, dict[str, str]]:
        """URLs by service type and interface."""
        types = {
            service["id"]: service["type"]
            for service in cloud.request("GET", "/v3/services").json()["services"]
        }
        found: dict[str, dict[str, str]] = {}
        answer = cloud.request("GET", f"/v3/endpoints?region_id={region}").json()
        for endpoint in answer["endpoints"]:
            kind = types[endpoint["service_id"]]
            found.setdefault(kind, {})[endpoint["interface"]] = endpoint["url"]
        return found


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A port of the kernel's choice that only somebody who is told may listen on."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _broker(test: type[unittest.TestCase]) -> Mapping[str, object]:
    url = sa.make_url(brokers.fresh_transport(test))
    return {
        "RABBIT_HOST": url.host,
        "RABBIT_PASSWORD": url.password,
        "RABBIT_PORT": url.port or 5672,
        "RABBIT_USERID": url.username,
        "HEADWATER_RPC_VHOST": url.database or "",
    }


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

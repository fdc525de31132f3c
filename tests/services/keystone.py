# SPDX-License-Identifier: Apache-2.0
"""Real Keystones for tests and the demo: each a cloud with ids, keys and a password of its own.

Runs in the product's environment; Keystone itself is in .venv-services and is made by processes
that keystone_nursery.py starts. They end with this process, however it ends.
"""

import collections.abc
import concurrent.futures
import contextlib
import os
import pathlib
import secrets
import signal
import socket
import time
import types
import typing
import unittest
from urllib.parse import urlencode

import requests
from keystoneauth1 import session as ks_session
from keystoneauth1.identity import v3

from tests.services.keystone_nursery import (
    PATIENCE,
    SERVICES_PYTHON,
    Child,
    KeystoneFailed,
    ServicesMissing,
    check_installed,
    nursery,
)

__all__ = ["Keystone", "KeystoneFailed", "ServicesMissing", "require_services", "start_clouds"]

HOST = "127.0.0.1"
INTERFACES = ("public", "internal", "admin")
REQUEST_TIMEOUT = 30.0
"""Seconds after which a request to a paused Keystone fails."""

Json = dict[str, typing.Any]


class Keystone:
    """One cloud's Keystone, in a directory of its own, on one port for as long as the object lives.

    Use it as a context manager, which creates, starts and closes it, or call the methods. With
    `as_devstack` it is what devstack makes of Keystone: below /identity, with that address in all
    its links, and in the catalog with a single, public endpoint without a version.
    """

    def __init__(
        self,
        region_name: str,
        directory: pathlib.Path,
        services_python: pathlib.Path = SERVICES_PYTHON,
        *,
        as_devstack: bool = False,
    ) -> None:
        self.region_name = region_name
        self.directory = directory.absolute()
        self.log_path = self.directory / "keystone.log"
        self.admin_password = secrets.token_urlsafe(18)
        self._services_python = services_python
        self._server: Child | None = None
        # Bound but never listening: the kernel gives the port to nobody else, and refuses
        # connections whenever no Keystone listens.
        self._reservation = _bound_socket(0)
        self.port: int = self._reservation.getsockname()[1]
        self._as_devstack = as_devstack
        self._path = "/identity" if as_devstack else ""
        self.url = f"http://{HOST}:{self.port}{self._path}"
        self.auth_url = f"{self.url}/v3"
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy in the environment is not for this address
        self._admin = ks_session.Session(
            auth=v3.Password(
                self.auth_url,
                username="admin",
                password=self.admin_password,
                user_domain_name="Default",
                project_name="admin",
                project_domain_name="Default",
            ),
            session=self._http,
            timeout=REQUEST_TIMEOUT,
        )

    def __enter__(self) -> typing.Self:
        try:
            self.create()
            self.start()
            self.wait_ready()
            # A user's first login of a day is written down, and of two at one moment Keystone on
            # SQLite fails one ("database is locked"): the first is done before anybody else's.
            self._admin.get_token()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def create(self) -> None:
        """Make the cloud's state, in a directory that is empty or not there yet.

        A second call raises KeystoneFailed and changes nothing.
        It holds the user and project `admin`, the roles that `keystone-manage bootstrap` makes, and
        the region with its identity endpoints at auth_url.
        """
        mother = nursery(self._services_python)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        child = mother.order(
            "create",
            directory=str(self.directory),
            template=str(mother.template()),
            region=self.region_name,
            public_url=self.url if self._as_devstack else self.auth_url,
            other_url=None if self._as_devstack else self.auth_url,
            endpoint=f"public_endpoint = {self.url}" if self._as_devstack else "",
            admin_password=self.admin_password,
        )
        with contextlib.closing(child):
            outcome = child.wait(PATIENCE)
        if outcome != "done":
            raise KeystoneFailed(f"{self.region_name}: {outcome}\n{self._log_tail()}")

    def _log_tail(self) -> str:
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-20:])

    def start(self) -> None:
        """Serve at url; connections queue until it is ready. Nothing happens when it runs."""
        if self.is_running():
            return
        self.stop()
        with _bound_socket(self.port) as listener:
            listener.listen(128)
            self._server = nursery(self._services_python).order(
                "serve", listener, directory=str(self.directory), path=self._path
            )

    def is_running(self) -> bool:
        """Whether its process exists: ready or not, paused or not."""
        return self._server is not None and self._server.is_alive()

    def wait_ready(self, deadline: float = PATIENCE) -> None:
        """Return once it answers; raises KeystoneFailed when it ended or after DEADLINE seconds."""
        limit = time.monotonic() + deadline
        while (left := limit - time.monotonic()) > 0:
            if not self.is_running():
                raise KeystoneFailed(f"{self.region_name} does not run:\n{self._log_tail()}")
            with contextlib.suppress(requests.RequestException):
                if self._http.get(self.auth_url, timeout=left).ok:
                    return
            time.sleep(0.02)
        raise KeystoneFailed(f"{self.region_name} is not ready after {deadline:g} s")

    def stop(self) -> None:
        """Kill it, as a power cut would; when this returns, connections are refused.

        The state stays and start() goes on with it. Nothing happens when it does not run.
        """
        if self._server is None:
            return
        with contextlib.closing(self._server) as server:
            server.send_signal(signal.SIGKILL)
            server.wait(PATIENCE)
        self._server = None
        # The kernel closes a dead process's sockets in no promised order: see for ourselves.
        limit = time.monotonic() + PATIENCE
        while _accepts(self.port):
            if time.monotonic() > limit:
                raise KeystoneFailed(f"something listens at {self.url} although it was stopped")
            time.sleep(0.002)

    def pause(self) -> None:
        """Freeze it: connections are still made, and never answered until resume()."""
        server = self._running_server()
        server.send_signal(signal.SIGSTOP)
        limit = time.monotonic() + PATIENCE
        while not server.is_stopped():
            if time.monotonic() > limit:
                raise KeystoneFailed(f"{self.region_name} does not stop")
            time.sleep(0.001)

    def resume(self) -> None:
        """Let it go on after pause(): it answers what waited."""
        self._running_server().send_signal(signal.SIGCONT)

    def _running_server(self) -> Child:
        if self._server is None or not self._server.is_alive():
            raise KeystoneFailed(f"{self.region_name} does not run:\n{self._log_tail()}")
        return self._server

    def close(self) -> None:
        """Stop it for good and give its port back; its directory stays."""
        self.stop()
        self._http.close()
        self._reservation.close()

    def admin_environment(self) -> dict[str, str]:
        """Return the OS_* variables with which the openstack command is this cloud's administrator.

        OS_REGION_NAME is not among them: it would win over --os-region-name.
        """
        return {
            "OS_AUTH_TYPE": "password",
            "OS_AUTH_URL": self.auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": "admin",
            "OS_PASSWORD": self.admin_password,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_NAME": "admin",
            "OS_PROJECT_DOMAIN_NAME": "Default",
        }

    def admin_session(self) -> ks_session.Session:
        """Return the administrator's session, always the same; it logs in when first used."""
        return self._admin

    def request(self, method: str, path: str, json: object = None) -> requests.Response:
        """Send a request as administrator and return the answer, whatever its status.

        PATH begins at the root ("/v3/users"). No answer at all and a failed login raise the
        exceptions of keystoneauth1.
        """
        answer: requests.Response = self._admin.request(
            self.url + path, method, json=json, raise_exc=False, authenticated=True
        )
        return answer

    def _call(self, method: str, path: str, json: object = None) -> Json:
        """Send a request that has to succeed and return its body."""
        answer = self.request(method, path, json)
        if not answer.ok:
            raise KeystoneFailed(
                f"{self.region_name}: {method} {path}: {answer.status_code} {answer.text}"
            )
        body: Json = answer.json() if answer.content else {}
        return body

    def _find(self, noun: str, query: str) -> list[Json]:
        found: list[Json] = self._call("GET", f"/v3/{noun}s?{query}")[f"{noun}s"]
        return found

    def _make(self, noun: str, attributes: Json) -> Json:
        made: Json = self._call("POST", f"/v3/{noun}s", {noun: attributes})[noun]
        return made

    def _find_or_make(self, noun: str, attributes: Json) -> Json:
        found = self._find(noun, urlencode(attributes))
        return found[0] if found else self._make(noun, attributes)

    def create_service_user(self, name: str, password: str, role: str = "service") -> str:
        """Make a user with a role on the project `service` and return its id.

        With the role `service` it may validate anybody's token, which is what keystonemiddleware
        needs. Project and role are made when missing; a user of that name gets this password, and
        that takes a second.
        """
        user = {"name": name, "domain_id": "default"}
        project = self._find_or_make("project", {"name": "service", "domain_id": "default"})
        granted = self._find_or_make("role", {"name": role})
        present = self._find("user", urlencode(user))
        if present:
            user_id = str(present[0]["id"])
            self._call("PATCH", f"/v3/users/{user_id}", {"user": {"password": password}})
            # Revocation counts in whole seconds: a token taken within this one would be refused.
            time.sleep(1.1)
        else:
            user_id = str(self._make("user", {**user, "password": password})["id"])
        self._call("PUT", f"/v3/projects/{project['id']}/users/{user_id}/roles/{granted['id']}")
        return user_id

    def add_region_endpoint(self, region: str, url: str, service_type: str = "identity") -> None:
        """Put the endpoints of a service in a region (such as SystemController) into the catalog.

        Public, internal and admin all get URL, which for identity includes the version
        ("http://127.0.0.1:25000/v3"). Region, service and endpoints are made when missing, else
        changed.
        """
        if self.request("GET", f"/v3/regions/{region}").status_code == requests.codes.not_found:
            self._make("region", {"id": region})
        service_id = self._find_or_make("service", {"type": service_type})["id"]
        where = {"service_id": service_id, "region_id": region}
        present = {e["interface"]: e["id"] for e in self._find("endpoint", urlencode(where))}
        for interface in INTERFACES:
            endpoint = {**where, "interface": interface, "url": url}
            if interface in present:
                path = f"/v3/endpoints/{present[interface]}"
                self._call("PATCH", path, {"endpoint": endpoint})
            else:
                self._make("endpoint", endpoint)


def _bound_socket(port: int) -> socket.socket:
    """Bind a socket without listening; several may share a port as long as at most one listens."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def _accepts(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((HOST, port)) == 0


def start_clouds(
    regions: collections.abc.Iterable[str],
    directory: pathlib.Path,
    services_python: pathlib.Path = SERVICES_PYTHON,
    *,
    as_devstack: bool = False,
) -> dict[str, Keystone]:
    """Create and start one Keystone per region, all at once; returns when every one answers.

    Each lives in DIRECTORY/<region> and is the caller's to close. When one fails, all are closed.
    """
    clouds = {
        region: Keystone(region, directory / region, services_python, as_devstack=as_devstack)
        for region in regions
    }
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(clouds))) as pool:
            for started in [pool.submit(cloud.__enter__) for cloud in clouds.values()]:
                started.result()
    except BaseException:
        for cloud in clouds.values():
            cloud.close()
        raise
    return clouds


def require_services(services_python: pathlib.Path = SERVICES_PYTHON) -> None:
    """Skip the calling test where no services are installed; an error where they are required.

    HEADWATER_REQUIRE_SERVICES=1 requires them, as continuous integration does.
    """
    try:
        check_installed(services_python)
    except ServicesMissing as missing:
        if os.environ.get("HEADWATER_REQUIRE_SERVICES") == "1":
            raise
        raise unittest.SkipTest(str(missing)) from missing

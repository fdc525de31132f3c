# SPDX-License-Identifier: Apache-2.0
"""What the demo runs: three real Keystones, headwater-all-in-one, and the registered subclouds."""

import contextlib
import os
import pathlib
import re
import secrets
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.services.keystone import Keystone, start_clouds
from tools.demo_screen import print_command, step

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANAGE = ROOT / ".venv" / "bin" / "headwater-manage"
OPENSTACK = ROOT / ".venv" / "bin" / "openstack"
TO_THE_GATEWAY = ("--os-region-name", "SystemController")
ALL_IN_ONE = ROOT / ".venv" / "bin" / "headwater-all-in-one"

CREDENTIAL_VARIABLE = "HEADWATER_SUBCLOUD_PASSWORD"

CENTRAL = "RegionOne"
SUBCLOUDS = ("subcloud1", "subcloud2")

PATIENCE = 60.0
"""Seconds for anything that takes a few; only a hang reaches it."""

#: What makes a program talk to 127.0.0.1 through somebody else, or write outside the demo.
FOREIGN = ("http_proxy", "https_proxy", "all_proxy", "xdg_cache_home", "xdg_config_home")

CONFIGURATION = """\
[DEFAULT]
state_path = {directory}/state
[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_type = password
auth_url = {auth_url}
username = headwater
password = {service_password}
user_domain_name = Default
project_name = service
project_domain_name = Default
[central]
auth_type = password
auth_url = {auth_url}
username = admin
password = {admin_password}
user_domain_name = Default
project_name = admin
project_domain_name = Default
[endpoint_type:identity]
listen = 127.0.0.1:0
[api]
listen = 127.0.0.1:0
"""


class DemoFailed(Exception):
    """A part of the demo did not do what it should; says what."""


class Gateway:
    """The process headwater-all-in-one, with its log in a file."""

    def __init__(self, config_file: pathlib.Path, log: pathlib.Path, environment: dict[str, str]):
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                ending_with_us(str(ALL_IN_ONE), "--config-file", str(config_file)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=log.parent,
                start_new_session=True,
            )

    def address(self, of: str) -> str:
        """Return the URL of one of its parts once that listens; the log tells the port."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            ended = self._process.poll()
            found = re.search(rf"{of} listens on (http://\S+)", self._log.read_text())
            if found:
                return found[1]
            if ended is not None:
                raise DemoFailed(f"headwater-all-in-one ended with code {ended}")
            time.sleep(0.05)
        raise DemoFailed(f"headwater-all-in-one does not listen after {PATIENCE:g} s")

    def wait(self) -> None:
        """Return never; raises DemoFailed when the process ends."""
        raise DemoFailed(f"headwater-all-in-one ended with code {self._process.wait()}")

    def stop(self) -> None:
        """End it, at the latest after ten seconds."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Installation:
    """All that runs."""

    directory: pathlib.Path
    config_file: pathlib.Path
    central: Keystone
    subclouds: Mapping[str, Keystone]
    gateway: Gateway
    #: For every program: nothing of the user's own clouds, proxies and home directory.
    environment: Mapping[str, str]

    @property
    def database_url(self) -> str:
        """The database of the embedded mode."""
        return f"sqlite:///{self.directory}/state/headwater.db"


def start(
    directory: pathlib.Path, running: contextlib.ExitStack, subclouds: Sequence[str]
) -> Installation:
    """Start everything in an empty directory; RUNNING ends it all, in the right order."""
    names = [CENTRAL, *subclouds]
    with step(f"Starting {len(names)} Keystone{'s'[: len(subclouds)]} ({', '.join(names)})"):
        clouds = start_clouds(names, directory / "keystones")
        for cloud in clouds.values():
            running.callback(cloud.close)
    central = clouds[CENTRAL]
    environment = _environment(directory)
    config_file = directory / "headwater.conf"
    with step("Starting headwater-all-in-one in front of the central one"):
        service_password = secrets.token_hex(16)
        central.create_service_user("headwater", service_password)
        _write_private(
            config_file,
            CONFIGURATION.format(
                directory=directory,
                auth_url=central.auth_url,
                service_password=service_password,
                admin_password=central.admin_password,
            ),
        )
        gateway = Gateway(config_file, _log_file(directory), environment)
        running.callback(gateway.stop)
        address, api = gateway.address("gateway for identity"), gateway.address("The API")
        central.add_region_endpoint("SystemController", f"{address}/v3")
        central.add_region_endpoint("SystemController", api, "headwater")
    print(f"Region SystemController: identity is the gateway at {address},")
    print(f"                         headwater is its own API at {api}\n")
    installation = Installation(
        directory=directory,
        config_file=config_file,
        central=central,
        subclouds={name: clouds[name] for name in subclouds},
        gateway=gateway,
        environment=environment,
    )
    for name, cloud in installation.subclouds.items():
        add = ("subcloud", "add", name, "--auth-url", cloud.auth_url)
        openstack(installation, *add, password=cloud.admin_password)
        openstack(installation, "subcloud", "manage", name)
    return installation


def _environment(directory: pathlib.Path) -> dict[str, str]:
    home = directory / "home"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OS_") and name.lower() not in FOREIGN
    }
    return {**kept, "HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _write_private(path: pathlib.Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def ending_with_us(*command: str) -> list[str]:
    """Return the command such that the kernel ends it with this process, even on kill -9."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def run(
    command: list[str], installation: Installation, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program and return its output; raises DemoFailed with its words when it fails."""
    name = pathlib.Path(command[0]).name
    try:
        done = subprocess.run(
            ending_with_us(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**installation.environment, **(environment or {})},
            cwd=installation.directory,
            timeout=PATIENCE,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DemoFailed(f"{name} still ran after {PATIENCE:g} s") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise DemoFailed(f"{name} ended with code {done.returncode}:\n{words}")
    return done.stdout


def openstack(
    installation: Installation,
    *arguments: str,
    secrets: Collection[str] = (),
    password: str | None = None,
    variable: str = CREDENTIAL_VARIABLE,
) -> str:
    """Print and run a command of the cloud admin; the password goes through its environment."""
    words = ["openstack", *TO_THE_GATEWAY, *arguments]
    environment = installation.central.admin_environment()
    if password is not None:
        environment[variable] = password
        words.insert(0, f"{variable}={password}")
        secrets = [*secrets, password]
    print_command(words, secrets)
    return run([str(OPENSTACK), *TO_THE_GATEWAY, *arguments], installation, environment)


def _log_file(directory: pathlib.Path) -> pathlib.Path:
    return directory / "headwater.log"


def log_tail(directory: pathlib.Path) -> str:
    """Return the end of headwater's log, or nothing where it has not been started."""
    log = _log_file(directory)
    if not log.exists():
        return ""
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return f"The last lines of headwater's log:\n{tail}"

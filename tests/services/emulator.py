# SPDX-License-Identifier: Apache-2.0
"""A real sushy-emulator with its FAKE driver: one Redfish service with any number of machines.

Power takes one to eleven seconds there, as the emulator rolls it. It composes nothing.
"""

import os
import pathlib
import socket
import subprocess
import typing
import uuid
from collections.abc import Sequence

import requests

from tests.services.keystone import SERVICES_PYTHON, ServicesMissing
from tests.support.waiting import PATIENCE, eventually

HOST = "127.0.0.1"


class Emulator:
    """Serves at `url` from `start` to `close`; the port stays the same over restarts."""

    def __init__(self, directory: pathlib.Path, names: Sequence[str]) -> None:
        self._directory = directory
        self._names = names
        self._process: subprocess.Popen[bytes] | None = None
        # Bound but never listening: the kernel gives the port to nobody else.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((HOST, 0))
        self.url = f"http://{HOST}:{self._reservation.getsockname()[1]}"

    def __enter__(self) -> typing.Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it and wait until it answers; its machines are as they were."""
        program = SERVICES_PYTHON.with_name("sushy-emulator")
        if not program.exists():
            raise ServicesMissing(f"{program} is missing; tools/test installs it")
        self._directory.mkdir(exist_ok=True)
        config = self._directory / "emulator.conf"
        if not config.exists():
            config.write_text(self._config())
        with (self._directory / "emulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        eventually(self._answers, "the emulator to answer")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def close(self) -> None:
        """End it and give the port back."""
        self.kill()
        self._reservation.close()

    def power_states(self) -> list[str]:
        """What the emulator itself says of its machines, in their order."""
        members = self._get("/redfish/v1/Systems")["Members"]
        found = [self._get(each["@odata.id"]) for each in members]
        return [each["PowerState"] for each in sorted(found, key=lambda each: str(each["Name"]))]

    def _get(self, path: str) -> dict[str, typing.Any]:
        answer: dict[str, typing.Any] = requests.get(self.url + path, timeout=PATIENCE).json()
        return answer

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            text = (self._directory / "emulator.log").read_text(errors="replace")
            raise AssertionError(f"sushy-emulator ended:\n{text[-2000:]}")
        try:
            return requests.get(f"{self.url}/redfish/v1/", timeout=5).ok
        except requests.ConnectionError:
            return False

    def _config(self) -> str:
        systems = [
            {
                "uuid": str(uuid.uuid4()),
                "name": name,
                "power_state": "Off",
                "external_notifier": False,
                "nics": [{"mac": f"00:5c:52:31:3a:{number % 256:02x}", "ip": "192.0.2.1"}],
            }
            for number, name in enumerate(self._names)
        ]
        values = {
            "SUSHY_EMULATOR_LISTEN_IP": HOST,
            "SUSHY_EMULATOR_LISTEN_PORT": self._reservation.getsockname()[1],
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_FAKE_SYSTEMS": systems,
            "SUSHY_EMULATOR_STATE_DIR": str(self._directory),
            # Its connections leak otherwise.
            "SUSHY_EMULATOR_NO_MEMOIZE": True,
        }
        return "".join(f"{name} = {value!r}\n" for name, value in values.items())

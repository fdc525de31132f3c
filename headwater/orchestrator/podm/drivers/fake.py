# SPDX-License-Identifier: Apache-2.0
"""Machines that live in this process only, for tests and demonstrations without hardware.

Each address is one machine. They answer at once, and are forgotten when the process ends.
"""

import threading

from headwater.common.errors import Unreachable
from headwater.common.states import BootDevice, PowerAction
from headwater.db.pod_records import SeenMachine
from headwater.orchestrator.podm.drivers import Boot, DriverSettings, Inventory

_PATH = "/redfish/v1/Systems/1"

_REACHED = {
    PowerAction.ON: "On",
    PowerAction.OFF: "Off",
    PowerAction.SHUTDOWN: "Off",
    PowerAction.RESET: "On",
}

_lock = threading.Lock()
_power: dict[str, str] = {}
_boot: dict[str, Boot] = {}
_media: dict[str, str | None] = {}


class FakePod:
    """Answers for every address but those whose host begins with `silent`."""

    def __init__(self, settings: DriverSettings):
        pass

    def inventory(self, address: str) -> Inventory:
        """One machine."""
        uri = address + _PATH
        return Inventory(
            [
                SeenMachine(
                    uri=uri,
                    name=address.partition("://")[2],
                    power_state=self.power_state(uri),
                    health="OK",
                    cpus=16,
                    memory_mib=65536,
                    properties={"Manufacturer": "headwater", "Model": "fake"},
                )
            ]
        )

    def power_state(self, uri: str) -> str | None:
        """Off, until it is switched on."""
        self._answer(uri)
        with _lock:
            return _power.get(uri, "Off")

    def power(self, uri: str, action: PowerAction) -> None:
        """Reached at once."""
        self._answer(uri)
        with _lock:
            _power[uri] = _REACHED[action]

    def boot(self, uri: str) -> Boot:
        """As its own settings say, until it is told otherwise."""
        self._answer(uri)
        with _lock:
            return _boot.get(uri, Boot(None, once=False))

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> None:
        """Taken at once, and kept."""
        self._answer(uri)
        with _lock:
            _boot[uri] = Boot(device.value, once)

    def media(self, uri: str) -> str | None:
        """Empty, until something is inserted."""
        self._answer(uri)
        with _lock:
            return _media.get(uri)

    def set_media(self, uri: str, image: str | None) -> None:
        """Taken at once; nobody looks at the image."""
        self._answer(uri)
        with _lock:
            _media[uri] = image

    def _answer(self, uri: str) -> None:
        if "://silent" in uri:
            raise Unreachable("No answer: it is called silent.")

# SPDX-License-Identifier: Apache-2.0
"""Machines that live in this process only, for tests and demonstrations without hardware.

Each address is one machine. They answer at once, and are forgotten when the process ends.
"""

import threading

from headwater.common.errors import Unreachable
from headwater.common.states import PowerAction
from headwater.db.pod_records import SeenMachine
from headwater.orchestrator.podm.drivers import DriverSettings, Inventory

_PATH = "/redfish/v1/Systems/1"

_REACHED = {
    PowerAction.ON: "On",
    PowerAction.OFF: "Off",
    PowerAction.SHUTDOWN: "Off",
    PowerAction.RESET: "On",
}

_lock = threading.Lock()
_power: dict[str, str] = {}


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

    def _answer(self, uri: str) -> None:
        if "://silent" in uri:
            raise Unreachable("No answer: it is called silent.")

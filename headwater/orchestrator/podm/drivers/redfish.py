# SPDX-License-Identifier: Apache-2.0
"""BMCs that speak Redfish, through sushy: each address is one BMC with the systems that it shows.

Nothing outside this module knows sushy, whose traps it goes round:

- An order is sent once: sushy would send it again when the answer is late.
- `Retry-After`, which its errors do not carry, is taken from the answer itself.
- A member of a collection that cannot be read is named and not skipped.
- Answers that are no JSON raise something that is no error of sushy's.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests
import sushy
from sushy import connector, exceptions

from headwater.common.errors import LoginRefused, NoAnswer, Unreachable
from headwater.common.redact import shorten
from headwater.common.states import BootDevice, PowerAction
from headwater.db.pod_records import SeenMachine
from headwater.orchestrator.podm.drivers import Boot, DriverSettings, Inventory, PodRefused

_Result = TypeVar("_Result")

#: Answers that say "not now".
_BUSY = frozenset({429, 502, 503, 504})

_RESETS: Mapping[PowerAction, Any] = {
    PowerAction.ON: sushy.RESET_ON,
    PowerAction.OFF: sushy.RESET_FORCE_OFF,
    PowerAction.SHUTDOWN: sushy.RESET_GRACEFUL_SHUTDOWN,
    PowerAction.RESET: sushy.RESET_FORCE_RESTART,
}

#: What is kept of a system besides what has a column.
_PROPERTIES = ("Manufacturer", "Model", "SerialNumber", "SKU", "UUID", "AssetTag", "BiosVersion")


class BmcFleet:
    """A list of BMCs as one pod. One root per BMC is kept: logging in costs more than a call."""

    def __init__(self, settings: DriverSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._roots: dict[str, Any] = {}
        self._said = threading.local()

    def inventory(self, address: str) -> Inventory:
        """Read the systems of one BMC."""
        collection = self._asked(lambda: self._root(address).get_system_collection())
        found, unread = [], []
        for path in collection.members_identities:
            try:
                system = self._asked(lambda path=path: self._root(address).get_system(path))  # type: ignore[misc]
                found.append(_seen(address, path, system.json))
            except PodRefused:
                unread.append(address + path)
        return Inventory(found, unread)

    def power_state(self, uri: str) -> str | None:
        """Read it anew."""
        return _word(self._system(uri).json.get("PowerState"))

    def power(self, uri: str, action: PowerAction) -> None:
        """Order it once."""
        system = self._system(uri)
        self._asked(lambda: system.reset_system(_RESETS[action]), order=True)

    def boot(self, uri: str) -> Boot:
        """Read the override of the boot source."""
        said = _part(self._system(uri).json, "Boot")
        enabled = said.get("BootSourceOverrideEnabled")
        if enabled not in ("Once", "Continuous"):
            return Boot(None, once=False)
        return Boot(_word(said.get("BootSourceOverrideTarget")), once=enabled == "Once")

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> None:
        """Override the boot source."""
        system = self._system(uri)
        enabled = sushy.BOOT_SOURCE_ENABLED_ONCE if once else sushy.BOOT_SOURCE_ENABLED_CONTINUOUS
        self._asked(
            lambda: system.set_system_boot_options(sushy.BootSource(device.value), enabled),
            order=True,
        )

    def media(self, uri: str) -> str | None:
        """Read the virtual CD drive."""
        said = self._drive(uri).json
        image = said.get("Image")
        return image if said.get("Inserted") and isinstance(image, str) else None

    def set_media(self, uri: str, image: str | None) -> None:
        """Insert or eject; a drive that is full is emptied first."""
        drive = self._drive(uri)
        if drive.json.get("Inserted"):
            self._asked(drive.eject_media, order=True)
        if image is not None:
            self._asked(lambda: drive.insert_media(image), order=True)

    def _drive(self, uri: str) -> Any:
        """The virtual CD drive of a machine: its own, or (as it was before) its manager's."""
        system = self._system(uri)
        found = self._asked(lambda: _drives(system))
        for drive in found:
            kinds = drive.json.get("MediaTypes") or []
            if "CD" in kinds or "DVD" in kinds:
                return drive
        raise PodRefused("The machine has no virtual CD drive.")

    def _system(self, uri: str) -> Any:
        scheme, _, rest = uri.partition("://")
        host, _, path = rest.partition("/")
        address = f"{scheme}://{host}"
        return self._asked(lambda: self._root(address).get_system("/" + path))

    def _root(self, address: str) -> Any:
        with self._lock:
            root = self._roots.get(address)
        if root is None:
            root = self._connect(address)
            with self._lock:
                root = self._roots.setdefault(address, root)
        return root

    def _connect(self, address: str) -> Any:
        settings = self._settings

        def heard(response: requests.Response) -> None:
            self._said.retry_after = response.headers.get("Retry-After", "")

        connection = connector.Connector(
            address,
            verify=settings.cafile or True,
            response_callback=heard,
            # With 0 it would try three times, and orders as well.
            server_side_retries=1,
            server_side_retries_delay=1,
            default_request_timeout=settings.timeout,
            connect_timeout=settings.connect_timeout,
        )
        if settings.keep_alive:
            # sushy wants a new connection for each call and has no option for it.
            del connection._session.headers["Connection"]
        return sushy.Sushy(address, settings.username, settings.password, connector=connection)

    def _asked(self, call: Callable[[], _Result], *, order: bool = False) -> _Result:
        """Call, and translate errors by meaning."""
        self._said.retry_after = ""
        try:
            return call()
        except exceptions.AccessError as error:
            raise LoginRefused(f"Login refused: {shorten(error.message)}") from error
        except exceptions.HTTPError as error:
            text = shorten(f"{error.status_code}: {error.detail or error.message}")
            if error.status_code in _BUSY:
                raise Unreachable(text, self._retry_after()) from error
            raise PodRefused(text) from error
        except exceptions.ConnectionError as error:
            text = shorten(error.message)
            if order and not _never_sent(error):
                raise NoAnswer(text) from error
            raise Unreachable(text) from error
        except (exceptions.SushyError, ValueError, AttributeError, TypeError) as error:
            # The latter where an answer has another shape than sushy expects.
            raise PodRefused(shorten(f"{type(error).__name__}: {error}")) from error

    def _retry_after(self) -> float | None:
        said: str = getattr(self._said, "retry_after", "")
        return float(said) if said.isascii() and said.isdigit() else None


def _drives(system: Any) -> list[Any]:
    if "VirtualMedia" in system.json:
        return list(system.virtual_media.get_members())
    return [drive for each in system.managers for drive in each.virtual_media.get_members()]


def _never_sent(error: BaseException) -> bool:
    """Whether no connection could be made for a call."""
    cause = error.__context__
    if isinstance(cause, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    # requests has one class for connections that failed and those that broke.
    return isinstance(cause, requests.exceptions.ConnectionError) and (
        "NewConnectionError" in repr(cause) or "Failed to establish" in str(cause)
    )


def _seen(address: str, path: str, state: Mapping[str, Any]) -> SeenMachine:
    """A system from its JSON, of which any part may be missing or of another kind."""
    cpus = _part(state, "ProcessorSummary").get("Count")
    memory = _part(state, "MemorySummary").get("TotalSystemMemoryGiB")
    return SeenMachine(
        uri=address + path,
        name=str(state.get("Name") or state.get("Id") or path),
        power_state=_word(state.get("PowerState")),
        health=_word(_part(state, "Status").get("Health")),
        cpus=cpus if isinstance(cpus, int) else None,
        memory_mib=int(memory * 1024) if isinstance(memory, int | float) else None,
        properties={name: state[name] for name in _PROPERTIES if isinstance(state.get(name), str)},
    )


def _part(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = state.get(name)
    return part if isinstance(part, dict) else {}


def _word(value: object) -> str | None:
    return value[:16] if isinstance(value, str) else None

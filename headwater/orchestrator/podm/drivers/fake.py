# SPDX-License-Identifier: Apache-2.0
"""Machines that live in this process only, for tests and demonstrations without hardware.

Each address is one machine; one whose host begins with `podm` is a pod manager with eight resource
blocks in two zones, of which it composes. They answer at once, operations of theirs take a few
looks, and all is forgotten when the process ends.
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.common.errors import Unreachable
from headwater.common.states import BootDevice, ComponentKind, PowerAction
from headwater.db.pod_records import Reading, SeenComponent, SeenMachine
from headwater.orchestrator.podm.drivers import (
    Bios,
    Boot,
    DriverSettings,
    Inventory,
    NewVolume,
    Operation,
    PodRefused,
    Polled,
    Progress,
    Stage,
)

_SYSTEMS = "/redfish/v1/Systems/"
_BLOCKS = "/redfish/v1/CompositionService/ResourceBlocks/"
_ZONES = "/redfish/v1/CompositionService/ResourceZones/"

_REACHED = {
    PowerAction.ON: "On",
    PowerAction.OFF: "Off",
    PowerAction.SHUTDOWN: "Off",
    PowerAction.RESET: "On",
}

#: Looks that an operation takes.
_LOOKS = 3

#: Degrees, and watts of a machine that is on and of one that is off.
_DEGREES, _WATTS = 21.5, {"On": 220.0, "Off": 8.0}


@dataclass
class _Machine:
    name: str
    power: str = "Off"
    boot: Boot = field(default_factory=lambda: Boot(None, once=False))
    media: str | None = None
    bios: dict[str, Any] = field(default_factory=lambda: {"BootMode": "Uefi", "NumLock": True})
    pending: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    volumes: dict[str, NewVolume] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)


class _World:
    """All machines of the process. Calls hold `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.machines: dict[str, _Machine] = {}
        #: Looks that are left, by the operation's URI.
        self.operations: dict[str, int] = {}
        self.numbers = itertools.count(1)

    def operation(self, address: str) -> Operation:
        uri = f"{address}/redfish/v1/TaskService/Tasks/{next(self.numbers)}"
        self.operations[uri] = _LOOKS
        return Operation(uri)


_world = _World()


class FakePod:
    """Answers for every address but those whose host begins with `silent`."""

    def __init__(self, settings: DriverSettings):
        pass

    def inventory(self, address: str) -> Inventory:
        """One machine, or what the pod manager composed and its blocks."""
        _answer(address)
        with _world.lock:
            if not _is_manager(address):
                _machine(address + _SYSTEMS + "1")
            uris = [uri for uri in _world.machines if _address(uri) == address]
            machines = [_seen(uri) for uri in uris]
            components = list(_blocks(address)) if _is_manager(address) else []
        rack = SeenComponent(ComponentKind.CHASSIS, address + "/redfish/v1/Chassis/1", "rack", "OK")
        return Inventory(machines, components=[rack, *components])

    def drives(self, uri: str) -> Sequence[SeenComponent]:
        """One drive, and the volumes that were made."""
        with _world.lock:
            machine = _known(uri)
            volumes = [
                SeenComponent(ComponentKind.VOLUME, at, each.name, "OK", size_gib=each.size_gib)
                for at, each in machine.volumes.items()
            ]
        drive = SeenComponent(ComponentKind.DRIVE, f"{uri}/Drives/1", "disk", "OK", size_gib=960)
        return [drive, *volumes]

    def ports(self, uri: str) -> Sequence[SeenComponent]:
        """One."""
        _known(uri)
        return [SeenComponent(ComponentKind.PORT, f"{uri}/EthernetInterfaces/1", "port", "OK")]

    def poll(self, uri: str) -> Polled | None:
        """Sensors of a machine that is on, or off."""
        seen = self.system(uri)
        if seen is None:
            return None
        readings = [
            Reading("temperature_celsius", "inlet", _DEGREES),
            Reading("power_watts", "supply", _WATTS[seen.power_state or "Off"]),
        ]
        return Polled(seen, readings)

    def system(self, uri: str) -> SeenMachine | None:
        """One of them."""
        try:
            return _seen(uri)
        except PodRefused:
            return None

    def power_state(self, uri: str) -> str | None:
        """Off, until it is switched on."""
        return _known(uri).power

    def power(self, uri: str, action: PowerAction) -> Operation | None:
        """Reached at once; a machine that starts takes its new settings over."""
        with _world.lock:
            machine = _known(uri)
            machine.power = _REACHED[action]
            if machine.power == "On":
                machine.bios.update(machine.pending)
                machine.pending.clear()
        return None

    def boot(self, uri: str) -> Boot:
        """As its own settings say, until it is told otherwise."""
        return _known(uri).boot

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> Operation | None:
        """Taken at once, and kept."""
        _known(uri).boot = Boot(device.value, once)
        return None

    def media(self, uri: str) -> str | None:
        """Empty, until something is inserted."""
        return _known(uri).media

    def set_media(self, uri: str, image: str | None) -> Operation | None:
        """Taken at once; nobody looks at the image."""
        _known(uri).media = image
        return None

    def bios(self, uri: str) -> Bios:
        """Two settings."""
        with _world.lock:
            machine = _known(uri)
            return Bios(dict(machine.bios), dict(machine.pending))

    def set_bios(self, uri: str, attributes: Mapping[str, Any]) -> Operation | None:
        """Held from the next start on."""
        with _world.lock:
            machine = _known(uri)
            unknown = sorted(set(attributes) - set(machine.bios))
            if unknown:
                raise PodRefused(f"The machine has no such BIOS attributes: {', '.join(unknown)}.")
            machine.pending.update(attributes)
        return None

    def firmware(self, uri: str) -> Mapping[str, str]:
        """One piece."""
        return {"BMC": f"1.{_known(uri).version}"}

    def update_firmware(self, uri: str, image: str) -> Operation | None:
        """An operation of a few looks; the version rises at once."""
        with _world.lock:
            _known(uri).version += 1
            return _world.operation(_address(uri))

    def add_volume(self, uri: str, volume: NewVolume) -> Operation | None:
        """An operation; it is there at once."""
        with _world.lock:
            machine = _known(uri)
            machine.volumes[f"{uri}/Volumes/{next(_world.numbers)}"] = volume
            return _world.operation(_address(uri))

    def delete_volume(self, uri: str, volume: str) -> Operation | None:
        """At once."""
        with _world.lock:
            _known(uri).volumes.pop(volume, None)
        return None

    def compose(self, name: str, blocks: Sequence[str]) -> Operation | None:
        """An operation; the machine is there at once."""
        address = _address(blocks[0])
        with _world.lock:
            known = {each.uri: each for each in _blocks(address)}
            for each in blocks:
                if each not in known or known[each].state != "Unused":
                    raise PodRefused(f"409: {each} is not free.")
            if not set.intersection(*(set(known[each].zones) for each in blocks)):
                raise PodRefused("400: the blocks are of different zones.")
            uri = f"{address}{_SYSTEMS}{next(_world.numbers)}"
            _world.machines[uri] = _Machine(name, blocks=list(blocks))
            return _world.operation(address)

    def composed(self, blocks: Sequence[str]) -> str | None:
        """Which machine has them all."""
        _answer(blocks[0])
        with _world.lock:
            return next(
                (uri for uri, each in _world.machines.items() if set(blocks) == set(each.blocks)),
                None,
            )

    def is_composing(self, blocks: Sequence[str]) -> bool:
        """Never: a machine is there as soon as it is ordered."""
        return False

    def decompose(self, uri: str) -> Operation | None:
        """At once."""
        _answer(uri)
        with _world.lock:
            if _world.machines.pop(uri, None) is None:
                return None
            return _world.operation(_address(uri))

    def blocks(self, uri: str) -> Sequence[str]:
        """Of a composed one."""
        _answer(uri)
        with _world.lock:
            found = _world.machines.get(uri)
            return [] if found is None else list(found.blocks)

    def attach(self, uri: str, block: str) -> Operation | None:
        """At once."""
        with _world.lock:
            free = [each.uri for each in _blocks(_address(uri)) if _is_free(each)]
            if block not in free:
                raise PodRefused(f"409: {block} is not free.")
            _known(uri).blocks.append(block)
        return None

    def detach(self, uri: str, block: str) -> Operation | None:
        """At once."""
        with _world.lock:
            machine = _known(uri)
            machine.blocks = [each for each in machine.blocks if each != block]
        return None

    def operation(self, uri: str) -> Progress:
        """Nearer to its end with each look."""
        _answer(uri)
        with _world.lock:
            left = _world.operations.get(uri)
            if left is None:
                return Progress(Stage.GONE)
            _world.operations[uri] = max(0, left - 1)
            if left == 0:
                return Progress(Stage.DONE, 100)
            return Progress(Stage.RUNNING, 100 - 100 * left // (_LOOKS + 1), "At it.", 0.1)

    def subscribe(self, address: str, destination: str, context: str) -> str | None:
        """It has no events."""
        return None

    def unsubscribe(self, subscription: str) -> None:
        """Nothing is there to be ended."""


def _address(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _is_manager(address: str) -> bool:
    return address.partition("://")[2].startswith("podm")


def _answer(uri: str) -> None:
    if "://silent" in uri:
        raise Unreachable("No answer: it is called silent.")


def _known(uri: str) -> _Machine:
    """A machine. PodRefused where there is none, Unreachable for a silent one."""
    _answer(uri)
    with _world.lock:
        found = _world.machines.get(uri)
        if found is None and not _is_manager(_address(uri)):
            found = _machine(uri)
    if found is None:
        raise PodRefused(f"404: there is no {uri}.")
    return found


def _machine(uri: str) -> _Machine:
    """The one machine of an address that is no pod manager."""
    return _world.machines.setdefault(uri, _Machine(_address(uri).partition("://")[2]))


def _seen(uri: str) -> SeenMachine:
    machine = _known(uri)
    cpus, memory = 16, 65536
    if machine.blocks:
        known = {each.uri: each for each in _plain_blocks(_address(uri))}
        cpus = sum(known[each].cpus or 0 for each in machine.blocks)
        memory = sum(known[each].memory_mib or 0 for each in machine.blocks)
    return SeenMachine(
        uri=uri,
        name=machine.name,
        power_state=machine.power,
        health="OK",
        cpus=cpus,
        memory_mib=memory,
        properties={"Manufacturer": "headwater", "Model": "fake"},
        composed=bool(machine.blocks),
    )


def _plain_blocks(address: str) -> Sequence[SeenComponent]:
    """In each of two zones two blocks with processors and memory, two with drives."""
    found = []
    for zone, number in itertools.product((1, 2), (1, 2)):
        zones = (f"{address}{_ZONES}{zone}",)
        at = f"{address}{_BLOCKS}{zone}-{number}"
        size = 8 * number
        found += [
            SeenComponent(
                ComponentKind.BLOCK,
                f"{at}-compute",
                f"compute {zone}-{number}",
                "OK",
                cpus=size,
                memory_mib=4096 * size,
                zones=zones,
            ),
            SeenComponent(
                ComponentKind.BLOCK,
                f"{at}-drive",
                f"drive {zone}-{number}",
                "OK",
                size_gib=100 * size,
                zones=zones,
            ),
        ]
    return found


def _blocks(address: str) -> Sequence[SeenComponent]:
    taken = {each for machine in _world.machines.values() for each in machine.blocks}
    blocks = [
        replace(each, state="Composed" if each.uri in taken else "Unused")
        for each in _plain_blocks(address)
    ]
    zones = [
        SeenComponent(ComponentKind.ZONE, f"{address}{_ZONES}{number}", f"zone {number}", "OK")
        for number in (1, 2)
    ]
    return [*zones, *blocks]


def _is_free(component: SeenComponent) -> bool:
    return component.kind is ComponentKind.BLOCK and component.state == "Unused"

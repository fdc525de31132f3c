# SPDX-License-Identifier: Apache-2.0
"""What Redfish documents say, of which any part may be missing or absurd. Pure."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headwater.common.redact import storable
from headwater.common.states import ComponentKind
from headwater.db.pod_records import Reading, SeenComponent, SeenMachine

Json = Mapping[str, Any]

#: What is kept of a system besides what has a column.
_SYSTEM = ("Manufacturer", "Model", "SerialNumber", "SKU", "UUID", "AssetTag", "BiosVersion")

_GIB = 2**30

#: What columns of databases hold.
_LARGEST = 2**31 - 1

#: A path on the service itself; anything else could lead us, with our login, to another host.
_PATH = re.compile(r"/(?!/)[!-~]{0,900}")


def part(document: Json, *names: str) -> Json:
    """An object within objects; empty where it is missing."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def items(document: Json, name: str) -> Iterator[Json]:
    """The objects of a list."""
    found = document.get(name)
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict):
            yield each


def own_path(value: object) -> str | None:
    """A path on the service itself; None for whatever else it is."""
    return value if isinstance(value, str) and _PATH.fullmatch(value) else None


def link(document: Json, *names: str) -> str | None:
    """The path that an object within objects leads to."""
    return own_path(part(document, *names).get("@odata.id"))


def target(document: Json, action: str) -> str | None:
    """The path of an action."""
    return own_path(part(document, "Actions", action).get("target"))


def links(document: Json, name: str) -> list[str]:
    """The paths that a list leads to."""
    found = (link(each) for each in items(document, name))
    return [path for path in found if path is not None]


def word(value: object) -> str | None:
    """A short text."""
    return storable(value)[:16] if isinstance(value, str) else None


def machine(uri: str, document: Json) -> SeenMachine:
    """A ComputerSystem."""
    return SeenMachine(
        uri=uri,
        name=_name(document, uri),
        power_state=word(document.get("PowerState")),
        health=_health(document),
        cpus=_cores(part(document, "ProcessorSummary")),
        memory_mib=_times(part(document, "MemorySummary").get("TotalSystemMemoryGiB"), 1024),
        properties=_texts(document, _SYSTEM),
        composed=document.get("SystemType") == "Composed",
    )


def chassis(uri: str, document: Json) -> SeenComponent:
    """A rack, an enclosure, a blade."""
    names = ("ChassisType", "Manufacturer", "Model", "SerialNumber", "AssetTag")
    return _component(ComponentKind.CHASSIS, uri, document, _texts(document, names))


def zone(uri: str, document: Json) -> SeenComponent:
    """A ResourceZone."""
    return _component(ComponentKind.ZONE, uri, document, {})


def block(uri: str, address: str, document: Json, parts: Mapping[str, Json]) -> SeenComponent:
    """A ResourceBlock; `parts` are the documents of what it is made of, by their paths."""
    kinds = document.get("ResourceBlockType")
    types = [each for each in kinds if isinstance(each, str)] if isinstance(kinds, list) else []
    state = part(document, "CompositionStatus").get("CompositionState")
    known_state = storable(state)[:32] if isinstance(state, str) else None

    def total(name: str, *fields: str) -> float | None:
        found = [parts.get(path, {}) for path in links(document, name)]
        numbers = [_first_number(each, fields) for each in found]
        known = [each for each in numbers if each is not None]
        return min(sum(known), _LARGEST * _GIB) if known else None

    systems = [parts.get(path, {}) for path in links(document, "ComputerSystems")]
    cores = total("Processors", "TotalCores")
    memory = total("Memory", "CapacityMiB")
    drives = total("Drives", "CapacityBytes")
    if systems:
        seen = [machine("", each) for each in systems]
        cores = cores or sum(each.cpus or 0 for each in seen)
        memory = memory or sum(each.memory_mib or 0 for each in seen)
    return SeenComponent(
        ComponentKind.BLOCK,
        uri,
        _name(document, uri),
        _health(document),
        cpus=None if cores is None else min(int(cores), _LARGEST),
        memory_mib=None if memory is None else int(memory),
        size_gib=None if drives is None else int(drives / _GIB),
        state=known_state,
        zones=tuple(address + path for path in links(part(document, "Links"), "Zones")),
        properties={"types": types},
    )


def drive(uri: str, document: Json) -> SeenComponent:
    """A Drive."""
    names = ("MediaType", "Protocol", "Manufacturer", "Model", "SerialNumber", "Revision")
    return _component(ComponentKind.DRIVE, uri, document, _texts(document, names), _gib(document))


def volume(uri: str, document: Json) -> SeenComponent:
    """A Volume."""
    names = ("RAIDType", "VolumeType")
    return _component(ComponentKind.VOLUME, uri, document, _texts(document, names), _gib(document))


def port(uri: str, document: Json) -> SeenComponent:
    """An EthernetInterface."""
    properties: dict[str, Any] = _texts(
        document, ("MACAddress", "PermanentMACAddress", "LinkStatus")
    )
    speed = _integer(document.get("SpeedMbps"))
    if speed is not None:
        properties["SpeedMbps"] = speed
    addresses = [each.get("Address") for each in items(document, "IPv4Addresses")]
    properties["addresses"] = [each for each in addresses if isinstance(each, str)]
    return _component(ComponentKind.PORT, uri, document, properties)


def readings(documents: Mapping[str, Json]) -> Iterator[Reading]:
    """What sensors show, in documents by kind, each of which may be missing.

    Thermal and Power, or ThermalMetrics and EnvironmentMetrics of newer services (DSP2046); where
    both are there, fans and temperatures of Thermal count, which are the same sensors.
    """
    for each in items(documents.get("Thermal", {}), "Temperatures"):
        yield from _reading("temperature_celsius", each, each.get("ReadingCelsius"))
    for each in items(documents.get("Thermal", {}), "Fans"):
        yield from _reading("fan_speed", each, each.get("Reading"))
    for each in items(documents.get("Power", {}), "PowerControl"):
        yield from _reading("power_watts", each, each.get("PowerConsumedWatts"))
    if not documents.get("Thermal"):
        for each in items(documents.get("ThermalMetrics", {}), "TemperatureReadingsCelsius"):
            yield from _excerpt("temperature_celsius", each)
        for each in items(documents.get("EnvironmentMetrics", {}), "FanSpeedsPercent"):
            yield from _excerpt("fan_speed", each)
    for metric, name in (
        ("power_watts", "PowerWatts"),
        ("temperature_celsius", "TemperatureCelsius"),
    ):
        sensor = part(documents.get("EnvironmentMetrics", {}), name)
        yield from _reading(metric, {"Name": "environment"}, sensor.get("Reading"))


def _excerpt(metric: str, sensor: Json) -> Iterator[Reading]:
    """What a summary shows of a sensor: not its name, but where it is, if that."""
    source = own_path(sensor.get("DataSourceUri")) or ""
    said = sensor.get("DeviceName") or source.rpartition("/")[2] or sensor.get("PhysicalContext")
    yield from _reading(metric, {"Name": said}, sensor.get("Reading"))


def _reading(metric: str, sensor: Json, value: object) -> Iterator[Reading]:
    # Temperatures may be below zero.
    number = _number(value)
    if number is None and isinstance(value, int | float) and -1000 < value < 0:
        number = float(value)
    if number is not None:
        yield Reading(metric, _name(sensor, "")[:63], number)


def _component(
    kind: ComponentKind, uri: str, document: Json, properties: Json, size: int | None = None
) -> SeenComponent:
    return SeenComponent(
        kind, uri, _name(document, uri), _health(document), size_gib=size, properties=properties
    )


def _name(document: Json, uri: str) -> str:
    said = document.get("Name") or document.get("Id") or document.get("MemberId")
    return storable(str(said or uri.rpartition("/")[2]))[:255]


def _health(document: Json) -> str | None:
    return word(part(document, "Status").get("Health"))


def _texts(document: Json, names: tuple[str, ...]) -> dict[str, str]:
    return {name: document[name] for name in names if isinstance(document.get(name), str)}


def _gib(document: Json) -> int | None:
    size = _number(document.get("CapacityBytes"))
    return None if size is None else int(size / _GIB)


def _cores(summary: Json) -> int | None:
    """Cores, or processors where the machine does not tell (before DMTF's schema 1.14)."""
    cores = _integer(summary.get("CoreCount"))
    return _integer(summary.get("Count")) if cores is None else cores


def _integer(value: object) -> int | None:
    number = _number(value)
    return None if number is None or number > _LARGEST else int(number)


def _number(value: object) -> float | None:
    """A number that is none below zero, as nothing here is; Python's JSON reads NaN and 1e999."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and 0 <= number <= _LARGEST * _GIB else None


def _times(value: object, factor: int) -> int | None:
    number = _number(value)
    return None if number is None else int(number * factor)


def _first_number(document: Json, names: tuple[str, ...]) -> float | None:
    return next(
        (found for name in names if (found := _number(document.get(name))) is not None), None
    )

# SPDX-License-Identifier: Apache-2.0
"""What Redfish documents say, of which any part may be missing or of another kind. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from headwater.common.states import ComponentKind
from headwater.db.pod_records import Reading, SeenComponent, SeenMachine

Json = Mapping[str, Any]

#: What is kept of a system besides what has a column.
_SYSTEM = ("Manufacturer", "Model", "SerialNumber", "SKU", "UUID", "AssetTag", "BiosVersion")

_GIB = 2**30


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


def link(document: Json, *names: str) -> str | None:
    """The path that an object within objects leads to."""
    path = part(document, *names).get("@odata.id")
    return path if isinstance(path, str) and path.startswith("/") else None


def links(document: Json, name: str) -> list[str]:
    """The paths that a list leads to."""
    found = (link(each) for each in items(document, name))
    return [path for path in found if path is not None]


def word(value: object) -> str | None:
    """A short text."""
    return value[:16] if isinstance(value, str) else None


def machine(uri: str, document: Json) -> SeenMachine:
    """A ComputerSystem."""
    return SeenMachine(
        uri=uri,
        name=_name(document, uri),
        power_state=word(document.get("PowerState")),
        health=_health(document),
        cpus=_integer(part(document, "ProcessorSummary").get("Count")),
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
    known_state = state[:32] if isinstance(state, str) else None

    def total(name: str, *fields: str) -> float | None:
        found = [parts.get(path, {}) for path in links(document, name)]
        numbers = [_first_number(each, fields) for each in found]
        known = [each for each in numbers if each is not None]
        return sum(known) if known else None

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
        cpus=None if cores is None else int(cores),
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
    """What sensors show, in documents by kind: Thermal, Power, EnvironmentMetrics."""
    for each in items(documents.get("Thermal", {}), "Temperatures"):
        yield from _reading("temperature_celsius", each, each.get("ReadingCelsius"))
    for each in items(documents.get("Thermal", {}), "Fans"):
        yield from _reading("fan_speed", each, each.get("Reading"))
    for each in items(documents.get("Power", {}), "PowerControl"):
        yield from _reading("power_watts", each, each.get("PowerConsumedWatts"))
    for metric, name in (
        ("power_watts", "PowerWatts"),
        ("temperature_celsius", "TemperatureCelsius"),
    ):
        sensor = part(documents.get("EnvironmentMetrics", {}), name)
        yield from _reading(metric, {"Name": "environment"}, sensor.get("Reading"))


def _reading(metric: str, sensor: Json, value: object) -> Iterator[Reading]:
    number = _number(value)
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
    return str(said or uri.rpartition("/")[2])[:255]


def _health(document: Json) -> str | None:
    return word(part(document, "Status").get("Health"))


def _texts(document: Json, names: tuple[str, ...]) -> dict[str, str]:
    return {name: document[name] for name in names if isinstance(document.get(name), str)}


def _gib(document: Json) -> int | None:
    size = _number(document.get("CapacityBytes"))
    return None if size is None else int(size / _GIB)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    # JSON of BMCs has NaN and Infinity, of which no number of anything can be made.
    return number if math.isfinite(number) else None


def _times(value: object, factor: int) -> int | None:
    number = _number(value)
    return None if number is None else int(number * factor)


def _first_number(document: Json, names: tuple[str, ...]) -> float | None:
    return next(
        (found for name in names if (found := _number(document.get(name))) is not None), None
    )

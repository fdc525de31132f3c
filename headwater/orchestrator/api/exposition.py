# SPDX-License-Identifier: Apache-2.0
"""What is known of all machines in Prometheus' text format 0.0.4, as it is read."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from headwater.common import clock
from headwater.db import metrics
from headwater.db.connection import Database
from headwater.db.metrics import Exposed

#: Rows that one question to the database asks for.
_PAGE = 5000

#: What the name of a metric may not have, and what a label should not.
_UNFIT = re.compile(r"[^a-zA-Z0-9_]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

_HEALTHS: Mapping[str, float] = {"OK": 0.0, "Warning": 1.0, "Critical": 2.0}

_HELP: Mapping[str, str] = {
    "power_watts": "Power that the machine draws.",
    "temperature_celsius": "Temperature that a sensor of the machine shows.",
    "fan_speed": "Speed of a fan, in what its BMC counts it.",
}


def text(database: Database) -> Iterator[bytes]:
    """All families, one after the other, as the format demands it.

    The machines are read before anything is given, so that a database that is away is an error and
    not half an answer. They are kept until the end; values are read page by page.
    """
    machines = _machines(database)
    return _families(database, machines, metrics.names(database), metrics.fresh_since(database))


def _machines(database: Database) -> list[Exposed]:
    found: list[Exposed] = []
    while True:
        page = metrics.exposed(database, limit=_PAGE, after=found[-1].id if found else 0)
        found += page
        if len(page) < _PAGE:
            return found


def _families(
    database: Database, machines: Sequence[Exposed], names: Sequence[str], since: datetime
) -> Iterator[bytes]:
    labels = {each.id: _labels(each) for each in machines}
    now = clock.now()
    for name, explanation, value in _OF_MACHINES:
        yield _family(
            name,
            explanation,
            (
                (labels[each.id], number)
                for each in machines
                if (number := value(each, now)) is not None
            ),
        )
    # Two metrics may differ in what Prometheus does not take: then the first has the name.
    of_names: dict[str, str] = {}
    for metric in names:
        of_names.setdefault(_UNFIT.sub("_", metric), metric)
    taken = {name for name, _, _ in _OF_MACHINES}
    for name, metric in of_names.items():
        if name not in taken:
            explanation = _HELP.get(metric, "What a sensor of the machine shows.")
            yield _head(name, explanation)
            for page in _pages(database, metric, since):
                yield _samples(
                    name,
                    (
                        (f'{labels[machine_id]},sensor="{_escaped(sensor)}"', value)
                        for _, machine_id, sensor, value in page
                        if machine_id in labels
                    ),
                )


def _pages(
    database: Database, metric: str, since: datetime
) -> Iterator[Sequence[tuple[int, int, str, float]]]:
    last = 0
    while True:
        page = metrics.values_of(database, metric, since, limit=_PAGE, after=last)
        yield page
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _family(name: str, explanation: str, samples: Iterable[tuple[str, float]]) -> bytes:
    return _head(name, explanation) + _samples(name, samples)


def _head(name: str, explanation: str) -> bytes:
    full = f"headwater_machine_{name}"
    return f"# HELP {full} {explanation}\n# TYPE {full} gauge\n".encode()


def _samples(name: str, samples: Iterable[tuple[str, float]]) -> bytes:
    full = f"headwater_machine_{name}"
    return "".join(f"{full}{{{labels}}} {value!r}\n" for labels, value in samples).encode()


def _labels(machine: Exposed) -> str:
    pairs = {
        "pod": machine.pod_name,
        "machine": machine.uuid,
        "name": machine.name,
        "node": machine.node_name or "",
    }
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items())


def _escaped(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # Some line readers take these for ends of lines too, and none of them names anything.
    return _CONTROL.sub(" ", escaped)


def _power_on(machine: Exposed, now: datetime) -> float | None:
    return None if machine.power_state is None else float(machine.power_state == "On")


def _health(machine: Exposed, now: datetime) -> float | None:
    return _HEALTHS.get(machine.health or "")


def _seen(machine: Exposed, now: datetime) -> float | None:
    return round(max(0.0, (now - machine.seen_at).total_seconds()), 3)


#: Families with one value per machine: name, explanation, value.
_OF_MACHINES: Sequence[tuple[str, str, Callable[[Exposed, datetime], float | None]]] = (
    ("power_on", "1: the machine is on, 0: it is not.", _power_on),
    ("health", "0: OK, 1: warning, 2: critical.", _health),
    ("seen_seconds", "Seconds since the machine was last read.", _seen),
)

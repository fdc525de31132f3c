# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a machine, by what a poll saw of it. Pure.

An alarm is remembered from one poll to the next, so that an event is raised when something becomes
wrong and when it is over, and not at each poll in between.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from headwater.common.redact import storable
from headwater.common.states import EventSource, Severity
from headwater.db.pod_records import Reading, SeenMachine
from headwater.db.telemetry_records import NewEvent, Observation, Threshold, Watched

_SILENCE, _HEALTH = "silence", "health"

#: Readings of a machine that count.
_MOST_READINGS = 500

#: Characters of the names of a metric and of a sensor.
_LONGEST = 63

#: The higher, the more severe.
_RANKS: Mapping[Severity, int] = {each: number for number, each in enumerate(Severity)}

_HEALTHS: Mapping[str, Severity] = {
    "OK": Severity.OK,
    "Warning": Severity.WARNING,
    "Critical": Severity.CRITICAL,
}


def is_silent(machine: Watched) -> bool:
    """Whether it did not answer the last time."""
    return _SILENCE in machine.alarms


def silent(machine: Watched, reason: str) -> Observation:
    """A machine that did not answer; what else is wrong with it is not known now."""
    if _SILENCE in machine.alarms:
        return Observation(machine, None)
    event = NewEvent(
        machine.id, _SILENCE, Severity.WARNING, f"It does not answer: {reason}", EventSource.POLL
    )
    return Observation(machine, None, raised={_SILENCE: Severity.WARNING}, events=[event])


def answered(
    machine: Watched,
    seen: SeenMachine,
    readings: Sequence[Reading] | None,
    thresholds: Iterable[Threshold],
) -> Observation:
    """A machine that answered; `readings` is None where its sensors could not be read."""
    raised: dict[str, Severity] = {}
    cleared: list[str] = []
    events: list[NewEvent] = []

    def tell(kind: str, severity: Severity, message: str, source: EventSource) -> None:
        events.append(NewEvent(machine.id, kind, severity, message, source))

    if _SILENCE in machine.alarms:
        cleared.append(_SILENCE)
        tell(_SILENCE, Severity.OK, "It answers again.", EventSource.POLL)
    health = _HEALTHS.get(seen.health or "")
    if health is not None and health is not machine.alarms.get(_HEALTH, Severity.OK):
        if health is Severity.OK:
            cleared.append(_HEALTH)
        else:
            raised[_HEALTH] = health
        tell(_HEALTH, health, f"Its health is {seen.health}.", EventSource.POLL)
    if readings is not None:
        crossed = _crossed(machine.alarms, readings, thresholds)
        for name, (threshold, reading) in crossed.items():
            if machine.alarms.get(name) is not threshold.severity:
                raised[name] = threshold.severity
                tell(
                    threshold.metric,
                    threshold.severity,
                    f"{reading.sensor}: {reading.value:g} is {_limit(threshold)}.",
                    EventSource.THRESHOLD,
                )
        for name in sorted(machine.alarms.keys() - crossed.keys() - {_SILENCE, _HEALTH}):
            cleared.append(name)
            tell(name.split(" ", 1)[0], Severity.OK, f"Over: {name}.", EventSource.THRESHOLD)
    return Observation(machine, seen, readings or (), raised, cleared, events)


def _crossed(
    alarms: Mapping[str, Severity], readings: Sequence[Reading], thresholds: Iterable[Threshold]
) -> Mapping[str, tuple[Threshold, Reading]]:
    """Thresholds that are crossed now, or were and are not back yet, by the names of alarms."""
    found: dict[str, tuple[Threshold, Reading]] = {}
    for threshold in thresholds:
        for reading in readings:
            if reading.metric == threshold.metric:
                name = f"{reading.metric} {_limit(threshold)}: {reading.sensor}"
                known = found.get(name)
                # Of two policies with one limit the more severe one counts.
                if _is_crossed(threshold, reading.value, name in alarms) and (
                    known is None or _RANKS[threshold.severity] > _RANKS[known[0].severity]
                ):
                    found[name] = threshold, reading
    return found


def _is_crossed(threshold: Threshold, value: float, before: bool) -> bool:
    back = threshold.hysteresis if before else 0.0
    if threshold.above is not None:
        return value > threshold.above - back
    if threshold.below is not None:
        return value < threshold.below + back
    return False


def _limit(threshold: Threshold) -> str:
    # All digits: two thresholds of other values are two alarms.
    if threshold.above is not None:
        return f"above {_plain(threshold.above)}"
    return f"below {_plain(threshold.below or 0.0)}"


def _plain(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(value)


def usable(readings: Iterable[Reading]) -> list[Reading]:
    """Readings as they can be stored: numbers, with names that differ.

    BMCs have several sensors of one name, which get numbers in their order. Of very many the first
    ones count: a machine has some tens.
    """
    found: list[Reading] = []
    used: set[tuple[str, str]] = set()
    numbers: Counter[tuple[str, str]] = Counter()
    for each in itertools.islice(readings, _MOST_READINGS):
        metric, sensor = storable(each.metric)[:_LONGEST], storable(each.sensor)[:_LONGEST]
        name = sensor
        while (metric, name) in used:
            numbers[metric, sensor] += 1
            name = f"{sensor[: _LONGEST - 5]} {numbers[metric, sensor] + 1}"
        # One without a value keeps its name, or the others would change theirs.
        used.add((metric, name))
        if math.isfinite(each.value):
            found.append(Reading(metric, name, each.value))
    return found

# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a machine, by what a poll saw of it. Pure.

An alarm is remembered from one poll to the next, so that an event is raised when something becomes
wrong and when it is over, and not at each poll in between.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from headwater.common.redact import storable
from headwater.common.states import EventSource, Severity
from headwater.db.pod_records import Reading, SeenMachine
from headwater.db.telemetry_records import NewEvent, Observation, Threshold, Watched

_SILENCE, _HEALTH = "silence", "health"

#: Characters of the names of a metric and of a sensor.
_LONGEST = 63

_HEALTHS: Mapping[str, Severity] = {
    "OK": Severity.OK,
    "Warning": Severity.WARNING,
    "Critical": Severity.CRITICAL,
}


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
            if name not in machine.alarms:
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
                if _is_crossed(threshold, reading.value, name in alarms):
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
    if threshold.above is not None:
        return f"above {threshold.above:g}"
    return f"below {threshold.below:g}"


def usable(readings: Iterable[Reading]) -> list[Reading]:
    """Readings as they can be stored: numbers, with names that differ.

    BMCs have several sensors of one name, which get numbers in their order.
    """
    found: dict[tuple[str, str], Reading] = {}
    for each in readings:
        if not math.isfinite(each.value):
            continue
        metric, sensor = storable(each.metric)[:_LONGEST], storable(each.sensor)[:_LONGEST]
        name, number = sensor, 1
        while (metric, name) in found:
            number += 1
            name = f"{sensor[: _LONGEST - 5]} {number}"
        found[metric, name] = Reading(metric, name, each.value)
    return list(found.values())

# SPDX-License-Identifier: Apache-2.0
"""When something becomes wrong with a machine, when it is over, and what is told in between."""

import math
import unittest
from collections.abc import Mapping

from headwater.common.states import Severity
from headwater.db.pod_records import Reading
from headwater.db.telemetry_records import Observation, Threshold, Watched
from headwater.orchestrator.podm import alarms
from tests.support.pod_builders import URI, seen
from tests.support.telemetry_builders import HOT

COLD = Threshold("temperature_celsius", Severity.WARNING, below=5)


class AlarmsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.alarms: dict[str, Severity] = {}

    def take(self, found: Observation) -> list[tuple[str, Severity]]:
        """What is told; what is wrong is remembered as the database does it."""
        for name in found.cleared:
            del self.alarms[name]
        self.alarms.update(found.raised)
        return [(event.kind, event.severity) for event in found.events]

    def machine(self) -> Watched:
        return Watched(1, "u1", URI, "machine", "On", "OK", dict(self.alarms))

    def shows(
        self,
        values: Mapping[str, float] | None = None,
        *,
        health: str | None = "OK",
        thresholds: tuple[Threshold, ...] = (HOT, COLD),
    ) -> list[tuple[str, Severity]]:
        readings = None
        if values is not None:
            readings = [Reading("temperature_celsius", *each) for each in values.items()]
        return self.take(alarms.answered(self.machine(), seen(health=health), readings, thresholds))

    def test_a_crossing_is_told_once_and_its_end_once(self) -> None:
        told = [self.shows({"cpu": value}) for value in (80, 80.1, 95, 70, 70)]
        heat = [("temperature_celsius", Severity.CRITICAL)]
        over = [("temperature_celsius", Severity.OK)]
        self.assertEqual([[], heat, [], over, []], told)

    def test_a_value_at_the_border_does_not_flap(self) -> None:
        told = [len(self.shows({"cpu": value})) for value in (81, 79, 81, 76, 75, 79)]
        self.assertEqual([1, 0, 0, 0, 1, 0], told)

    def test_below(self) -> None:
        self.assertEqual([("temperature_celsius", Severity.WARNING)], self.shows({"in": 4.9}))
        self.assertEqual([("temperature_celsius", Severity.OK)], self.shows({"in": 5}))

    def test_each_sensor_has_its_own(self) -> None:
        self.assertEqual(2, len(self.shows({"cpu1": 90, "cpu2": 91, "in": 20})))
        self.assertEqual(1, len(self.shows({"cpu1": 90, "cpu2": 20, "in": 20})))
        self.assertEqual(["temperature_celsius above 80: cpu1"], list(self.alarms))

    def test_sensors_that_cannot_be_read_end_nothing(self) -> None:
        self.shows({"cpu": 90})
        self.assertEqual([], self.shows(None))
        self.assertEqual(1, len(self.shows({})))

    def test_without_its_threshold_an_alarm_ends(self) -> None:
        self.shows({"cpu": 90})
        self.assertEqual(1, len(self.shows({"cpu": 90}, thresholds=())))
        self.assertEqual({}, self.alarms)

    def test_health_is_told_when_it_changes(self) -> None:
        told = [
            self.shows(health=each)
            for each in ("OK", "Warning", "Warning", "Critical", None, "odd", "OK", "OK")
        ]
        severities = [[severity for _, severity in each] for each in told]
        warning, critical, over = [Severity.WARNING], [Severity.CRITICAL], [Severity.OK]
        self.assertEqual([[], warning, [], critical, [], [], over, []], severities)

    def test_silence_is_told_once_and_keeps_what_else_is_wrong(self) -> None:
        self.shows({"cpu": 90})
        silent = [self.take(alarms.silent(self.machine(), "timed out")) for _ in range(2)]
        self.assertEqual([[("silence", Severity.WARNING)], []], silent)
        self.assertEqual([("silence", Severity.OK)], self.shows({"cpu": 90}))
        self.assertEqual(["temperature_celsius above 80: cpu"], list(self.alarms))


class UsableTest(unittest.TestCase):
    def usable(self, *sensors: tuple[str, float]) -> list[tuple[str, float]]:
        found = alarms.usable(Reading("power_watts", *each) for each in sensors)
        return [(each.sensor, each.value) for each in found]

    def test_one_without_a_value_keeps_its_name(self) -> None:
        self.assertEqual([("PSU 2", 2)], self.usable(("PSU", math.nan), ("PSU", 2)))

    def test_of_very_many_the_first_count(self) -> None:
        self.assertEqual(500, len(self.usable(*(("x", number) for number in range(9000)))))

    def test_sensors_of_one_name_get_numbers(self) -> None:
        found = self.usable(("PSU", 1), ("PSU", 2), ("PSU 2", 3), ("PSU", 4))
        self.assertEqual([("PSU", 1), ("PSU 2", 2), ("PSU 2 2", 3), ("PSU 3", 4)], found)

    def test_names_are_as_long_as_their_column_and_storable(self) -> None:
        found = self.usable(("x" * 70, 1), ("x" * 71, 2), ("a\0\ud800", 3))
        self.assertEqual([63, 60, 3], [len(name) for name, _ in found])
        self.assertEqual("a\ufffd?", found[2][0])

    def test_what_is_no_number_is_left_out(self) -> None:
        self.assertEqual([], self.usable(("a", float("nan")), ("b", float("inf"))))

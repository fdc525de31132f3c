# SPDX-License-Identifier: Apache-2.0
"""Numbers that are none, and subscriptions that were made before, on a real HTTP peer."""

from headwater.db.pod_records import Reading
from tests.unit.orchestrator.podm.test_parts import CHASSIS, ROOT, PartsTestCase, to

EVENTS = f"{ROOT}/EventService"
SUBSCRIPTIONS = f"{EVENTS}/Subscriptions"


class NumbersTest(PartsTestCase):
    def test_what_is_no_number_of_anything_is_not_read(self) -> None:
        self.system["Links"] = {"Chassis": [to(CHASSIS)]}
        self.put(CHASSIS, Thermal=to(f"{CHASSIS}/Thermal"), Power={"@odata.id": 7})
        values = ["NaN", "Infinity", "1" + "0" * 400, "1e999", "true", "null", '"9"', "[9]", "-4"]
        sensors = ",".join(
            f'{{"Name": "t{at}", "ReadingCelsius": {value}}}' for at, value in enumerate(values)
        )
        self.bmc.faults["GET", f"{CHASSIS}/Thermal"] = lambda handler: handler.answer(
            200, f'{{"Temperatures": [{sensors}], "Fans": {{"Reading": 1}}}}'
        )
        wanted = [Reading("temperature_celsius", f"t{len(values) - 1}", -4.0)]
        self.assertEqual(wanted, self.readings())

    def test_sizes_without_end_are_not_known(self) -> None:
        self.system["MemorySummary"]["TotalSystemMemoryGiB"] = float("inf")
        (machine,) = self.driver.inventory(self.bmc.url).machines
        self.assertIsNone(machine.memory_mib)


class EarlierSubscriptionTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bmc.documents[ROOT]["EventService"] = to(EVENTS)
        self.put(EVENTS, Subscriptions=to(SUBSCRIPTIONS))
        self.put(SUBSCRIPTIONS, Members=[to(f"{SUBSCRIPTIONS}/{each}") for each in (1, 2)])
        self.put(f"{SUBSCRIPTIONS}/1", Context="somebody else")
        self.put(f"{SUBSCRIPTIONS}/2", Context="ours")

    def subscribe(self) -> str | None:
        return self.driver.subscribe(self.bmc.url, "http://here/x", "ours")

    def test_the_own_earlier_one_is_ended_first(self) -> None:
        self.take("DELETE", f"{SUBSCRIPTIONS}/2")
        self.take("POST", SUBSCRIPTIONS, 201, Location=f"{SUBSCRIPTIONS}/3")
        self.assertEqual(f"{self.bmc.url}{SUBSCRIPTIONS}/3", self.subscribe())
        self.assertEqual(["DELETE", "POST"], [method for method, _, _ in self.written])

    def test_a_service_that_does_not_say_where_it_is_is_asked(self) -> None:
        self.put(f"{SUBSCRIPTIONS}/2", Context="nobody's")
        self.take("POST", SUBSCRIPTIONS, 201)
        self.assertIsNone(self.subscribe())
        self.put(f"{SUBSCRIPTIONS}/2", Context="ours")
        self.take("DELETE", f"{SUBSCRIPTIONS}/2")
        self.assertEqual(f"{self.bmc.url}{SUBSCRIPTIONS}/2", self.subscribe())

# SPDX-License-Identifier: Apache-2.0
"""BIOS, firmware, storage, ports and sensors on a real HTTP peer; what is missing there."""

import json
from typing import Any

from headwater.common.errors import NoAnswer
from headwater.common.states import ComponentKind
from headwater.db.pod_records import Reading
from headwater.orchestrator.podm.drivers import Bios, NewVolume, Operation, PodRefused
from headwater.orchestrator.podm.drivers.redfish import PodManager
from tests.support.redfish import SYSTEM, SYSTEMS
from tests.support.waiting import PATIENCE
from tests.unit.orchestrator.podm.test_redfish import DriverSettings, DriverTestCase

ROOT = "/redfish/v1"
BIOS, BIOS_SETTINGS = f"{SYSTEM}/Bios", f"{SYSTEM}/Bios/Settings"
UPDATE = f"{ROOT}/UpdateService"
SIMPLE_UPDATE = f"{UPDATE}/Actions/UpdateService.SimpleUpdate"
STORAGE = f"{SYSTEM}/Storage"
VOLUMES = f"{STORAGE}/1/Volumes"
CHASSIS = f"{ROOT}/Chassis/1"
TASK = f"{ROOT}/TaskService/Tasks/1"
COMPOSITION = f"{ROOT}/CompositionService"
BLOCK = f"{COMPOSITION}/ResourceBlocks/1"

Json = dict[str, Any]


def to(path: str) -> dict[str, str]:
    return {"@odata.id": path}


class PartsTestCase(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.system = self.bmc.documents[SYSTEM]
        self.written: list[tuple[str, str, Json]] = []

    def put(self, path: str, **document: Any) -> None:
        self.bmc.documents[path] = {**to(path), **document}

    def readings(self) -> list[Reading]:
        polled = self.driver.poll(self.uri)
        assert polled is not None
        assert polled.readings is not None
        return list(polled.readings)

    def take(self, method: str, path: str, status: int = 204, **headers: str) -> None:
        """Take orders, and keep their bodies."""

        def taken(handler: Any) -> None:
            self.written.append((method, path, json.loads(handler.body or b"{}")))
            handler.answer(status, None, **headers)

        self.bmc.faults[method, path] = taken


class BiosTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.system["Bios"] = to(BIOS)
        settings = {"SettingsObject": to(BIOS_SETTINGS)}
        attributes = {"BootMode": "Uefi", "NumLock": True}
        self.put(BIOS, Attributes=attributes, **{"@Redfish.Settings": settings})
        self.put(BIOS_SETTINGS, Attributes={**attributes, "NumLock": False})

    def test_what_holds_and_what_waits(self) -> None:
        wanted = Bios({"BootMode": "Uefi", "NumLock": True}, {"NumLock": False})
        self.assertEqual(wanted, self.driver.bios(self.uri))

    def test_changes_go_where_the_service_wants_them(self) -> None:
        self.take("PATCH", BIOS_SETTINGS)
        self.driver.set_bios(self.uri, {"NumLock": False})
        body = {"Attributes": {"NumLock": False}}
        self.assertEqual([("PATCH", BIOS_SETTINGS, body)], self.written)

    def test_a_service_without_a_settings_object_is_written_directly(self) -> None:
        del self.bmc.documents[BIOS]["@Redfish.Settings"]
        self.take("PATCH", BIOS)
        self.driver.set_bios(self.uri, {"NumLock": False})
        self.assertEqual(1, len(self.written))
        self.assertEqual({}, self.driver.bios(self.uri).pending)

    def test_unknown_settings_are_named_and_not_sent(self) -> None:
        with self.assertRaises(PodRefused) as caught:
            self.driver.set_bios(self.uri, {"Warp": 9, "NumLock": True})
        self.assertIn("Warp", str(caught.exception))

    def test_a_password_is_masked_before_an_error_is_cut(self) -> None:
        password = "tiger  " * 10
        self.bmc.documents[BIOS]["Attributes"]["SetupPassword"] = None
        self.bmc.fail("PATCH", BIOS_SETTINGS, 400, f"{'x' * 270} {password}")
        with self.assertRaises(PodRefused) as caught:
            self.driver.set_bios(self.uri, {"SetupPassword": password})
        self.assertNotIn("tiger", str(caught.exception))

    def test_a_machine_without_bios_settings(self) -> None:
        del self.system["Bios"]
        with self.assertRaises(PodRefused):
            self.driver.bios(self.uri)


class FirmwareTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bmc.documents[ROOT]["UpdateService"] = to(UPDATE)
        self.put(
            UPDATE,
            FirmwareInventory=to(f"{UPDATE}/FirmwareInventory"),
            Actions={"#UpdateService.SimpleUpdate": {"target": SIMPLE_UPDATE}},
        )
        members = [to(f"{UPDATE}/FirmwareInventory/{name}") for name in ("BMC", "BIOS", "Odd")]
        self.put(f"{UPDATE}/FirmwareInventory", Members=members)
        self.put(members[0]["@odata.id"], Name="BMC", Version="1.2")
        self.put(members[1]["@odata.id"], Id="BIOS", Version="9")
        self.put(members[2]["@odata.id"], Name="Odd", Version=None)

    def test_versions_by_name(self) -> None:
        self.assertEqual({"BMC": "1.2", "BIOS": "9"}, self.driver.firmware(self.uri))

    def test_an_update_is_an_operation(self) -> None:
        self.take("POST", SIMPLE_UPDATE, 202, Location=TASK)
        made = self.driver.update_firmware(self.uri, "https://images/bmc.bin")
        self.assertEqual(Operation(self.bmc.url + TASK), made)
        body = {"ImageURI": "https://images/bmc.bin", "TransferProtocol": "HTTPS"}
        self.assertEqual([("POST", SIMPLE_UPDATE, body)], self.written)

    def test_of_several_machines_one_is_named(self) -> None:
        self.bmc.documents[SYSTEMS]["Members"].append(to(f"{SYSTEMS}/2"))
        self.take("POST", SIMPLE_UPDATE)
        self.driver.update_firmware(self.uri, "http://images/bmc.bin")
        self.assertEqual([SYSTEM], self.written[0][2]["Targets"])

    def test_a_lost_update_is_sent_once(self) -> None:
        self.bmc.cut("POST", SIMPLE_UPDATE)
        with self.assertRaises(NoAnswer):
            self.driver.update_firmware(self.uri, "http://images/bmc.bin")
        self.assertEqual(1, self.asked("POST", SIMPLE_UPDATE))

    def test_a_service_that_cannot_update(self) -> None:
        self.bmc.documents[UPDATE]["Actions"] = {}
        with self.assertRaises(PodRefused):
            self.driver.update_firmware(self.uri, "http://images/bmc.bin")
        del self.bmc.documents[ROOT]["UpdateService"]
        with self.assertRaises(PodRefused):
            self.make().firmware(self.uri)


class StorageTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.system["Storage"] = to(STORAGE)
        self.put(STORAGE, Members=[to(f"{STORAGE}/1")])
        drives = [to(f"{STORAGE}/1/Drives/{number}") for number in (1, 2)]
        self.put(f"{STORAGE}/1", Drives=drives, Volumes=to(VOLUMES))
        disk = {"Name": "disk", "CapacityBytes": 960 * 2**30, "MediaType": "SSD"}
        self.put(drives[0]["@odata.id"], **disk)
        self.put(drives[1]["@odata.id"], Id="2", CapacityBytes="much", Status=[])
        self.put(VOLUMES, Members=[to(f"{VOLUMES}/1")])
        self.put(f"{VOLUMES}/1", Name="data", CapacityBytes=100 * 2**30, RAIDType="RAID1")

    def test_drives_and_volumes_are_read(self) -> None:
        found = [
            (each.kind, each.name, each.size_gib, dict(each.properties))
            for each in self.driver.drives(self.uri)
        ]
        self.assertEqual(
            [
                (ComponentKind.DRIVE, "disk", 960, {"MediaType": "SSD"}),
                (ComponentKind.DRIVE, "2", None, {}),
                (ComponentKind.VOLUME, "data", 100, {"RAIDType": "RAID1"}),
            ],
            found,
        )

    def test_a_machine_without_storage_has_none(self) -> None:
        del self.system["Storage"]
        self.assertEqual([], self.driver.drives(self.uri))
        with self.assertRaises(PodRefused):
            self.driver.add_volume(self.uri, NewVolume("v", 1))

    def test_volumes_are_made_and_deleted(self) -> None:
        self.take("POST", VOLUMES, 201, Location=f"{VOLUMES}/2")
        self.take("DELETE", f"{VOLUMES}/1", 202, Location=TASK)
        self.assertIsNone(self.driver.add_volume(self.uri, NewVolume("v", 10, "RAID1")))
        wanted = {"Name": "v", "CapacityBytes": 10 * 2**30, "RAIDType": "RAID1"}
        self.assertEqual([("POST", VOLUMES, wanted)], self.written)
        made = self.driver.delete_volume(self.uri, f"{self.bmc.url}{VOLUMES}/1")
        self.assertEqual(Operation(self.bmc.url + TASK), made)

    def test_a_volume_that_is_gone_is_deleted(self) -> None:
        self.assertIsNone(self.driver.delete_volume(self.uri, f"{self.bmc.url}{VOLUMES}/9"))

    def test_a_volume_of_another_address_is_refused(self) -> None:
        with self.assertRaises(PodRefused):
            self.driver.delete_volume(self.uri, f"http://other.example{VOLUMES}/1")


class PortsTest(PartsTestCase):
    def test_ports_are_read(self) -> None:
        self.assertEqual([], self.driver.ports(self.uri))
        at = f"{SYSTEM}/EthernetInterfaces"
        self.system["EthernetInterfaces"] = to(at)
        self.put(at, Members=[to(f"{at}/1"), to(f"{at}/2")])
        addresses = [{"Address": "192.0.2.7"}, {"Address": None}, "odd"]
        self.put(
            f"{at}/1", Name="eth0", MACAddress="00:11", SpeedMbps=1000, IPv4Addresses=addresses
        )
        self.put(f"{at}/2", Id="2", SpeedMbps="fast")
        found = [(each.name, dict(each.properties)) for each in self.driver.ports(self.uri)]
        one = {"MACAddress": "00:11", "SpeedMbps": 1000, "addresses": ["192.0.2.7"]}
        self.assertEqual([("eth0", one), ("2", {"addresses": []})], found)


class ReadingsTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.system["Links"] = {"Chassis": [to(CHASSIS)]}
        self.put(CHASSIS, Thermal=to(f"{CHASSIS}/Thermal"), Power=to(f"{CHASSIS}/Power"))

    def test_sensors_are_read(self) -> None:
        temperatures = [{"Name": "inlet", "ReadingCelsius": 21}, {"Name": "x"}, "odd"]
        self.put(
            f"{CHASSIS}/Thermal", Temperatures=temperatures, Fans=[{"Name": "f", "Reading": 9}]
        )
        self.put(f"{CHASSIS}/Power", PowerControl=[{"MemberId": "0", "PowerConsumedWatts": 220.5}])
        self.assertEqual(
            [
                Reading("temperature_celsius", "inlet", 21.0),
                Reading("fan_speed", "f", 9.0),
                Reading("power_watts", "0", 220.5),
            ],
            self.readings(),
        )

    def test_newer_services_have_them_in_one_document(self) -> None:
        self.put(CHASSIS, EnvironmentMetrics=to(f"{CHASSIS}/EnvironmentMetrics"))
        self.put(f"{CHASSIS}/EnvironmentMetrics", PowerWatts={"Reading": 90}, TemperatureCelsius=[])
        wanted = [Reading("power_watts", "environment", 90.0)]
        self.assertEqual(wanted, self.readings())

    def test_the_successor_of_thermal_is_read(self) -> None:
        thermal, environment = f"{CHASSIS}/ThermalSubsystem", f"{CHASSIS}/EnvironmentMetrics"
        self.put(CHASSIS, ThermalSubsystem=to(thermal), EnvironmentMetrics=to(environment))
        self.put(thermal, ThermalMetrics=to(f"{thermal}/ThermalMetrics"))
        temperatures = [
            {"DeviceName": "CPU 1", "Reading": 61, "DataSourceUri": f"{CHASSIS}/Sensors/1"},
            {
                "DataSourceUri": f"{CHASSIS}/Sensors/49L0",
                "Reading": 25,
                "PhysicalContext": "Intake",
            },
            {"DataSourceUri": 7, "Reading": -3, "PhysicalContext": "Exhaust"},
            {"DeviceName": "off", "Reading": None},
        ]
        self.put(f"{thermal}/ThermalMetrics", TemperatureReadingsCelsius=temperatures)
        self.put(environment, FanSpeedsPercent=[{"DeviceName": "Fan 1", "Reading": 40}])
        successors = [
            Reading("temperature_celsius", "CPU 1", 61.0),
            Reading("temperature_celsius", "49L0", 25.0),
            Reading("temperature_celsius", "Exhaust", -3.0),
            Reading("fan_speed", "Fan 1", 40.0),
        ]
        self.assertEqual(successors, self.readings())
        self.bmc.documents[CHASSIS]["Thermal"] = to(f"{CHASSIS}/Thermal")
        self.put(f"{CHASSIS}/Thermal", Temperatures=[{"Name": "CPU", "ReadingCelsius": 60}])
        self.assertEqual([Reading("temperature_celsius", "CPU", 60.0)], self.readings())

    def test_the_machine_is_read_once(self) -> None:
        self.readings()
        self.assertEqual(1, self.bmc.asked.count(("GET", SYSTEM)))

    def test_sensors_that_cannot_be_read_are_not_known(self) -> None:
        self.bmc.faults["GET", f"{CHASSIS}/Thermal"] = lambda handler: handler.answer(500)
        polled = self.driver.poll(self.uri)
        assert polled is not None
        self.assertEqual((self.uri, None), (polled.machine.uri, polled.readings))

    def test_a_machine_that_is_gone_is_none(self) -> None:
        self.assertIsNone(self.driver.poll(self.uri + "0"))

    def test_what_is_linked_and_not_there_shows_nothing(self) -> None:
        self.assertEqual([], self.readings())


class PodManagerTest(PartsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.manager = PodManager(DriverSettings("admin", "tiger", None, PATIENCE, PATIENCE))
        self.bmc.documents[ROOT]["CompositionService"] = to(COMPOSITION)
        self.put(
            COMPOSITION,
            ResourceBlocks=to(f"{COMPOSITION}/ResourceBlocks"),
            ResourceZones=to(f"{COMPOSITION}/ResourceZones"),
        )
        self.put(f"{COMPOSITION}/ResourceBlocks", Members=[to(BLOCK), to(f"{BLOCK}0")])
        self.put(f"{COMPOSITION}/ResourceZones", Members=[to(f"{COMPOSITION}/ResourceZones/1")])
        self.put(f"{COMPOSITION}/ResourceZones/1", Name="zone")
        self.put(
            BLOCK,
            Name="block",
            CompositionStatus={"CompositionState": "Unused"},
            Links={"Zones": [to(f"{COMPOSITION}/ResourceZones/1")]},
            Processors=[to(f"{BLOCK}/Processors/1"), to(f"{BLOCK}/Processors/2")],
            Memory=[to(f"{BLOCK}/Memory/1")],
        )
        for number in (1, 2):
            self.put(f"{BLOCK}/Processors/{number}", TotalCores=8)
        self.put(f"{BLOCK}/Memory/1", CapacityMiB=4096)

    def test_blocks_and_zones_are_read_and_dead_ones_named(self) -> None:
        found = self.manager.inventory(self.bmc.url)
        self.assertEqual([f"{self.bmc.url}{BLOCK}0"], list(found.unread))
        zone, block = found.components
        self.assertEqual((ComponentKind.ZONE, "zone"), (zone.kind, zone.name))
        self.assertEqual(
            ("block", 16, 4096, None, "Unused", (zone.uri,)),
            (
                block.name,
                block.cpus,
                block.memory_mib,
                block.size_gib,
                block.state,
                block.zones,
            ),
        )

    def test_a_pod_manager_that_composes_nothing_has_machines(self) -> None:
        del self.bmc.documents[ROOT]["CompositionService"]
        manager = PodManager(DriverSettings("admin", "tiger", None, PATIENCE, PATIENCE))
        found = manager.inventory(self.bmc.url)
        self.assertEqual((1, []), (len(found.machines), list(found.components)))

    def test_a_machine_is_composed_found_and_taken_apart(self) -> None:
        block = self.bmc.url + BLOCK
        self.take("POST", SYSTEMS, 202, Location=TASK)
        made = self.manager.compose("n1", [block])
        self.assertEqual(Operation(self.bmc.url + TASK), made)
        wanted = {"Name": "n1", "Links": {"ResourceBlocks": [to(BLOCK)]}}
        self.assertEqual([("POST", SYSTEMS, wanted)], self.written)
        self.assertIsNone(self.manager.composed([block]))
        self.bmc.documents[BLOCK]["Links"]["ComputerSystems"] = [to(SYSTEM)]
        self.assertIsNone(self.manager.composed([block]))
        self.system["Links"] = {"ResourceBlocks": [to(BLOCK)]}
        self.assertEqual(self.uri, self.manager.composed([block]))
        self.assertIsNone(self.manager.composed([block, f"{block}0"]))
        self.take("DELETE", SYSTEM)
        self.manager.decompose(self.uri)
        del self.bmc.documents[SYSTEM]
        self.assertIsNone(self.manager.system(self.uri))
        self.bmc.faults.clear()
        self.assertIsNone(self.manager.decompose(self.uri))

    def test_blocks_in_use_are_not_composed(self) -> None:
        block = self.bmc.url + BLOCK
        document = self.bmc.documents[BLOCK]
        for change in (
            {"CompositionStatus": {"CompositionState": "ComposedAndAvailable"}},
            {"CompositionStatus": {"CompositionState": "Composing"}},
            {"Links": {"ComputerSystems": [to(SYSTEM)]}},
            {"Reserved": True},
        ):
            before = dict(document)
            document.update(change)
            with self.subTest(change), self.assertRaises(PodRefused) as caught:
                self.manager.compose("n1", [block])
            self.assertIn("in use", str(caught.exception))
            document.clear()
            document.update(before)
        self.assertEqual(0, self.asked("POST", SYSTEMS))

    def test_another_machine_with_more_blocks_is_not_ours(self) -> None:
        block = self.bmc.url + BLOCK
        self.bmc.documents[BLOCK]["Links"]["ComputerSystems"] = [to(SYSTEM)]
        self.system["Links"] = {"ResourceBlocks": [to(BLOCK), to(f"{BLOCK}0")]}
        self.assertIsNone(self.manager.composed([block]))

    def test_a_pod_that_is_at_it_is_seen_by_its_blocks(self) -> None:
        block = self.bmc.url + BLOCK
        self.assertFalse(self.manager.is_composing([block, f"{block}-gone"]))
        self.bmc.documents[BLOCK]["CompositionStatus"] = {"CompositionState": "Composing"}
        self.assertTrue(self.manager.is_composing([f"{block}-gone", block]))

    def test_settings_are_written_on_the_condition_that_they_are_as_they_were_read(self) -> None:
        self.system["Links"] = {"ResourceBlocks": [to(BLOCK)]}
        conditions = []

        def show(handler: Any) -> None:
            handler.answer(200, self.system, ETag='"5"')

        def write(handler: Any) -> None:
            conditions.append(handler.headers.get("If-Match"))
            handler.answer(204)

        self.bmc.faults["GET", SYSTEM], self.bmc.faults["PATCH", SYSTEM] = show, write
        self.manager.attach(self.uri, f"{self.bmc.url}{BLOCK}0")
        self.assertEqual(['"5"'], conditions)

    def test_blocks_are_added_and_removed_by_action_or_by_list(self) -> None:
        self.system["Links"] = {"ResourceBlocks": [to(BLOCK)]}
        other = f"{BLOCK}0"
        self.take("PATCH", SYSTEM)
        self.manager.attach(self.uri, self.bmc.url + other)
        self.manager.detach(self.uri, self.bmc.url + BLOCK)
        lists = [body["Links"]["ResourceBlocks"] for _, _, body in self.written]
        self.assertEqual([[to(BLOCK), to(other)], []], lists)
        target = f"{SYSTEM}/Actions/ComputerSystem.AddResourceBlock"
        self.system["Actions"]["#ComputerSystem.AddResourceBlock"] = {"target": target}
        self.take("POST", target)
        self.manager.attach(self.uri, self.bmc.url + other)
        self.assertEqual(("POST", target, {"ResourceBlock": to(other)}), self.written[-1])

    def test_fixed_machines_are_not_composed(self) -> None:
        block = self.bmc.url + BLOCK
        for call in (
            lambda: self.driver.compose("n1", [block]),
            lambda: self.driver.decompose(self.uri),
            lambda: self.driver.attach(self.uri, block),
            lambda: self.driver.detach(self.uri, block),
        ):
            with self.assertRaises(PodRefused):
                call()


class SubscriptionTest(PartsTestCase):
    def test_a_service_without_events(self) -> None:
        self.assertIsNone(self.driver.subscribe(self.bmc.url, "http://here/x", "pod"))

    def test_subscribed_and_ended(self) -> None:
        events = f"{ROOT}/EventService"
        subscriptions = f"{events}/Subscriptions"
        self.bmc.documents[ROOT]["EventService"] = to(events)
        self.put(events, Subscriptions=to(subscriptions))
        self.take("POST", subscriptions, 201, Location=f"{subscriptions}/1")
        made = self.driver.subscribe(self.bmc.url, "http://here/x", "pod")
        self.assertEqual(f"{self.bmc.url}{subscriptions}/1", made)
        self.assertEqual("http://here/x", self.written[0][2]["Destination"])
        self.take("DELETE", f"{subscriptions}/1")
        self.driver.unsubscribe(str(made))
        self.bmc.faults.clear()
        self.driver.unsubscribe(str(made))

# SPDX-License-Identifier: Apache-2.0
"""Telemetry end to end: commands, engine, workers, a real sushy-emulator and a BMC of our own."""

import pathlib
import re
import socket
import tempfile
from typing import Any, ClassVar

import requests

from tests.functional.shell import ShellTest
from tests.services.emulator import Emulator
from tests.support.redfish import SYSTEM, FaultyBmc, Handler
from tests.support.waiting import PATIENCE, eventually

ROOT = "/redfish/v1"
CHASSIS = f"{ROOT}/Chassis/1"
SUBSCRIPTIONS = f"{ROOT}/EventService/Subscriptions"
TOKEN = "a-token-of-prometheus"
SECRET: dict[str, str] = {"HEADWATER_POD_PASSWORD": "tiger"}


class HotBmc(FaultyBmc):
    """It is too hot, and sends events to whoever asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.destinations: list[str] = []
        root, system = self.documents[ROOT], self.documents[SYSTEM]
        root["EventService"] = {"@odata.id": f"{ROOT}/EventService"}
        system["Links"] = {"Chassis": [{"@odata.id": CHASSIS}]}
        self.documents[f"{ROOT}/EventService"] = {"Subscriptions": {"@odata.id": SUBSCRIPTIONS}}
        self.documents[SUBSCRIPTIONS] = {"Members": []}
        self.documents[CHASSIS] = {"Thermal": {"@odata.id": f"{CHASSIS}/Thermal"}}
        self.heat(95)

    def heat(self, degrees: float) -> None:
        """Let it be so hot."""
        sensors = [{"Name": "CPU", "ReadingCelsius": degrees}]
        self.documents[f"{CHASSIS}/Thermal"] = {"Temperatures": sensors}

    def serve(self, handler: Handler, method: str, path: str) -> None:
        """Also take subscriptions."""
        if (method, path) == ("POST", SUBSCRIPTIONS):
            self.destinations.append(handler.document["Destination"])
            handler.answer(201, {}, Location=f"{SUBSCRIPTIONS}/1")
        elif (method, path) == ("DELETE", f"{SUBSCRIPTIONS}/1"):
            self.destinations.clear()
            handler.answer(204)
        else:
            super().serve(handler, method, path)


def press(emulator: Emulator, name: str) -> None:
    """Switch a machine on as its owner does, without headwater."""
    members = requests.get(f"{emulator.url}{ROOT}/Systems", timeout=PATIENCE).json()["Members"]
    for each in members:
        uri = emulator.url + each["@odata.id"]
        if requests.get(uri, timeout=PATIENCE).json()["Name"] == name:
            reset = f"{uri}/Actions/ComputerSystem.Reset"
            requests.post(reset, json={"ResetType": "On"}, timeout=PATIENCE).raise_for_status()


class TelemetryTest(ShellTest):
    regions: ClassVar = ()

    @classmethod
    def setUpClass(cls) -> None:
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (directory / "token").write_text(TOKEN)
        # Bound but never listening: the kernel gives the port to nobody else.
        reservation = cls.enterClassContext(socket.socket())
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        cls.address = f"127.0.0.1:{reservation.getsockname()[1]}"
        cls.options = {
            "api": {"listen": cls.address},
            "pods": {
                "event_url": f"http://{cls.address}",
                "metrics_token_file": directory / "token",
            },
        }
        super().setUpClass()

    def exposed(self) -> str:
        """What Prometheus reads."""
        answer = requests.get(
            f"http://{self.address}/v1/metrics",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=PATIENCE,
        )
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.text

    def get(self, path: str) -> dict[str, Any]:
        """What the administrator reads."""
        answer = requests.get(
            f"http://{self.address}{path}",
            headers={"X-Auth-Token": self.system.central.admin_session().get_token()},
            timeout=PATIENCE,
        )
        found: dict[str, Any] = answer.json()
        return found

    def told(self, source: str, severity: str) -> dict[str, Any]:
        """An event once it is there."""

        def look() -> dict[str, Any] | None:
            found = self.get("/v1/pod_events")["pod_events"]
            return next(
                (e for e in found if (e["source"], e["severity"]) == (source, severity)), None
            )

        event: dict[str, Any] = eventually(look, f"an event of {source}, {severity}", every=0.1)
        return event

    def test_machines_are_polled_and_exposed(self) -> None:
        emulator = self.enterContext(
            Emulator(self.system.directory / "emulator", ("node-1", "node-2"))
        )
        self.openstack("pod", "add", "rack-7", "--address", emulator.url, **SECRET)
        create = ("pod", "telemetry", "policy", "create")
        self.openstack(*create, "often", "--interval", "5", "--description", "all")
        eventually(
            lambda: self.exposed().count("headwater_machine_power_on{") >= 2,
            "the inventory in the exposition",
            every=0.1,
        )
        press(emulator, "node-1")
        on = re.compile(r'headwater_machine_power_on{pod="rack-7",[^}]*name="node-1"[^}]*} 1\.0')
        eventually(lambda: on.search(self.exposed()), "the poll", 2 * PATIENCE, 0.2)
        listed = self.ask("pod", "telemetry", "policy", "list")
        self.assertIn(("often", 5), [(each["Name"], each["Interval"]) for each in listed])
        self.openstack("pod", "telemetry", "policy", "set", "often", "--interval", "3600")
        shown = self.ask("pod", "telemetry", "policy", "show", "often")
        self.assertEqual((3600, "all"), (shown["interval"], shown["description"]))
        self.openstack("pod", "telemetry", "policy", "delete", "often")

    def test_heat_is_told_and_an_event_of_the_pod_lets_it_be_read_at_once(self) -> None:
        bmc = self.enterContext(HotBmc())
        self.openstack("pod", "add", "hot", "--address", bmc.url, "--label", "row=b", **SECRET)
        eventually(lambda: self.get("/v1/pods/hot")["pod"]["synced_at"], "the inventory", every=0.1)
        heat = ("--above", "temperature_celsius=80:critical:5", "--label", "row=b")
        # It would poll again in an hour.
        create = ("pod", "telemetry", "policy", "create")
        self.openstack(*create, "heat", "--interval", "3600", *heat)
        event = self.told("threshold", "critical")
        self.assertEqual(
            ("hot", "temperature_celsius", "CPU: 95 is above 80."),
            (event["pod"], event["kind"], event["message"]),
        )
        (destination,) = eventually(lambda: bmc.destinations, "the subscription", every=0.1)
        bmc.heat(40)
        sent = {
            "MessageId": "Alert.1.0.Cooled",
            "Message": "Cooler now.",
            "MessageSeverity": "OK",
            "OriginOfCondition": {"@odata.id": f"{CHASSIS}/Thermal"},
        }
        answer = requests.post(destination, json={"Events": [sent]}, timeout=PATIENCE)
        self.assertEqual(204, answer.status_code, answer.text)
        self.assertEqual("Cooler now.", self.told("redfish", "ok")["message"])
        self.told("threshold", "ok")
        values = self.ask("pod", "metric", "list", "server-1")
        self.assertEqual(40, next(each["Value"] for each in values))
        history = self.ask("pod", "metric", "list", "server-1", "--since", "1h")
        self.assertEqual([95], [each["Value"] for each in history])
        listed = self.ask("pod", "event", "list", "--machine", "server-1", "--severity", "critical")
        self.assertEqual(["threshold"], [each["Source"] for each in listed])
        self.openstack("pod", "delete", "hot")
        self.assertEqual([], bmc.destinations)
        gone = requests.post(destination, json={"Events": [sent]}, timeout=PATIENCE)
        self.assertEqual(404, gone.status_code)
        secret = destination.rpartition("/")[2]
        self.assertNotIn(secret, self.system.process.log())

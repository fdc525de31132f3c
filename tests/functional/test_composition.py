# SPDX-License-Identifier: Apache-2.0
"""Composed nodes end to end: the real API and workers, a composing layer over a real emulator."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import requests

from tests.functional.shell import ShellTest
from tests.functional.test_pods import PodSystemTest
from tests.services.emulator import Emulator
from tests.services.podm import BLOCKS, SIMPLE_UPDATE, SYSTEMS, USUAL_BLOCKS, ComposingPod
from tests.support.redfish import Handler
from tests.support.waiting import PATIENCE, eventually


class CompositionTestCase(PodSystemTest):
    """Each test has a pod manager of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.podm = self.enterContext(ComposingPod(self.emulator, USUAL_BLOCKS))
        self.pod = self.add(self.podm.url, driver="redfish")
        eventually(self._is_read, "the inventory")

    def _is_read(self) -> bool:
        return self.ask("GET", f"/v1/pods/{self.pod}")["pod"]["synced_at"] is not None

    def api(self) -> str:
        return "http://" + self.system.process.wait_for(r"The API listens on http://(\S+)")[1]

    def compose(self, **needs: object) -> str:
        """Order a node in the test's pod; its name."""
        name = self.unique("node")
        self.ask("POST", "/v1/nodes", {"node": {"name": name, "pod": self.pod, **needs}})
        return name

    def node(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/v1/nodes/{name}")["node"]
        return found

    def ready(self, name: str) -> dict[str, Any]:
        """A node once it is ready."""
        return eventually(
            lambda: node if (node := self.node(name))["state"] == "ready" else None,
            f"{name} to be ready",
            2 * PATIENCE,
        )

    def is_gone(self, name: str) -> bool:
        return all(each["name"] != name for each in self.ask("GET", "/v1/nodes")["nodes"])

    def order(self, name: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Order something for a node, and wait until that has ended."""
        return self.ended(self.ask("POST", f"/v1/nodes/{name}/{what}", body)["task"]["id"])

    def blocks(self, name: str) -> set[str]:
        """Names of the resource blocks that are reserved for a node."""
        found = self.ask("GET", f"/v1/components?node={name}")["components"]
        return {each["name"] for each in found}

    def restart(self) -> None:
        """kill -9, and a new start."""
        self.system.process.kill()
        self.system.process = self.system.start("headwater-all-in-one")


class Composition(CompositionTestCase):
    def test_a_node_lives_from_its_flavor_to_its_end(self) -> None:
        flavor = self.unique("flavor")
        needs = {"cpus": 4, "memory_mib": 16384, "storage_gib": 400}
        self.ask("POST", "/v1/flavors", {"flavor": {"name": flavor, **needs}})
        name = self.compose(flavor=flavor)
        machine = self.ready(name)["machine"]
        self.assertEqual({"compute-1", "drives-1"}, self.blocks(name))
        self.assertEqual(
            (8, 32768, True), tuple(machine[k] for k in ("cpus", "memory_mib", "composed"))
        )
        self.assertEqual("completed", self.order(name, "power", {"action": "on"})["state"])

        self.assertEqual("completed", self.order(name, "attach", {"size_gib": 600})["state"])
        self.assertEqual({"compute-1", "drives-1", "drives-2"}, self.blocks(name))
        self.assertEqual({"compute-2", "compute-3", "drives-3"}, self.podm.free())
        listed = self.ask("GET", f"/v1/components?node={name}")["components"]
        (block,) = (each["id"] for each in listed if each["name"] == "drives-2")
        self.assertEqual("completed", self.order(name, "detach", {"block": block})["state"])
        self.assertIn("drives-2", self.podm.free())
        refused = self.post(f"/v1/nodes/{name}/attach", {"size_gib": 99999})
        self.assertEqual(409, refused.status_code)

        self.order(name, "bios", {"attributes": {"NumLock": False}})
        bios = self.ask("GET", f"/v1/nodes/{name}/bios")["bios"]
        self.assertEqual(
            (True, {"NumLock": False}), (bios["attributes"]["NumLock"], bios["pending"])
        )
        self.order(name, "power", {"action": "reset"})
        bios = self.ask("GET", f"/v1/nodes/{name}/bios")["bios"]
        self.assertEqual((False, {}), (bios["attributes"]["NumLock"], bios["pending"]))
        unknown = self.order(name, "bios", {"attributes": {"Warp": 9}})
        self.assertEqual("failed", unknown["state"])
        self.assertIn("Warp", unknown["error"])

        made = self.order(name, "volumes", {"volume": {"name": "data", "size_gib": 100}})
        self.assertEqual("completed", made["state"])
        query = f"/v1/components?machine={machine['id']}"
        read = self.ask("GET", f"{query}&refresh=20")["components"]
        kinds = {each["kind"]: each for each in read}
        self.assertEqual({"drive", "volume", "port"}, set(kinds))
        self.assertEqual(("data", 100), (kinds["volume"]["name"], kinds["volume"]["size_gib"]))
        path = f"/v1/nodes/{name}/volumes/{kinds['volume']['id']}"
        self.assertEqual("completed", self.ended(self.ask("DELETE", path)["task"]["id"])["state"])

        self.assertEqual("completed", self.order(name, "release", {})["state"])
        self.assertTrue(self.is_gone(name))
        self.assertEqual(set(USUAL_BLOCKS), self.podm.free())
        self.assertEqual(["Off"] * 3, self.emulator.power_states())
        self.assertEqual([], self.ask("GET", f"/v1/machines?pod={self.pod}")["machines"])

    def post(self, path: str, body: object) -> requests.Response:
        token = self.system.central.admin_session().get_token()
        return requests.post(
            self.api() + path, json=body, headers={"X-Auth-Token": token}, timeout=2 * PATIENCE
        )

    def test_of_twenty_at_a_time_as_many_succeed_as_there_are_blocks(self) -> None:
        def client(number: int) -> tuple[str, int]:
            name = f"{self.pod}-{number}"
            wanted = {"node": {"name": name, "pod": self.pod, "cpus": 1}}
            return name, self.post("/v1/nodes", wanted).status_code

        with ThreadPoolExecutor(20) as pool:
            answers = dict(pool.map(client, range(20)))
        # Three resource blocks have processors.
        self.assertEqual([202] * 3 + [409] * 17, sorted(answers.values()))
        made = [name for name, status in answers.items() if status == 202]
        machines = {self.ready(name)["machine"]["uri"] for name in made}
        self.assertEqual(3, len(machines))
        self.assertEqual(3, self.podm.asked.count(("POST", SYSTEMS)))
        for name in made:
            self.ask("POST", f"/v1/nodes/{name}/release", {})
        for name in made:
            eventually(lambda name=name: self.is_gone(name), "the end")  # type: ignore[misc]
        self.assertEqual(set(USUAL_BLOCKS), self.podm.free())

    def test_a_composition_that_breaks_leaves_nothing(self) -> None:
        self.podm.looks, self.podm.breaks = 1, "A cable is loose."
        name = self.compose(cpus=1)
        (task,) = self.ask("GET", f"/v1/tasks?machine={self.node(name)['id']}")["tasks"]
        ended = self.ended(task["id"])
        self.assertEqual("failed", ended["state"])
        self.assertIn("A cable is loose.", ended["error"])
        eventually(lambda: self.is_gone(name), "the end", 2 * PATIENCE)
        self.assertEqual(set(USUAL_BLOCKS), self.podm.free())

    def test_a_composition_that_is_refused_frees_its_blocks_at_once(self) -> None:
        self.podm.fail("POST", SYSTEMS, 409, "Taken by somebody else.")
        name = self.compose(cpus=1)
        eventually(lambda: self.is_gone(name), "the end")
        (task, *_) = self.ask("GET", f"/v1/tasks?pod={self.pod}&state=failed")["tasks"]
        self.assertIn("Taken by somebody else.", task["error"])
        self.podm.faults.clear()
        self.ready(self.compose(cpus=1))

    def test_a_node_that_is_deleted_while_it_is_composed_leaves_nothing(self) -> None:
        self.podm.looks = 1000
        name = self.compose(cpus=1)
        eventually(lambda: ("POST", SYSTEMS) in self.podm.asked, "the order")
        task = self.ask("POST", f"/v1/nodes/{name}/release", {})["task"]
        self.podm.hurry.set()
        self.assertEqual("completed", self.ended(task["id"])["state"])
        self.assertEqual((set(USUAL_BLOCKS), {}), (self.podm.free(), self.podm.composed))

    def test_a_machine_is_adopted_as_it_is(self) -> None:
        self.podm.looks = 0
        made = requests.post(
            self.podm.url + SYSTEMS,
            json={
                "Name": "old",
                "Links": {"ResourceBlocks": [{"@odata.id": f"{BLOCKS}/compute-3"}]},
            },
            timeout=PATIENCE,
        )
        self.assertEqual(201, made.status_code)
        (machine,) = self.ask("GET", f"/v1/machines?pod={self.pod}&refresh=20")["machines"]
        name = self.unique("node")
        self.ask("POST", "/v1/nodes", {"node": {"name": name, "machine": machine["id"]}})
        again = self.post("/v1/nodes", {"node": {"name": f"{name}-2", "machine": machine["id"]}})
        self.assertEqual(409, again.status_code)
        self.assertEqual("completed", self.order(name, "release", {})["state"])
        self.assertEqual(set(USUAL_BLOCKS), self.podm.free())


class Killed(CompositionTestCase):
    """kill -9 during each operation that takes long: the next process goes on where it was."""

    options: ClassVar = {"engine": {"lease": 3}}

    def begun(self, order: str) -> None:
        """Until the pod is at the work that was ordered, and the task knows it."""
        self.system.process.wait_for(f"{order} waiting")
        self.restart()
        self.podm.hurry.set()

    def slow(self) -> None:
        self.podm.hurry.clear()
        self.podm.looks = 1000

    def test_every_operation_goes_on(self) -> None:
        self.slow()
        name = self.compose(cpus=1)
        self.begun("compose-node")
        self.ready(name)
        for what, body, order in (
            ("firmware", {"image": "http://images.example/bmc.bin"}, "firmware-node"),
            ("volumes", {"volume": {"name": "v", "size_gib": 1}}, "add-volume-node"),
            ("attach", {"size_gib": 1}, "attach-node"),
            ("release", {}, "release-node"),
        ):
            with self.subTest(what):
                self.slow()
                task = self.ask("POST", f"/v1/nodes/{name}/{what}", body)["task"]["id"]
                self.begun(order)
                self.assertEqual("completed", self.ended(task)["state"])
        for path in (SYSTEMS, SIMPLE_UPDATE):
            self.assertEqual(1, self.podm.asked.count(("POST", path)), path)
        self.assertEqual("2.0", self.podm.version)
        self.assertEqual(set(USUAL_BLOCKS), self.podm.free())

    def test_in_the_middle_of_an_order_it_is_found_out_about_by_reading(self) -> None:
        taken: list[bytes] = []

        def take(handler: Handler) -> None:
            # The pod composes, and the worker that asked for it is gone before the answer.
            del self.podm.faults["POST", SYSTEMS]
            taken.append(handler.body)
            self.system.process.kill()
            self.podm.serve(handler, "POST", SYSTEMS)

        self.podm.faults["POST", SYSTEMS] = take
        name = self.compose(cpus=1)
        eventually(lambda: taken, "the order")
        self.system.process = self.system.start("headwater-all-in-one")
        self.ready(name)
        self.assertEqual(1, self.podm.asked.count(("POST", SYSTEMS)))
        self.ask("POST", f"/v1/nodes/{name}/release", {})
        eventually(lambda: self.is_gone(name), "the end", 2 * PATIENCE)


class Lost(CompositionTestCase):
    """Answers that never come: the pod has done what was asked, or it has not."""

    options: ClassVar = {"pods": {"timeout": 2}}

    def test_a_firmware_update_is_never_ordered_twice(self) -> None:
        name = self.compose(cpus=1)
        self.ready(name)
        self.podm.cut("POST", SIMPLE_UPDATE)
        body = {"image": "http://images.example/bmc.bin"}
        task = self.ask("POST", f"/v1/nodes/{name}/firmware", body)["task"]["id"]
        eventually(
            lambda: self.ask("GET", f"/v1/tasks/{task}")["task"]["state"] == "unknown", "the doubt"
        )
        self.podm.version = "7.0"
        ended = self.ended(task)
        self.assertEqual(("completed", "7.0"), (ended["state"], ended["result"]["versions"]["BMC"]))
        self.assertEqual(1, self.podm.asked.count(("POST", SIMPLE_UPDATE)))


class Commands(ShellTest):
    """The openstack commands."""

    regions: ClassVar = ()

    def test_a_composed_node_by_commands(self) -> None:
        names = ("slot-1", "slot-2")
        emulator = self.enterContext(Emulator(self.system.directory / "emulator", names))
        podm = self.enterContext(ComposingPod(emulator))
        secret = {"HEADWATER_POD_PASSWORD": "tiger"}
        add = ("pod", "add", "podm", "--driver", "redfish", "--address", podm.url)
        self.openstack(*add, "--label", "site=north", **secret)
        done = self.openstack("pod", "batch", "create", "sync", "--label", "site=north", "--wait")
        self.assertIn("1 of 1 ended", done.stdout)
        self.openstack("pod", "batch", "create", "on", "--label", "site=south", code=1)
        (pod,) = self.ask("pod", "list", "--label", "site=north")
        self.assertEqual("podm", pod["Name"])
        self.openstack("pod", "flavor", "create", "small", "--cpus", "4", "--storage-gib", "100")
        (flavor,) = self.ask("pod", "flavor", "list")
        shown = (flavor["Name"], flavor["CPUs"], flavor["Storage GiB"])
        self.assertEqual(("small", 4, 100), shown)
        node = self.ask("node", "compose", "n1", "--flavor", "small", "--wait")
        self.assertEqual(("ready", "podm"), (node["state"], node["pod"]))
        self.openstack("node", "storage", "attach", "n1", "--size-gib", "600", "--wait")
        blocks = self.ask("pod", "component", "list", "--kind", "block", "--node", "n1")
        self.assertEqual({"compute-1", "drives-1", "drives-2"}, {each["Name"] for each in blocks})
        self.openstack("node", "storage", "detach", "n1", "drives-2", "--wait")
        self.openstack("node", "bios", "set", "n1", "NumLock=false", "--wait")
        rows = {each["Setting"]: each for each in self.ask("node", "bios", "show", "n1")}
        self.assertIs(False, rows["NumLock"]["From the next start on"])
        self.openstack("node", "firmware", "update", "n1", "http://images.example/x", "--wait")
        self.assertEqual({"BMC": "2.0"}, self.ask("node", "firmware", "show", "n1"))
        self.openstack("node", "volume", "create", "n1", "data", "--size-gib", "10", "--wait")
        (machine,) = self.ask("machine", "list", "--pod", "podm", "--refresh")
        parts = self.ask("pod", "component", "list", "--machine", machine["ID"], "--refresh")
        self.assertEqual({"drive", "volume", "port"}, {each["Kind"] for each in parts})
        self.openstack("node", "volume", "delete", "n1", "data", "--wait")
        self.openstack("node", "adopt", "n2", machine["ID"], code=1)
        self.openstack("node", "delete", "n1", "--wait")
        self.assertEqual(set(USUAL_BLOCKS), podm.free())
        self.openstack("pod", "flavor", "delete", "small")
        self.openstack("pod", "flavor", "show", "small", code=1)

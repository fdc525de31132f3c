# SPDX-License-Identifier: Apache-2.0
"""Pods end to end: the real API, the real workers, a real sushy-emulator."""

import itertools
import json
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import requests

from tests.functional.shell import ShellTest
from tests.functional.system import Command, Process, SystemTest
from tests.services.emulator import Emulator
from tests.support import brokers, databases
from tests.support.waiting import PATIENCE, eventually

NAMES = ("node-1", "node-2", "node-3")


class PodSystemTest(SystemTest):
    """An installation and an emulator; no subclouds."""

    regions: ClassVar = ()
    emulator: ClassVar[Emulator]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        directory = cls.system.directory / "emulator"
        cls.emulator = cls.enterClassContext(Emulator(directory, NAMES))

    def api(self) -> str:
        """The address of the API."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call of the administrator that has to succeed."""
        answer = requests.request(
            method,
            self.api() + path,
            json=body,
            headers={"X-Auth-Token": self.system.central.admin_session().get_token()},
            timeout=2 * PATIENCE,
        )
        self.assertTrue(answer.ok, f"{method} {path}: {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def add(self, *addresses: str, **fields: object) -> str:
        """Add a pod; its name."""
        name = self.unique("pod")
        pod = {"name": name, "driver": "bmc_fleet", "addresses": addresses, "password": "tiger"}
        self.ask("POST", "/v1/pods", {"pod": {**pod, **fields}})
        return name

    def machines(self, pod: str) -> dict[str, dict[str, Any]]:
        """The machines of a pod by name, once its inventory was read."""
        eventually(lambda: self.ask("GET", f"/v1/pods/{pod}")["pod"]["synced_at"], "the inventory")
        found = self.ask("GET", f"/v1/machines?pod={pod}")["machines"]
        return {each["name"]: each for each in found}

    def power(self, machine: dict[str, Any], action: str) -> str:
        """Order; the task's id."""
        answer = self.ask("POST", f"/v1/machines/{machine['id']}/power", {"action": action})
        task_id: str = answer["task"]["id"]
        return task_id

    def ended(self, task_id: str) -> dict[str, Any]:
        """A task once it has ended."""

        def look() -> dict[str, Any] | None:
            task: dict[str, Any] = self.ask("GET", f"/v1/tasks/{task_id}?wait=10")["task"]
            return task if task["finished_at"] else None

        found: dict[str, Any] = eventually(look, "the end of the task", 2 * PATIENCE)
        return found


class PodsInOneProcess(PodSystemTest):
    """headwater-all-in-one."""

    # An emulator that was away is asked again soon.
    options: ClassVar = {"pods": {"breaker_pause": 1}}

    def api(self) -> str:
        return "http://" + self.system.process.wait_for(r"The API listens on http://(\S+)")[1]

    def test_machines_are_found_switched_and_watched(self) -> None:
        pod = self.add(self.emulator.url)
        machines = self.machines(pod)
        self.assertEqual(set(NAMES), set(machines))
        shown = [machines[name]["power_state"] for name in NAMES]
        self.assertEqual(shown, self.emulator.power_states())
        tasks = [self.power(each, "on") for each in machines.values()]
        events = self.events(tasks[0])
        self.assertEqual("end", events[-1][0])
        self.assertEqual(["completed"] * 3, [self.ended(each)["state"] for each in tasks])
        percents = [task["percent"] for _, task in events]
        self.assertEqual((sorted(percents), 100), (percents, percents[-1]))
        self.assertEqual(["On"] * 3, self.emulator.power_states())
        shown = self.machines(pod)
        self.assertEqual({"On"}, {each["power_state"] for each in shown.values()})
        last = self.ended(self.power(shown["node-1"], "reset"))
        self.assertEqual({"power_state": "On"}, last["result"])
        tokens = json.dumps(self.ask("GET", "/v1/pods")) + json.dumps(self.ask("GET", "/v1/tasks"))
        self.assertNotIn("tiger", tokens + self.system.process.log())

    def events(self, task_id: str) -> list[tuple[str, dict[str, Any]]]:
        """All events of a task until its stream ends."""
        found = []
        with requests.get(
            f"{self.api()}/v1/tasks/{task_id}/events",
            headers={"X-Auth-Token": self.system.central.admin_session().get_token()},
            stream=True,
            timeout=2 * PATIENCE,
        ) as answer:
            for event in answer.text.strip().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in event.splitlines())
                if "data" in fields:
                    found.append((fields["event"], json.loads(fields["data"])))
        return found

    def test_a_killed_process_goes_on_where_it_was(self) -> None:
        machine = self.machines(self.add(self.emulator.url))["node-2"]
        self.ended(self.power(machine, "off"))
        task_id = self.power(machine, "on")
        self.system.process.wait_for(f"Task {task_id}: power-machine waiting")
        self.system.process.kill()
        self.system.process = self.system.start("headwater-all-in-one")
        self.assertEqual("completed", self.ended(task_id)["state"])
        self.assertEqual("On", self.emulator.power_states()[1])

    def test_a_pod_that_is_away_is_waited_for(self) -> None:
        pod = self.add(self.emulator.url)
        machine = self.machines(pod)["node-3"]
        self.emulator.kill()
        try:
            task_id = self.power(machine, "on")
            eventually(
                lambda: self.ask("GET", f"/v1/tasks/{task_id}")["task"]["error"],
                "the silence to be noticed",
            )
        finally:
            self.emulator.start()
        self.assertEqual("completed", self.ended(task_id)["state"])

    def test_all_machines_of_labelled_pods_are_switched_a_few_at_a_time(self) -> None:
        label = self.unique("row")
        pod = self.add(self.emulator.url, labels={"row": label})
        machines = self.machines(pod)
        batch = {"action": "on", "labels": {"row": label}, "budget": 2}
        made = self.ask("POST", "/v1/batches", {"batch": batch})["batch"]
        self.assertEqual(len(machines), made["total"])
        path = f"/v1/batches/{made['id']}"
        begun = ("running", "waiting", "unknown")

        def done() -> bool:
            states = self.ask("GET", path)["batch"]["states"]
            self.assertLessEqual(sum(states[name] for name in begun), 2)
            return bool(states["completed"] == len(machines))

        eventually(done, "all of the batch", 2 * PATIENCE, every=0.1)
        self.assertEqual(["On"] * len(machines), self.emulator.power_states())

    def test_a_task_ends_with_its_deadline_or_by_an_operator(self) -> None:
        # An address that refuses.
        pod = self.add("http://127.0.0.1:1")
        task = self.ask("POST", f"/v1/pods/{pod}/sync", {"deadline": 1})["task"]
        first = self.ask("GET", f"/v1/tasks?pod={pod}")["tasks"][-1]
        self.ask("POST", f"/v1/tasks/{first['id']}/cancel", {})
        self.assertIn(self.ended(first["id"])["state"], ("cancelled", "failed"))
        self.assertIn(self.ended(task["id"])["state"], ("timed-out", "failed"))
        self.ask("DELETE", f"/v1/pods/{pod}")


class ImageServer:
    """Serves one small image: the emulator fetches it."""

    def __enter__(self) -> typing.Self:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/boot.iso"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", "4" if found else "0")
                self.end_headers()
                self.wfile.write(b"boot" if found else b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/boot.iso"
        # The default would make each end wait for half a second.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class PodCommands(ShellTest):
    """The openstack commands."""

    regions: ClassVar = ()

    def test_a_pod_is_added_switched_on_and_forgotten(self) -> None:
        directory = self.system.directory / "emulator"
        emulator = self.enterContext(Emulator(directory, ("node-1", "node-2")))
        secret = {"HEADWATER_POD_PASSWORD": "tiger"}
        self.openstack("pod", "add", "rack-7", "--address", emulator.url, **secret)
        self.openstack("pod", "sync", "rack-7", "--wait")
        (pod,) = self.ask("pod", "list")
        self.assertEqual(("rack-7", "online"), (pod["Name"], pod["Availability"]))
        listed = self.ask("machine", "list", "--pod", "rack-7")
        ids = {each["Name"]: each["ID"] for each in listed}
        done = self.openstack("machine", "power", "on", "node-1", ids["node-2"], "--wait")
        self.assertEqual(2, done.stdout.count("100 % [##############################] completed"))
        self.assertEqual(["On", "On"], emulator.power_states())
        self.assertEqual("On", self.ask("machine", "show", "node-1")["power_state"])
        (newest, *_) = self.ask("pod", "task", "list", "--machine", ids["node-2"])
        self.assertEqual("completed", self.ask("pod", "task", "show", newest["ID"])["state"])
        self.openstack("node", "compose", "worker-1", "--cpus", "999", code=1)
        self.openstack("node", "compose", "worker-1", "--pod", "rack-7")
        (node,) = self.ask("node", "list")
        self.openstack("machine", "power", "off", node["Machine"], code=1)
        image = self.enterContext(ImageServer()).url
        done = self.openstack("node", "boot", "image", "worker-1", image, "--wait")
        self.assertIn("100 % [##############################] completed", done.stdout)
        self.openstack("node", "media", "eject", "worker-1", "--wait")
        self.openstack("node", "boot", "set", "worker-1", "Pxe", "--always", "--wait")
        insert = ("node", "media", "insert", "worker-1", f"{image}.no", "--wait")
        self.assertIn("media-node", self.openstack(*insert, code=1).stderr)
        self.openstack("node", "delete", "worker-1", "--wait")
        self.assertEqual([], self.ask("node", "list"))
        self.assertEqual(["Off", "On"], sorted(emulator.power_states()))
        unknown = self.openstack("machine", "power", "off", "node-1", "no-such", code=1)
        self.assertIn("no machine 'no-such'", unknown.stderr)
        self.openstack("pod", "set", "rack-7", "--address", "http://127.0.0.1:1")
        failed = self.openstack("pod", "sync", "rack-7", "--wait", code=1)
        self.assertIn("No address of the pod answers", failed.stderr)
        self.openstack("pod", "delete", "rack-7")
        self.assertEqual([], self.ask("machine", "list"))
        self.openstack("pod", "show", "rack-7", code=1)


@databases.on_servers
class PodsApart(PodSystemTest):
    """API and pod workers as processes of their own, on a server and RabbitMQ."""

    program: ClassVar = "headwater-api-proxy"
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))
    numbers: ClassVar = itertools.count(1)

    @classmethod
    def setUpClass(cls) -> None:
        cls.backend.require()
        cls.options = {
            "DEFAULT": {"transport_url": brokers.fresh_transport(cls), "api_workers": 1},
            # As far apart as allowed: what starts sooner was announced by a message.
            "engine": {"poll_interval": 60, "lease": 600},
        }
        super().setUpClass()
        # One service apart, the others together.
        cls.run_worker("compute").wait_for("the topic headwater-pod-compute")
        others = cls.run_worker("network", "storage", "telemetry")
        for service in ("network", "storage", "telemetry"):
            others.wait_for(f"the topic headwater-pod-{service}")
        found = cls.run_program("headwater-api").wait_for(r"The API listens on http://(\S+)")
        cls.address = f"http://{found[1]}"

    @classmethod
    def run_worker(cls, *services: str) -> Process:
        """A pod worker that runs these services only."""
        chosen = tuple(each for service in services for each in ("--service", service))
        command = Command("headwater-pod-worker", ("--config-file", "{config}", *chosen))
        return cls.run_program(command)

    @classmethod
    def run_program(cls, program: str | Command) -> Process:
        log = cls.system.directory / f"program-{next(cls.numbers)}.log"
        process = Process(program, cls.system.config, log)
        cls.addClassCleanup(process.stop)
        return process

    def api(self) -> str:
        return self.address

    def test_a_task_is_announced_and_run(self) -> None:
        machines = self.machines(self.add(self.emulator.url))
        task = self.ended(self.power(machines["node-1"], "on"))
        self.assertEqual("completed", task["state"])
        alive = self.ask("GET", "/v1/services")["services"]
        pids = {each["kind"].removeprefix("pod-worker-"): each["pid"] for each in alive}
        self.assertEqual(pids["network"], pids["storage"])
        self.assertNotEqual(pids["network"], pids["compute"])

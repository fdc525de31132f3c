# SPDX-License-Identifier: Apache-2.0
"""Pods and their machines, as inventories show them."""

from headwater.common.errors import Conflict, NotFound
from headwater.common.states import TaskState
from headwater.db import inventory, pods, tasks
from headwater.db.pod_records import Machine, TaskRest
from tests.support import databases
from tests.support.pod_builders import add_machine, add_pod, add_task, claim_tasks, seen


@databases.on_every_backend
class PodsTest(databases.DatabaseTestCase):
    def test_what_was_added_is_found(self) -> None:
        added = add_pod(self.database, addresses=("https://a", "https://b"), description="Rack 7")
        self.assertEqual(added, pods.get(self.database, "one"))
        self.assertEqual(added, pods.by_id(self.database, added.id))
        self.assertEqual(
            (("https://a", "https://b"), "Rack 7"), (added.addresses, added.description)
        )
        with self.assertRaises(Conflict):
            add_pod(self.database)
        for look in (
            lambda: pods.get(self.database, "no"),
            lambda: pods.by_id(self.database, databases.NO_ID),
        ):
            with self.assertRaises(NotFound):
                look()

    def test_pages(self) -> None:
        for name in ("c", "a", "b"):
            add_pod(self.database, name)
        page = pods.list_page(self.database, limit=2)
        rest = pods.list_page(self.database, limit=2, marker=page[-1].name)
        self.assertEqual(["a", "b", "c"], [each.name for each in (*page, *rest)])

    def test_access_data_change_and_clients_learn_of_it(self) -> None:
        before = add_pod(self.database)
        after = pods.update(self.database, "one", {"username": "root", "addresses": ("http://x",)})
        self.assertEqual(("root", ("http://x",)), (after.username, after.addresses))
        self.assertNotEqual(before.updated_at, after.updated_at)

    def test_a_pod_with_open_tasks_is_not_forgotten(self) -> None:
        pod = add_pod(self.database)
        add_machine(self.database, pod)
        add_task(self.database, pod)
        with self.assertRaises(Conflict):
            pods.delete(self.database, "one")
        (held,) = claim_tasks(self.database)
        tasks.release(self.database, held, TaskRest(TaskState.FAILED, 1))
        pods.delete(self.database, "one")
        self.assertEqual([], pods.list_machines(self.database, limit=5))
        self.assertEqual([], tasks.list_page(self.database, limit=5))


@databases.on_every_backend
class InventoryTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)

    def machines(self) -> dict[str, Machine]:
        return {each.uri: each for each in pods.list_machines(self.database, limit=5000)}

    def test_machines_keep_their_ids_over_changes(self) -> None:
        inventory.store(self.database, self.pod.id, [seen("http://a/1"), seen("http://a/2")], [])
        before = self.machines()
        self.assertIsNotNone(pods.get(self.database, "one").synced_at)
        changed = seen("http://a/1", power_state="On", name="renamed", memory_mib=None)
        inventory.store(self.database, self.pod.id, [changed, seen("http://a/3")], [])
        after = self.machines()
        self.assertEqual(before["http://a/1"].uuid, after["http://a/1"].uuid)
        one = after["http://a/1"]
        self.assertEqual(("On", "renamed", None), (one.power_state, one.name, one.memory_mib))
        self.assertIsNone(after["http://a/3"].missing_since)
        self.assertIsNotNone(after["http://a/2"].missing_since)

    def test_what_is_behind_a_silent_address_is_not_missing(self) -> None:
        everything = [seen("http://a/1"), seen("http://b/1"), seen("http://b/2")]
        inventory.store(self.database, self.pod.id, everything, [])
        inventory.store(self.database, self.pod.id, [seen("http://a/1")], ["http://b/1"])
        found = self.machines()
        self.assertIsNone(found["http://b/1"].missing_since)
        self.assertIsNotNone(found["http://b/2"].missing_since)
        inventory.store(self.database, self.pod.id, everything, [])
        self.assertIsNone(self.machines()["http://b/2"].missing_since)

    def test_a_thousand_machines(self) -> None:
        everything = [seen(f"http://a/{number}") for number in range(1001)]
        for _ in range(2):
            inventory.store(self.database, self.pod.id, everything, [])
            self.assertEqual(1001, len(self.machines()))
        inventory.store(self.database, self.pod.id, [], [])
        self.assertEqual(
            1001, sum(each.missing_since is not None for each in self.machines().values())
        )

    def test_pages_and_filters(self) -> None:
        other = add_pod(self.database, "two")
        for pod in (self.pod, other):
            inventory.store(
                self.database, pod.id, [seen(f"http://{pod.name}/{n}") for n in range(3)], []
            )
        first = pods.list_machines(self.database, limit=4)
        rest = pods.list_machines(self.database, limit=4, after=first[-1].uuid)
        self.assertEqual(6, len({each.uuid for each in (*first, *rest)}))
        of_two = pods.list_machines(self.database, limit=9, pod_name="two")
        self.assertEqual({"two"}, {each.pod_name for each in of_two})
        with self.assertRaises(NotFound):
            pods.list_machines(self.database, limit=4, after="unknown")

    def test_power_is_noted(self) -> None:
        machine = add_machine(self.database, self.pod)
        pods.note_power(self.database, machine.id, "On")
        self.assertEqual("On", pods.get_machine(self.database, machine.uuid).power_state)

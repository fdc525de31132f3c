# SPDX-License-Identifier: Apache-2.0
"""Nodes: no machine has two, whatever races; what does not fit says why."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from headwater.common.context import Caller
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import NodeState
from headwater.db import inventory, nodes, pods, tasks
from headwater.db.pod_records import NewNode, Node, Requirements
from tests.support import databases
from tests.support.pod_builders import add_node, add_pod, add_task, release_task, seen
from tests.support.waiting import PATIENCE

ANY = Requirements()


class NodesTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)
        self.stock(small=(4, 8192), large=(64, 262144), medium=(16, 65536))

    def stock(self, **sizes: tuple[int, int]) -> None:
        machines = [
            seen(f"http://bmc/{name}", name=name, cpus=cpus, memory_mib=memory)
            for name, (cpus, memory) in sizes.items()
        ]
        inventory.store(self.database, self.pod.id, machines, [])

    def compose(self, name: str, requirements: Requirements = ANY) -> Node:
        return add_node(self.database, name, requirements, Caller("u1", None, "p1"))


@databases.on_every_backend
class ComposeTest(NodesTestCase):
    def test_the_smallest_that_fits_is_taken(self) -> None:
        needs = (Requirements(cpus=8), Requirements(memory_mib=8192), Requirements(cpus=8))
        made = [self.compose(f"n{number}", need) for number, need in enumerate(needs)]
        self.assertEqual(
            ["medium", "small", "large"], [each.machine and each.machine.name for each in made]
        )
        found = nodes.get(self.database, "n0")
        self.assertEqual(
            (NodeState.READY, Requirements(cpus=8), "u1", "p1", "n0"),
            (
                found.state,
                found.requirements,
                found.user_id,
                found.project_id,
                found.machine.node_name,
            ),
        )

    def test_what_does_not_fit_says_why(self) -> None:
        self.compose("n1", Requirements(cpus=64))
        ill = seen("http://bmc/ill", name="ill", cpus=64, memory_mib=262144, health="Critical")
        known = pods.list_machines(self.database, limit=9)
        inventory.store(self.database, self.pod.id, [*known, ill], [])
        with self.assertRaises(Conflict) as caught:
            self.compose("n2", Requirements(cpus=32))
        self.assertIn(
            "of 4 in the inventory, 2 do not fit, 1 have a node, 1 are missing or not well, 0 have "
            "tasks that have not ended, and 0",
            str(caught.exception),
        )

    def test_a_machine_that_is_missing_is_not_taken(self) -> None:
        self.stock(small=(4, 8192))
        self.assertEqual("small", self.compose("n1").machine.name)
        with self.assertRaises(Conflict):
            self.compose("n2")

    def test_one_that_got_a_task_since_it_was_chosen_is_not_taken(self) -> None:
        found = nodes.free_machines(self.database, Requirements(), limit=1)[0]
        assert found.machine_id is not None
        (chosen,) = [
            each
            for each in pods.list_machines(self.database, limit=9)
            if each.id == found.machine_id
        ]
        order = add_task(self.database, self.pod, target=chosen.uuid)
        new = NewNode("n1", Requirements(), Caller())
        self.assertIsNone(nodes.reserve(self.database, new, found))
        self.assertEqual([], nodes.list_page(self.database, limit=9))
        tasks.cancel(self.database, order.uuid)
        self.assertIsNotNone(nodes.reserve(self.database, new, found))

    def test_a_pod_may_be_named(self) -> None:
        other = add_pod(self.database, "two")
        there = seen("http://x/1", name="there", memory_mib=None, cpus=None)
        inventory.store(self.database, other.id, [there], [])
        self.assertEqual("there", self.compose("n1", Requirements(pod_name="two")).machine.name)
        with self.assertRaises(Conflict):
            self.compose("n2", Requirements(pod_name="two"))

    def test_a_name_is_used_once(self) -> None:
        self.compose("n1")
        with self.assertRaises(Conflict) as caught:
            self.compose("n1")
        self.assertIn("already a node", str(caught.exception))
        free = [each for each in pods.list_machines(self.database, limit=9) if not each.node_name]
        self.assertEqual(2, len(free))

    def test_twenty_at_a_time_for_two_machines(self) -> None:
        self.stock(one=(4, 8192), two=(4, 8192))
        at_once = Barrier(20)

        def client(number: int) -> str | None:
            at_once.wait(PATIENCE)
            try:
                return self.compose(f"n{number}").machine.uuid
            except Conflict as error:
                self.assertIn("No machine is free", str(error))
                return None

        with ThreadPoolExecutor(20) as pool:
            found = [each for each in pool.map(client, range(20)) if each is not None]
        self.assertEqual((2, 2), (len(found), len(set(found))))
        self.assertEqual(2, len(nodes.list_page(self.database, limit=99)))


@databases.on_every_backend
class ReleaseTest(NodesTestCase):
    def test_a_released_machine_is_free_again(self) -> None:
        made = self.compose("n1")
        for first in (True, False):
            task = nodes.begin_release(self.database, made, release_task(made))
            self.assertIs(first, task is not None)
        self.assertIs(NodeState.RELEASING, nodes.get(self.database, "n1").state)
        for _ in range(2):
            nodes.end_release(self.database, made.id)
        with self.assertRaises(NotFound):
            nodes.get(self.database, "n1")
        # As long as the task that switched it off has not ended, nobody gets it.
        (task,) = tasks.list_page(self.database, limit=9)
        self.assertNotEqual(made.machine.uuid, self.compose("n3").machine.uuid)
        tasks.cancel(self.database, task.uuid)
        self.assertEqual(made.machine.uuid, self.compose("n2").machine.uuid)

    def test_a_node_that_is_ready_is_not_forgotten(self) -> None:
        made = self.compose("n1")
        nodes.end_release(self.database, made.id)
        self.assertIs(NodeState.READY, nodes.get(self.database, "n1").state)

    def test_a_pod_with_nodes_is_not_forgotten(self) -> None:
        self.compose("n1")
        with self.assertRaises(Conflict):
            pods.delete(self.database, "one")

    def test_pages(self) -> None:
        for name in ("c", "a", "b"):
            self.compose(name)
        page = nodes.list_page(self.database, limit=2)
        rest = nodes.list_page(self.database, limit=2, marker=page[-1].name)
        self.assertEqual(["a", "b", "c"], [each.name for each in (*page, *rest)])

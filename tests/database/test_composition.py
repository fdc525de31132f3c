# SPDX-License-Identifier: Apache-2.0
"""Resource blocks, components, flavors, labels: what the database promises of them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Availability, ComponentKind, NodeState, PodService, TaskState
from headwater.db import flavors, inventory, nodes, pods, tasks
from headwater.db.models import task
from headwater.db.pod_records import (
    Candidate,
    NewNode,
    NewTask,
    Node,
    Requirements,
    SeenComponent,
)
from tests.support import databases
from tests.support.builders import CIPHER
from tests.support.pod_builders import (
    add_machine,
    add_node,
    add_pod,
    add_task,
    attach_task,
    block,
    release_node,
    release_task,
    seen,
)
from tests.support.waiting import PATIENCE

OTHER_ZONE = ("http://pod/z2",)


class BlocksTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database, "podm", driver="redfish")

    def stock(self, *blocks: SeenComponent) -> None:
        inventory.store(self.database, self.pod.id, [], [], blocks)

    def compose(self, name: str = "n1", **needs: int) -> Node:
        return add_node(self.database, name, Requirements(**needs))  # type: ignore[arg-type]

    def blocks(self, node: Node) -> set[str]:
        return {each.name for each in inventory.blocks_of(self.database, node.id)}

    def free(self) -> set[str]:
        listed = inventory.list_components(self.database, limit=99, kind=ComponentKind.BLOCK)
        return {each.name for each in listed if each.node_name is None}


@databases.on_every_backend
class ReserveTest(BlocksTestCase):
    def test_the_smallest_blocks_of_one_zone_are_reserved_with_their_task(self) -> None:
        self.stock(
            block("big", cpus=32, memory_mib=65536),
            block("small", cpus=8, memory_mib=16384),
            block("much", size_gib=1000),
            block("little", size_gib=100),
            block("far", size_gib=200, zones=OTHER_ZONE),
        )
        made = self.compose(cpus=4, storage_gib=150)
        self.assertEqual({"small", "much"}, self.blocks(made))
        self.assertEqual((NodeState.COMPOSING, None), (made.state, made.machine))
        (written,) = tasks.list_page(self.database, limit=9)
        self.assertEqual(("compose-node", made.uuid), (written.action, written.target))

    def test_several_blocks_with_drives_make_up_what_none_has(self) -> None:
        self.stock(
            block("compute", cpus=8, memory_mib=16384),
            *(block(f"d{size}", size_gib=size) for size in (100, 200, 300)),
        )
        self.assertEqual({"compute", "d300", "d200"}, self.blocks(self.compose(storage_gib=450)))

    def test_what_no_zone_has_says_why(self) -> None:
        self.stock(
            block("compute", cpus=8, memory_mib=16384),
            block("far", size_gib=900, zones=OTHER_ZONE),
        )
        with self.assertRaises(Conflict) as caught:
            self.compose(storage_gib=500)
        self.assertIn("Of 2 resource blocks 2 are free", str(caught.exception))
        self.assertEqual([], tasks.list_page(self.database, limit=9))

    def test_blocks_that_are_ill_gone_used_or_away_are_not_taken(self) -> None:
        good = block("good", cpus=8, memory_mib=16384)
        self.stock(
            good,
            block("gone", cpus=8, memory_mib=8192),
        )
        self.stock(
            good,
            block("ill", cpus=8, memory_mib=8192, health="Critical"),
            block("used", cpus=8, memory_mib=8192, state="Composed"),
        )
        self.assertEqual({"good"}, self.blocks(self.compose()))
        with self.assertRaises(Conflict):
            self.compose("n2")
        release_node(self.database, nodes.get(self.database, "n1"))
        pods.note_availability(self.database, self.pod.id, Availability.OFFLINE)
        with self.assertRaises(Conflict):
            self.compose("n3")

    def test_of_twenty_at_a_time_each_block_has_one(self) -> None:
        self.stock(
            *(block(f"c{number}", cpus=8, memory_mib=16384) for number in range(3)),
            *(block(f"d{number}", size_gib=100) for number in range(2)),
        )
        at_once = Barrier(20)

        def client(number: int) -> Node | None:
            at_once.wait(PATIENCE)
            try:
                return self.compose(f"n{number}", storage_gib=50)
            except Conflict:
                return None

        with ThreadPoolExecutor(20) as pool:
            made = [each for each in pool.map(client, range(20)) if each is not None]
        # There are drives for two.
        self.assertEqual(2, len(made))
        taken = [self.blocks(each) for each in made]
        self.assertEqual((4, {2}), (len(set.union(*taken)), {len(each) for each in taken}))
        self.assertEqual(2, len(tasks.list_page(self.database, limit=99)))
        self.assertEqual(2, len(nodes.list_page(self.database, limit=99)))

    def test_a_candidate_that_was_taken_is_refused_whole(self) -> None:
        self.stock(block("a", cpus=8, memory_mib=16384), block("b", size_gib=100))
        (candidate,) = nodes.free_blocks(self.database, Requirements(storage_gib=1), limit=9)
        first = self.compose()
        new = NewNode("n2", Requirements(), Caller())
        self.assertIsNone(nodes.reserve(self.database, new, candidate))
        self.assertEqual(["n1"], [each.name for each in nodes.list_page(self.database, limit=9)])
        self.assertEqual({"a"}, self.blocks(first))
        self.assertEqual({"b"}, self.free())

    def test_a_machine_and_blocks_compete_by_what_is_left_unused(self) -> None:
        self.stock(block("fits", cpus=8, memory_mib=16384))
        fleet = add_pod(self.database, "fleet")
        huge = seen("http://bmc/1", cpus=512, memory_mib=4194304)
        inventory.store(self.database, fleet.id, [huge], [])
        self.assertEqual({"fits"}, self.blocks(self.compose(cpus=8)))
        other = self.compose("n2", cpus=8)
        self.assertEqual("http://bmc/1", other.machine and other.machine.uri)

    def test_many_blocks_without_drives_near_hide_none_that_has_them(self) -> None:
        self.stock(
            *(
                block(f"c{number}", cpus=1, memory_mib=1024, zones=OTHER_ZONE)
                for number in range(60)
            ),
            block("near", cpus=64, memory_mib=65536),
            block("drives", size_gib=100),
        )
        self.assertEqual({"near", "drives"}, self.blocks(self.compose(storage_gib=50)))

    def test_machines_with_open_tasks_or_of_pods_that_are_away_are_not_taken(self) -> None:
        fleet = add_pod(self.database, "fleet")
        machine = add_machine(self.database, fleet)
        order = add_task(self.database, fleet, target=machine.uuid)
        with self.assertRaises(Conflict) as caught:
            self.compose()
        self.assertIn("1 have tasks that have not ended", str(caught.exception))
        tasks.cancel(self.database, order.uuid)
        pods.note_availability(self.database, fleet.id, Availability.OFFLINE)
        with self.assertRaises(Conflict):
            self.compose()
        pods.note_availability(self.database, fleet.id, Availability.ONLINE)
        self.compose()

    def test_labels_of_the_pod_are_asked_for(self) -> None:
        self.stock(block("a", cpus=8, memory_mib=16384))
        needs = Requirements(labels={"site": "north"})
        with self.assertRaises(Conflict):
            add_node(self.database, "n1", needs)
        pods.update(self.database, "podm", {}, labels={"site": "north", "tier": "1"})
        self.assertEqual({"a"}, self.blocks(add_node(self.database, "n1", needs)))

    def test_storage_of_a_machine_counts_its_drives(self) -> None:
        machine = add_machine(self.database, add_pod(self.database, "fleet"))
        with self.assertRaises(Conflict):
            self.compose(storage_gib=100)
        drives = [
            SeenComponent(ComponentKind.DRIVE, f"{machine.uri}/{number}", "disk", size_gib=60)
            for number in (1, 2)
        ]
        inventory.store_parts(self.database, machine, [ComponentKind.DRIVE], drives)
        made = self.compose(storage_gib=100)
        self.assertEqual(machine.uuid, made.machine and made.machine.uuid)


@databases.on_every_backend
class ComposedTest(BlocksTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stock(
            block("a", cpus=8, memory_mib=16384),
            block("b", size_gib=100),
            block("c", size_gib=200),
        )
        self.node = self.compose()
        self.made = seen("http://pod/Systems/7", name="n1", composed=True)

    def end(self) -> Node:
        nodes.end_compose(self.database, self.node, self.made)
        return nodes.get(self.database, "n1")

    def test_the_machine_that_was_made_is_the_nodes(self) -> None:
        for _ in range(2):
            ready = self.end()
        self.assertIs(NodeState.READY, ready.state)
        assert ready.machine is not None
        self.assertEqual((self.node.uuid, "n1"), (ready.machine.uuid, ready.machine.node_name))
        found = nodes.of_target(self.database, self.node.uuid)
        self.assertEqual("n1", found and found.name)

    def test_one_that_an_inventory_saw_first_is_not_there_twice(self) -> None:
        blocks = [block("a", cpus=8, memory_mib=16384, state="Composed")]
        inventory.store(self.database, self.pod.id, [self.made], [], blocks)
        # Nobody else gets it meanwhile.
        with self.assertRaises(Conflict):
            self.compose("n2")
        ready = self.end()
        (machine,) = pods.list_machines(self.database, limit=9)
        self.assertEqual(machine, ready.machine)

    def test_the_end_frees_the_blocks_and_forgets_the_machine(self) -> None:
        release_node(self.database, self.end())
        self.assertEqual({"a", "b", "c"}, self.free())
        self.assertEqual([], pods.list_machines(self.database, limit=9))
        self.compose("n2")

    def test_a_machine_that_came_when_the_node_was_ending_is_forgotten_too(self) -> None:
        task_id = nodes.begin_release(self.database, self.node, release_task(self.node))
        self.assertIsNotNone(task_id)
        self.end()
        self.assertIs(NodeState.RELEASING, nodes.get(self.database, "n1").state)
        nodes.end_release(self.database, self.node.id)
        self.assertEqual([], pods.list_machines(self.database, limit=9))
        self.assertEqual({"a", "b", "c"}, self.free())

    def test_storage_is_attached_and_given_back(self) -> None:
        ready = self.end()
        found = nodes.free_storage(self.database, ready, 150)
        assert found is not None
        self.assertIsNotNone(
            nodes.take_block(self.database, ready.id, found[0], attach_task(ready))
        )
        self.assertIsNone(nodes.take_block(self.database, ready.id, found[0], attach_task(ready)))
        self.assertEqual({"a", "c"}, self.blocks(ready))
        self.assertIsNone(nodes.free_storage(self.database, ready, 150))
        for _ in range(2):
            nodes.give_block(self.database, ready.id, found[1])
        self.assertEqual({"a"}, self.blocks(ready))

    def test_a_node_that_ends_gets_no_more_storage(self) -> None:
        ready = self.end()
        found = nodes.free_storage(self.database, ready, 150)
        assert found is not None
        nodes.begin_release(self.database, ready, release_task(ready))
        with self.assertRaisesRegex(Conflict, "is releasing"):
            nodes.take_block(self.database, ready.id, found[0], attach_task(ready))
        nodes.end_release(self.database, ready.id)
        with self.assertRaisesRegex(Conflict, "is gone"):
            nodes.take_block(self.database, ready.id, found[0], attach_task(ready))
        self.assertEqual({"a", "b", "c"}, self.free())
        actions = [each.action for each in tasks.list_page(self.database, limit=9)]
        self.assertNotIn("attach-node", actions)

    def test_nodes_that_nobody_works_on_are_found(self) -> None:
        self.assertEqual([], nodes.left_alone(self.database, 0, limit=9))
        (compose,) = tasks.list_page(self.database, limit=9)
        tasks.cancel(self.database, compose.uuid)
        self.assertEqual([], nodes.left_alone(self.database, 60, limit=9))
        with self.database.write() as connection:
            connection.execute(sa.update(task).values(finished_at=clock.after(-61)))
        (left,) = nodes.left_alone(self.database, 60, limit=9)
        self.assertEqual("n1", left.name)
        self.end()
        self.assertEqual([], nodes.left_alone(self.database, 60, limit=9))

    def test_blocks_that_are_half_attached_are_found(self) -> None:
        ready = self.end()
        found = nodes.free_storage(self.database, ready, 150)
        assert found is not None
        attach = nodes.take_block(self.database, ready.id, found[0], attach_task(ready))
        for each in tasks.list_page(self.database, limit=9):
            tasks.cancel(self.database, each.uuid)
        self.assertIsNotNone(attach)
        self.assertEqual([], nodes.half_attached(self.database, 60, limit=9))
        ((left, uri),) = nodes.half_attached(self.database, -1, limit=9)
        self.assertEqual(("n1", found[1]), (left.name, uri))
        nodes.keep_block(self.database, ready.id, uri)
        self.assertEqual([], nodes.half_attached(self.database, -1, limit=9))

    def test_one_that_is_forgotten_frees_everything(self) -> None:
        nodes.forget(self.database, self.end())
        self.assertEqual({"a", "b", "c"}, self.free())
        self.assertEqual([], nodes.list_page(self.database, limit=9))

    def test_a_machine_that_was_adopted_meanwhile_is_told(self) -> None:
        other = inventory.store
        other(self.database, self.pod.id, [seen(self.made.uri)], [])
        (machine,) = pods.list_machines(self.database, limit=9)
        candidate = Candidate(self.pod.id, 0, 1, 1, machine_id=machine.id)
        nodes.reserve(self.database, NewNode("n2", Requirements(), Caller()), candidate)
        self.assertTrue(nodes.is_composing(self.database, self.pod.id))
        with self.assertRaises(Conflict):
            self.end()

    def test_a_composed_machine_stays_one_whatever_is_said_of_it(self) -> None:
        plain = seen(self.made.uri)
        self.made = plain
        ready = self.end()
        self.assertTrue(ready.machine and ready.machine.composed)
        inventory.store(self.database, self.pod.id, [plain], [])
        inventory.note_machine(self.database, ready.machine.id, plain)  # type: ignore[union-attr]
        (machine,) = pods.list_machines(self.database, limit=9)
        self.assertTrue(machine.composed)

    def test_an_inventory_that_began_before_something_ended_does_not_undo_it(self) -> None:
        began = clock.now()
        self.end()
        inventory.store(self.database, self.pod.id, [], [], [], began)
        (machine,) = pods.list_machines(self.database, limit=9)
        self.assertIsNone(machine.missing_since)
        release_node(self.database, nodes.get(self.database, "n1"))
        stale = [block("a", cpus=8, memory_mib=16384, state="Composed")]
        inventory.store(self.database, self.pod.id, [], [], stale, began)
        found = inventory.list_components(self.database, limit=9, kind=ComponentKind.BLOCK)
        self.assertEqual("Unused", {each.name: each.state for each in found}["a"])

    def test_what_was_polled_since_is_read_anew_but_for_what_a_poll_knows(self) -> None:
        began = clock.now()
        self.end()
        other = seen(self.made.uri, cpus=64, name="bigger", power_state="Off")
        pods.note_power(self.database, pods.list_machines(self.database, limit=1)[0].id, "On")
        inventory.store(self.database, self.pod.id, [other], [], [], began)
        (machine,) = pods.list_machines(self.database, limit=9)
        self.assertEqual((64, "bigger", "On"), (machine.cpus, machine.name, machine.power_state))

    def test_an_end_is_begun_once(self) -> None:
        first = nodes.begin_release(self.database, self.node, release_task(self.node), error="Why")
        self.assertIsNotNone(first)
        self.assertIsNone(nodes.begin_release(self.database, self.node, release_task(self.node)))
        self.assertEqual("Why", nodes.get(self.database, "n1").error)
        nodes.end_release(self.database, self.node.id)
        self.assertIsNone(nodes.begin_release(self.database, self.node, release_task(self.node)))


@databases.on_every_backend
class InventoryTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)
        self.machine = add_machine(self.database, self.pod)

    def names(self, **filters: object) -> dict[str, bool]:
        """Whether each component is missing."""
        found = inventory.list_components(self.database, limit=99, **filters)  # type: ignore[arg-type]
        return {each.name: each.missing_since is not None for each in found}

    def test_parts_of_a_pod_and_of_a_machine_are_apart(self) -> None:
        chassis = SeenComponent(ComponentKind.CHASSIS, "http://bmc.example/c", "rack", "OK")
        drive = SeenComponent(
            ComponentKind.DRIVE, "http://bmc.example/d", "disk", size_gib=9, properties={"a": 1}
        )
        port = SeenComponent(ComponentKind.PORT, "http://bmc.example/p", "port")
        machines = [seen(self.machine.uri)]
        inventory.store(self.database, self.pod.id, machines, [], [chassis])
        inventory.store_parts(self.database, self.machine, [ComponentKind.DRIVE], [drive])
        inventory.store_parts(self.database, self.machine, [ComponentKind.PORT], [port])
        self.assertEqual({"rack": False, "disk": False, "port": False}, self.names())
        inventory.store(self.database, self.pod.id, machines, [], [])
        inventory.store_parts(self.database, self.machine, [ComponentKind.DRIVE], [])
        self.assertEqual({"rack": True, "disk": True, "port": False}, self.names())
        inventory.store_parts(self.database, self.machine, [ComponentKind.DRIVE], [drive])
        self.assertEqual({"disk": False, "port": False}, self.names(machine_uuid=self.machine.uuid))
        self.assertEqual({"disk": False}, self.names(kind=ComponentKind.DRIVE, pod_name="one"))
        self.assertEqual({}, self.names(node_name="none"))
        (found,) = inventory.list_components(self.database, limit=9, kind=ComponentKind.DRIVE)
        self.assertEqual(
            (9, {"a": 1}, self.machine.uuid, "one"),
            (found.size_gib, found.properties, found.machine, found.pod_name),
        )
        self.assertEqual(found, inventory.get_component(self.database, found.uuid))

    def test_a_part_that_moved_to_another_machine_is_that_ones(self) -> None:
        other = add_machine(self.database, add_pod(self.database, "two"), "http://x/1")
        inventory.store(
            self.database, self.pod.id, [seen(self.machine.uri), seen("http://bmc.example/2")], []
        )
        second = next(
            each
            for each in pods.list_machines(self.database, limit=9, pod_name="one")
            if each.id != self.machine.id
        )
        drive = SeenComponent(ComponentKind.DRIVE, "http://bmc.example/d", "disk")
        for owner in (self.machine, second, other):
            inventory.store_parts(self.database, owner, [ComponentKind.DRIVE], [drive])
        inventory.store_parts(self.database, self.machine, [ComponentKind.DRIVE], [])
        found = inventory.list_components(self.database, limit=9)
        owners = {(each.pod_name, each.machine): each.missing_since for each in found}
        self.assertEqual({("one", second.uuid): None, ("two", other.uuid): None}, owners)

    def test_what_is_behind_a_silent_address_or_list_stays(self) -> None:
        rack = SeenComponent(ComponentKind.CHASSIS, "http://bmc.example/Chassis/1", "rack")
        store = inventory.store
        store(self.database, self.pod.id, [seen(self.machine.uri)], [], [rack])
        for silent in ("http://bmc.example", "http://bmc.example/Chassis", rack.uri):
            store(self.database, self.pod.id, [seen(self.machine.uri)], [silent], [])
            with self.subTest(silent):
                self.assertEqual({"rack": False}, self.names())

    def test_pages(self) -> None:
        racks = [
            SeenComponent(ComponentKind.CHASSIS, f"http://bmc.example/{number}", f"r{number}")
            for number in range(3)
        ]
        inventory.store(self.database, self.pod.id, [], [], racks)
        page = inventory.list_components(self.database, limit=2)
        rest = inventory.list_components(self.database, limit=2, after=page[-1].uuid)
        self.assertEqual(3, len({each.uuid for each in (*page, *rest)}))
        with self.assertRaises(NotFound):
            inventory.list_components(self.database, limit=2, after="none")

    def test_one_machine_read_anew(self) -> None:
        inventory.store(self.database, self.pod.id, [], [])
        changed = seen(self.machine.uri, power_state="On", health="Warning")
        inventory.note_machine(self.database, self.machine.id, changed)
        found = pods.get_machine(self.database, self.machine.uuid)
        self.assertEqual(
            ("On", "Warning", None), (found.power_state, found.health, found.missing_since)
        )


@databases.on_every_backend
class LabelsTest(databases.DatabaseTestCase):
    def test_labels_are_kept_replaced_and_asked_for(self) -> None:
        first = add_pod(self.database, "one")
        pods.update(self.database, "one", {}, labels={"site": "north", "tier": "1"})
        add_pod(self.database, "two")
        pods.update(self.database, "two", {}, labels={"site": "north"})

        def found(**labels: str) -> list[str]:
            return [each.name for each in pods.list_page(self.database, limit=9, labels=labels)]

        self.assertEqual(["one", "two"], found(site="north"))
        self.assertEqual(["one"], found(site="north", tier="1"))
        pods.update(self.database, "one", {"description": "x"})
        self.assertEqual(
            {"site": "north", "tier": "1"}, pods.labels_of(self.database, [first.id])[first.id]
        )
        pods.update(self.database, "one", {}, labels={})
        self.assertEqual(["two"], found(site="north"))
        pods.delete(self.database, "two")
        self.assertEqual([], found(site="north"))

    def test_the_targets_of_a_batch(self) -> None:
        first = add_pod(self.database, "one")
        pods.update(self.database, "one", {}, labels={"site": "north"})
        free = add_machine(self.database, first, "http://a/1")
        inventory.store(
            self.database, first.id, [seen("http://a/1"), seen("http://a/2", cpus=99)], []
        )
        held = add_node(self.database, "n1", Requirements(cpus=99)).machine
        assert held is not None
        other = add_machine(self.database, add_pod(self.database, "two"))

        def targets(*, machines: bool = True, nodes: bool = False) -> list[tuple[int, str]]:
            labels = {"site": "north"}
            return list(pods.targets(self.database, labels, machines=machines, nodes=nodes))

        self.assertEqual([(first.id, free.uuid)], targets())
        self.assertEqual({free.uuid, held.uuid}, {each for _, each in targets(nodes=True)})
        self.assertEqual([(first.id, "")], targets(machines=False))
        self.assertNotIn(other.uuid, [each for _, each in targets(nodes=True)])


@databases.on_every_backend
class BatchTest(databases.DatabaseTestCase):
    def test_all_tasks_of_a_batch_are_written_and_counted(self) -> None:
        pod = add_pod(self.database)
        new = NewTask(PodService.COMPUTE, "power-machine", 0, "", CIPHER, 600, Caller("u"), "b1", 5)
        targets = [(pod.id, f"m{number}") for number in range(1200)]
        tasks.submit_batch(self.database, new, targets)
        self.assertEqual({TaskState.PENDING: 1200}, tasks.states_of(self.database, "b1"))
        self.assertEqual({}, tasks.states_of(self.database, "b2"))
        add_task(self.database, pod)
        page = tasks.list_page(self.database, limit=2000, batch="b1")
        self.assertEqual(({"b1"}, 1200), ({each.batch for each in page}, len(page)))
        self.assertEqual("u", page[0].user_id)
        tasks.cancel(self.database, page[0].uuid)
        states = tasks.states_of(self.database, "b1")
        self.assertEqual({TaskState.PENDING: 1199, TaskState.CANCELLED: 1}, states)


@databases.on_every_backend
class FlavorsTest(databases.DatabaseTestCase):
    def test_flavors(self) -> None:
        needs = Requirements("one", 4, 8192, 100, {"site": "north"})
        for name in ("b", "a"):
            flavors.add(self.database, name, "text", needs)
        with self.assertRaises(Conflict):
            flavors.add(self.database, "a", None, Requirements())
        found = flavors.get(self.database, "a")
        self.assertEqual(("text", needs), (found.description, found.requirements))
        page = flavors.list_page(self.database, limit=1)
        rest = flavors.list_page(self.database, limit=9, marker="a")
        self.assertEqual(["a", "b"], [each.name for each in (*page, *rest)])
        flavors.delete(self.database, "a")
        for call in (flavors.get, flavors.delete):
            with self.assertRaises(NotFound):
                call(self.database, "a")


class CandidateTest(databases.DatabaseTestCase):
    def test_a_name_in_use_is_told_whatever_was_found(self) -> None:
        add_machine(self.database, add_pod(self.database))
        made = add_node(self.database)
        candidate = Candidate(made.pod_id, 0, 1, 1, machine_id=None)
        with self.assertRaises(Conflict):
            nodes.reserve(self.database, NewNode("n1", Requirements(), Caller()), candidate)

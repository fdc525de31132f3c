# SPDX-License-Identifier: Apache-2.0
"""Every action on the fake driver to its end; lost answers, refusals and what follows from them."""

import itertools
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headwater.common.context import Caller
from headwater.common.errors import NoAnswer, NotFound
from headwater.common.secrets import KeyRing
from headwater.common.states import ComponentKind, NodeState, PodService, TaskState
from headwater.db import inventory, nodes, pods, tasks
from headwater.db.pod_records import (
    Candidate,
    ClaimedTask,
    NewNode,
    NewTask,
    Node,
    Pod,
    Requirements,
    TaskRest,
)
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Cancelled, Completed, Doubtful, Result, TaskWork, Waiting
from headwater.orchestrator.podm.drivers import (
    DriverSettings,
    NewVolume,
    Operation,
    PodChanged,
    PodRefused,
    Progress,
    Stage,
)
from headwater.orchestrator.podm.drivers.fake import FakePod
from headwater.orchestrator.podm.handler import ACTIONS, PodHandler
from headwater.orchestrator.podm.mending import mend
from headwater.orchestrator.podm.scheduler import Scheduler, Weights
from tests.support import databases
from tests.support.pod_builders import add_pod, release_task

_numbers = itertools.count(1)

_CALLER = Caller("u1", None, "p1")

#: More steps than any action takes.
_MOST = 60


class Pods:
    """Gives all pods one driver."""

    def __init__(self, driver: FakePod):
        self._driver = driver

    def driver(self, pod: Pod) -> FakePod:
        return self._driver


class FakeTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.driver = FakePod(DriverSettings("", "", None, 1, 1))
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.key_ring = KeyRing.ensure(directory / "keys")
        self.handler = PodHandler(self.database, Pods(self.driver), self.key_ring)  # type: ignore[arg-type]
        self.done: set[str] = set()

    def add(self, kind: str) -> Pod:
        """A pod of the fake driver, read."""
        address = f"http://{kind}-{next(_numbers)}.example"
        pod = add_pod(self.database, f"{kind}{next(_numbers)}", addresses=(address,))
        self.run_to_its_end("sync-pod", pod.id)
        return pod

    def step(
        self,
        action: str,
        pod_id: int,
        target: str = "",
        parameters: Mapping[str, Any] | None = None,
        position: Mapping[str, Any] | None = None,
        *,
        cancel: bool = False,
    ) -> Result:
        """One step, as a worker would do it, that writes down what the worker would."""
        task = ClaimedTask(
            1, "t1", 1, 0, "compute", action, pod_id, target, "pending", 0, cancel, None, None
        )
        self.done.add(action)
        return self.handler.execute(
            TaskWork(task, parameters or {}, position or {}, lambda **values: None, lambda: None)
        )

    def run_to_its_end(
        self,
        action: str,
        pod_id: int,
        target: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Result:
        position: Mapping[str, Any] = {}
        for _ in range(_MOST):
            result = self.step(action, pod_id, target, parameters, position)
            if not isinstance(result, Waiting | Doubtful):
                return result
            position = result.position
        raise AssertionError(f"{action} never ends: {result}")

    def compose(self, pod: Pod, **needs: Any) -> Node:
        scheduler = Scheduler(self.database, self.key_ring, Weights())
        requirements = Requirements(pod_name=pod.name, **needs)
        return scheduler.compose(f"n{next(_numbers)}", requirements, _CALLER, 600)

    def claim(self) -> list[ClaimedTask]:
        wanted = tasks.Wanted(("compute", "storage"), 9, 99)  # type: ignore[arg-type]
        return list(tasks.claim(self.database, wanted, "worker", 600))

    def composed(self, pod: Pod, **needs: Any) -> Node:
        """A node of resource blocks that is ready."""
        made = self.compose(pod, **needs)
        (held,) = self.claim()
        result = self.run_to_its_end("compose-node", pod.id, made.uuid, self._parameters(held))
        self.assertIsInstance(result, Completed)
        tasks.release(self.database, held, TaskRest(TaskState.COMPLETED, 1))
        return nodes.get(self.database, made.name)

    def _parameters(self, held: ClaimedTask) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.key_ring.decrypt(str(held.parameters))
        return found

    def lose(self, name: str, *, take: bool) -> Callable[[], int]:
        """Let the answer to the next order be lost, taken or not; how often it was given."""
        original, given = getattr(self.driver, name), 0

        def lost(*arguments: Any, **options: Any) -> None:
            nonlocal given
            given += 1
            setattr(self.driver, name, counted)
            if take:
                original(*arguments, **options)
            raise NoAnswer("The line is dead.")

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal given
            given += 1
            return original(*arguments, **options)

        setattr(self.driver, name, lost)
        return lambda: given


class EveryActionTest(FakeTestCase):
    def test_every_action_comes_to_its_end(self) -> None:
        fleet, podm = self.add("bmc"), self.add("podm")
        node = self.composed(podm, storage_gib=1)
        assert node.machine is not None
        target = node.machine.uuid
        volume = {"name": "data", "size_gib": 5}
        for action, parameters in (
            ("read-machine", {}),
            ("power-machine", {"action": "on"}),
            ("boot-node", {"device": "Pxe", "once": True}),
            ("media-node", {"image": "http://images/a.iso"}),
            ("boot-image-node", {"image": "http://images/b.iso"}),
            ("bios-node", {"attributes": {"NumLock": False}}),
            ("read-bios", {}),
            ("firmware-node", {"image": "http://images/c.bin"}),
            ("read-firmware", {}),
            ("add-volume-node", volume),
            ("read-storage", {}),
            ("read-ports", {}),
        ):
            with self.subTest(action):
                result = self.run_to_its_end(action, podm.id, target, parameters)
                self.assertIsInstance(result, Completed)
        parts = inventory.list_components(self.database, limit=9, machine_uuid=target)
        kinds = {each.kind: each for each in parts}
        self.assertEqual(
            {ComponentKind.DRIVE, ComponentKind.VOLUME, ComponentKind.PORT}, set(kinds)
        )
        gone = {"volume": kinds[ComponentKind.VOLUME].uri}
        self.assertIsInstance(
            self.run_to_its_end("delete-volume-node", podm.id, target, gone), Completed
        )
        found = nodes.free_storage(self.database, node, 1)
        assert found is not None
        for action in ("attach-node", "detach-node"):
            result = self.run_to_its_end(action, podm.id, target, {"block": found[1]})
            self.assertIsInstance(result, Completed)
        nodes.begin_release(self.database, node, release_task(node))
        self.assertIsInstance(self.run_to_its_end("release-node", podm.id, target), Completed)
        self.assertEqual([], nodes.list_page(self.database, limit=9))
        self.assertEqual([fleet.id], [each.pod_id for each in self.machines()])
        self.assertEqual(set(ACTIONS) - _ELSEWHERE, self.done)

    def machines(self) -> list[Any]:
        return list(pods.list_machines(self.database, limit=9))

    def test_a_fixed_machine_cannot_be_changed(self) -> None:
        fleet = self.add("bmc")
        (machine,) = self.machines()
        result = self.run_to_its_end("attach-node", fleet.id, machine.uuid, {"block": machine.uri})
        self.assertIsInstance(result, Failed)


#: Actions that have tests of their own elsewhere.
_ELSEWHERE = frozenset({"poll-machine", "poll-pod", "subscribe-pod"})


class ComposeTest(FakeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = self.add("podm")

    def begin(self) -> tuple[Node, Mapping[str, Any]]:
        made = self.compose(self.pod, cpus=1)
        (held,) = self.claim()
        tasks.release(self.database, held, TaskRest(TaskState.WAITING, 0, pause=600))
        return made, self._parameters(held)

    def free(self) -> int:
        listed = inventory.list_components(self.database, limit=99, kind=ComponentKind.BLOCK)
        return sum(each.node_name is None for each in listed)

    def test_blocks_behind_an_address_that_was_taken_out_are_free_again(self) -> None:
        made, parameters = self.begin()
        pods.update(self.database, self.pod.name, {"addresses": ("http://podm-other.example",)})
        result = self.step("compose-node", self.pod.id, made.uuid, parameters)
        assert isinstance(result, Failed)
        self.assertIn("no longer one of the pod's", result.reason)
        self.assertIs(NodeState.RELEASING, nodes.get(self.database, made.name).state)
        ended = self.step("release-node", self.pod.id, made.uuid, {"nothing_made": True})
        self.assertIsInstance(ended, Completed)
        self.assertEqual([], nodes.list_page(self.database, limit=9))

    def test_a_lost_order_that_was_taken_is_found_and_not_given_again(self) -> None:
        made, parameters = self.begin()
        given = self.lose("compose", take=True)
        result = self.run_to_its_end("compose-node", self.pod.id, made.uuid, parameters)
        self.assertIsInstance(result, Completed)
        self.assertEqual(1, given())
        self.assertIs(NodeState.READY, nodes.get(self.database, made.name).state)

    def test_a_lost_order_that_was_not_taken_is_given_again(self) -> None:
        made, parameters = self.begin()
        given = self.lose("compose", take=False)
        result = self.run_to_its_end("compose-node", self.pod.id, made.uuid, parameters)
        self.assertIsInstance(result, Completed)
        self.assertEqual(2, given())

    def test_a_refused_order_frees_the_blocks_by_a_task_that_asks_nobody(self) -> None:
        made, parameters = self.begin()
        self.driver.compose = self.refuse  # type: ignore[method-assign]
        result = self.step("compose-node", self.pod.id, made.uuid, parameters)
        assert isinstance(result, Failed)
        self.assertIn("No power left", result.reason)
        left = nodes.get(self.database, made.name)
        self.assertEqual((NodeState.RELEASING, "No power left."), (left.state, left.error))
        self.assertEqual({"nothing_made": True}, self.release_parameters(made))
        done = self.step("release-node", self.pod.id, made.uuid, self.release_parameters(made))
        self.assertIsInstance(done, Completed)
        self.assertEqual(8, self.free())
        # The next one is not made of what was refused just now.
        again = self.compose(self.pod, cpus=1)
        blocks = {each.uri for each in inventory.blocks_of(self.database, again.id)}
        self.assertEqual(set(), blocks & set(parameters["blocks"]))

    def refuse(self, *arguments: Any) -> Operation | None:
        raise PodRefused("No power left.")

    def release_parameters(self, node: Node) -> Mapping[str, Any]:
        found = tasks.list_page(self.database, limit=9, target=node.uuid)
        self.assertEqual(["release-node", "compose-node"], [each.action for each in found])
        with self.database.read() as connection:
            text = connection.exec_driver_sql(
                "SELECT parameters FROM task WHERE action = 'release-node'"
            ).scalar_one()
        found_parameters: Mapping[str, Any] = self.key_ring.decrypt(text)
        return found_parameters

    def test_a_cancelled_order_is_waited_for_and_undone(self) -> None:
        made, parameters = self.begin()
        first = self.step("compose-node", self.pod.id, made.uuid, parameters)
        assert isinstance(first, Waiting)
        cancelled = self.step(
            "compose-node", self.pod.id, made.uuid, parameters, first.position, cancel=True
        )
        self.assertIsInstance(cancelled, Cancelled)
        self.keep_position(first.position)
        self.assertIs(NodeState.RELEASING, nodes.get(self.database, made.name).state)
        done = self.run_to_its_end("release-node", self.pod.id, made.uuid)
        self.assertIsInstance(done, Completed)
        with self.assertRaises(NotFound):
            nodes.get(self.database, made.name)
        self.assertEqual(8, self.free())
        self.assertIsInstance(self.run_to_its_end("sync-pod", self.pod.id), Completed)
        self.assertEqual([], pods.list_machines(self.database, limit=9))

    def keep_position(self, position: Mapping[str, Any]) -> None:
        """What the worker writes with the end of the compose task."""
        (open_task,) = (
            each
            for each in tasks.list_page(self.database, limit=9)
            if each.action == "compose-node" and each.finished_at is None
        )
        tasks.cancel(self.database, open_task.uuid)
        tasks.rescue(self.database, ["compute"])  # type: ignore[list-item]
        (held,) = (each for each in self.claim() if each.action == "compose-node")
        tasks.note(self.database, held, position=position)
        tasks.release(self.database, held, TaskRest(TaskState.CANCELLED, 1))

    def test_what_passed_its_deadline_is_found_and_undone(self) -> None:
        made, parameters = self.begin()
        first = self.step("compose-node", self.pod.id, made.uuid, parameters)
        assert isinstance(first, Waiting)
        self.assertEqual(0, mend(self.database, self.key_ring, age=-1))
        self.keep_position(first.position)
        self.assertEqual(1, mend(self.database, self.key_ring, age=-1))
        self.assertEqual(0, mend(self.database, self.key_ring, age=-1))
        done = self.run_to_its_end("release-node", self.pod.id, made.uuid)
        self.assertIsInstance(done, Completed)
        self.assertEqual(8, self.free())

    def test_a_pod_that_still_composes_is_asked_for_nothing_more(self) -> None:
        made, parameters = self.begin()
        given = self.lose("compose", take=False)
        left = iter(range(40))
        self.driver.is_composing = lambda blocks: next(left, None) is not None  # type: ignore[method-assign]
        position: Mapping[str, Any] = {}
        for _ in range(40):
            result = self.step("compose-node", self.pod.id, made.uuid, parameters, position)
            assert isinstance(result, Waiting | Doubtful)
            position = result.position
        self.assertEqual(1, given())
        self.keep_position(position)
        left = iter(range(20))
        nodes.begin_release(self.database, made, release_task(made))
        position = {}
        for _ in range(20):
            result = self.step("release-node", self.pod.id, made.uuid, None, position)
            assert isinstance(result, Waiting)
            position = result.position
        self.assertEqual(1, len(nodes.list_page(self.database, limit=9)))
        done = self.run_to_its_end("release-node", self.pod.id, made.uuid)
        self.assertIsInstance(done, Completed)

    def test_a_machine_that_another_node_adopted_is_told(self) -> None:
        made, parameters = self.begin()
        first = self.step("compose-node", self.pod.id, made.uuid, parameters)
        assert isinstance(first, Waiting)
        self.run_to_its_end("sync-pod", self.pod.id)
        (machine,) = pods.list_machines(self.database, limit=9)
        candidate = Candidate(self.pod.id, 0, 1, 1, machine_id=machine.id)
        nodes.reserve(self.database, NewNode("thief", Requirements(), _CALLER), candidate)
        result: Result = first
        while isinstance(result, Waiting):
            position = result.position
            result = self.step("compose-node", self.pod.id, made.uuid, parameters, position)
        assert isinstance(result, Failed)
        self.assertIn("another node", result.reason)

    def test_an_operation_that_the_pod_forgot_is_judged_by_what_is_there(self) -> None:
        made, parameters = self.begin()
        self.driver.operation = lambda uri: Progress(Stage.GONE)  # type: ignore[method-assign]
        result = self.run_to_its_end("compose-node", self.pod.id, made.uuid, parameters)
        self.assertIsInstance(result, Completed)


class AttachTest(FakeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = self.add("podm")
        self.node = self.composed(self.pod, cpus=1)
        assert self.node.machine is not None
        self.target = self.node.machine.uuid
        found = nodes.free_storage(self.database, self.node, 1)
        assert found is not None
        self.block = found[1]
        new = NewTask(
            PodService.STORAGE,
            "attach-node",
            self.pod.id,
            self.target,
            self.key_ring.encrypt({"block": self.block}),
            600,
            _CALLER,
        )
        nodes.take_block(self.database, self.node.id, found[0], new)

    def attach(self, position: Mapping[str, Any] | None = None, *, cancel: bool = False) -> Result:
        parameters = {"block": self.block}
        return self.step(
            "attach-node", self.pod.id, self.target, parameters, position, cancel=cancel
        )

    def held(self) -> bool:
        found = inventory.blocks_of(self.database, self.node.id)
        return self.block in [each.uri for each in found]

    def end_task(self) -> None:
        for each in tasks.list_page(self.database, limit=9):
            tasks.cancel(self.database, each.uuid)

    def mended(self) -> Mapping[str, Any]:
        """The parameters of the task that takes the block back."""
        self.assertEqual(1, mend(self.database, self.key_ring, age=-1))
        (held,) = (each for each in self.claim() if each.action == "detach-node")
        return self._parameters(held)

    def test_a_block_that_is_refused_is_given_back_at_once(self) -> None:
        def refuse(uri: str, block: str) -> Operation | None:
            raise PodRefused("No cable reaches there.")

        self.driver.attach = refuse  # type: ignore[method-assign]
        self.assertIsInstance(self.attach(), Failed)
        self.assertFalse(self.held())

    def test_one_whose_attaching_was_cancelled_stays_until_it_is_known(self) -> None:
        self.driver.attach = lambda uri, block: Operation("http://pod/op")  # type: ignore[method-assign]
        first = self.attach()
        assert isinstance(first, Waiting)
        self.assertIsInstance(self.attach(first.position, cancel=True), Cancelled)
        self.assertTrue(self.held())
        self.end_task()
        parameters = self.mended()
        self.assertEqual({"block": self.block, "half_attached": True}, parameters)
        result = self.step("detach-node", self.pod.id, self.target, parameters)
        # It may still come.
        self.assertIsInstance(result, Waiting)
        self.assertTrue(self.held())
        done = self.run_to_its_end("detach-node", self.pod.id, self.target, parameters)
        self.assertIsInstance(done, Completed)
        self.assertFalse(self.held())

    def test_one_that_was_attached_without_a_word_is_detached(self) -> None:
        self.driver.attach(self.node.machine.uri, self.block)  # type: ignore[union-attr]
        self.end_task()
        done = self.run_to_its_end("detach-node", self.pod.id, self.target, self.mended())
        self.assertIsInstance(done, Completed)
        self.assertFalse(self.held())
        self.assertNotIn(self.block, self.driver.blocks(self.node.machine.uri))  # type: ignore[union-attr]

    def test_one_that_is_attached_is_left_alone(self) -> None:
        result = self.run_to_its_end("attach-node", self.pod.id, self.target, {"block": self.block})
        self.assertIsInstance(result, Completed)
        self.end_task()
        self.assertEqual(0, mend(self.database, self.key_ring, age=-1))
        self.assertTrue(self.held())


class OwnerTest(FakeTestCase):
    """What was ordered for a machine does not happen to its next owner."""

    def setUp(self) -> None:
        super().setUp()
        self.pod = self.add("bmc")
        (self.machine,) = pods.list_machines(self.database, limit=9)

    def order(self, owner: str, position: Mapping[str, Any] | None = None) -> Result:
        parameters = {"action": "on", "owner": owner}
        return self.step("power-machine", self.pod.id, self.machine.uuid, parameters, position)

    def test_an_order_for_a_free_machine(self) -> None:
        self.assertIsInstance(self.order("", {"step": "ordered", "looks": 0}), Waiting)
        made = self.compose(self.pod)
        refused = self.order("")
        assert isinstance(refused, Failed)
        self.assertIn(made.name, refused.reason)
        # What was sent before is watched to its end.
        self.assertIsInstance(self.order("", {"step": "ordered", "looks": 0}), Waiting)
        self.assertEqual("Off", self.driver.power_state(self.machine.uri))

    def test_an_order_for_a_node(self) -> None:
        made = self.compose(self.pod)
        self.assertIsInstance(self.order("another"), Failed)
        nodes.begin_release(self.database, made, release_task(made))
        self.assertIsInstance(self.order(made.uuid), Failed)
        nodes.end_release(self.database, made.id)
        gone = self.order(made.uuid)
        assert isinstance(gone, Failed)
        self.assertIn("is gone", gone.reason)

    def test_an_order_for_the_present_owner(self) -> None:
        made = self.compose(self.pod)
        self.assertIsInstance(self.order(made.uuid), Waiting)

    def test_a_machine_that_is_gone_is_released(self) -> None:
        made = self.compose(self.pod)
        nodes.begin_release(self.database, made, release_task(made))
        self.driver.system = lambda uri: None  # type: ignore[method-assign]
        done = self.run_to_its_end("release-node", self.pod.id, self.machine.uuid)
        self.assertIsInstance(done, Completed)
        self.assertEqual([], nodes.list_page(self.database, limit=9))


class OrderTest(FakeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = self.add("bmc")
        (machine,) = pods.list_machines(self.database, limit=9)
        self.target = machine.uuid

    def run_it(self, action: str, **parameters: Any) -> Result:
        return self.run_to_its_end(action, self.pod.id, self.target, parameters)

    def test_a_lost_update_that_was_taken_is_seen_by_its_versions(self) -> None:
        given = self.lose("update_firmware", take=True)
        result = self.run_it("firmware-node", image="http://images/x")
        assert isinstance(result, Completed)
        self.assertEqual({"before": {"BMC": "1.1"}, "versions": {"BMC": "1.2"}}, result.result)
        self.assertEqual(1, given())

    def test_a_lost_update_of_which_nothing_is_seen_is_never_given_again(self) -> None:
        given = self.lose("update_firmware", take=False)
        result = self.run_it("firmware-node", image="http://images/x")
        assert isinstance(result, Failed)
        self.assertIn("may be under way", result.reason)
        self.assertEqual(1, given())

    def test_an_update_that_the_pod_gave_up_says_why(self) -> None:
        self.driver.operation = lambda uri: Progress(  # type: ignore[method-assign]
            Stage.FAILED, message="The image is for another board."
        )
        result = self.run_it("firmware-node", image="http://images/x")
        assert isinstance(result, Failed)
        self.assertIn("another board", result.reason)

    def test_an_update_that_changed_no_version_is_told_so(self) -> None:
        self.driver.update_firmware = lambda uri, image: None  # type: ignore[method-assign]
        result = self.run_it("firmware-node", image="http://images/x")
        assert isinstance(result, Completed)
        self.assertIn("those of before", str(result.message))

    def test_a_volume_of_a_name_in_use_is_not_made(self) -> None:
        self.assertIsInstance(self.run_it("add-volume-node", name="v", size_gib=1), Completed)
        again = self.run_it("add-volume-node", name="v", size_gib=1)
        assert isinstance(again, Failed)
        self.assertIn("already", again.reason)

    def test_a_controller_that_keeps_no_names(self) -> None:
        original = self.driver.add_volume

        def nameless(uri: str, volume: NewVolume) -> Operation | None:
            return original(uri, replace(volume, name="Volume.1"))

        self.driver.add_volume = nameless  # type: ignore[method-assign]
        self.assertIsInstance(self.run_it("add-volume-node", name="v", size_gib=1), Completed)

    def test_a_bmc_that_shows_its_image_in_other_words(self) -> None:
        self.driver.media = lambda uri: "http://images/a.iso"  # type: ignore[method-assign]
        result = self.run_it("media-node", image="http://images/a.iso?signature=1234")
        self.assertIsInstance(result, Completed)

    def test_a_bmc_that_answers_anything_while_it_updates_itself(self) -> None:
        original, odd = self.driver.firmware, iter(range(20))

        def firmware(uri: str) -> Mapping[str, str]:
            if self.ordered and next(odd, None) is not None:
                raise PodRefused("404: no such thing")
            return original(uri)

        self.ordered = False
        update = self.driver.update_firmware

        def ordered(uri: str, image: str) -> Operation | None:
            self.ordered = True
            return update(uri, image)

        self.driver.firmware, self.driver.update_firmware = firmware, ordered  # type: ignore[method-assign]
        result = self.run_it("firmware-node", image="http://images/x")
        assert isinstance(result, Completed)
        self.assertEqual({"BMC": "1.2"}, result.result["versions"])

    def test_a_lost_volume_is_never_made_twice(self) -> None:
        for take, kind in ((True, Completed), (False, Failed)):
            given = self.lose("add_volume", take=take)
            result = self.run_it("add-volume-node", name=f"v{take}", size_gib=1)
            with self.subTest(take):
                self.assertIsInstance(result, kind)
                self.assertEqual(1, given())

    def test_the_percent_of_an_operation_is_the_tasks(self) -> None:
        percents = []
        position: Mapping[str, Any] = {}
        while True:
            result = self.step(
                "firmware-node", self.pod.id, self.target, {"image": "http://x/y"}, position
            )
            if not isinstance(result, Waiting):
                break
            percents.append(result.percent or 0)
            position = result.position
        self.assertIsInstance(result, Completed)
        self.assertEqual(sorted(percents), percents)
        self.assertGreater(len(set(percents)), 2)

    def test_a_watched_operation_is_not_stopped_by_cancelling(self) -> None:
        first = self.step("firmware-node", self.pod.id, self.target, {"image": "http://x/y"})
        assert isinstance(first, Waiting)
        result = self.step(
            "firmware-node",
            self.pod.id,
            self.target,
            {"image": "http://x/y"},
            first.position,
            cancel=True,
        )
        assert isinstance(result, Cancelled)
        self.assertIn("the pod goes on with it", result.message)

    def test_what_changed_meanwhile_is_tried_again(self) -> None:
        original = self.driver.set_boot

        def changed(*arguments: Any, **options: Any) -> Operation | None:
            self.driver.set_boot = original  # type: ignore[method-assign]
            raise PodChanged("412: somebody else was there.")

        self.driver.set_boot = changed  # type: ignore[method-assign]
        result = self.step("boot-node", self.pod.id, self.target, {"device": "Pxe", "once": True})
        self.assertEqual("Retry", type(result).__name__)
        self.assertIsInstance(self.run_it("boot-node", device="Pxe", once=True), Completed)

    def test_a_machine_that_is_gone(self) -> None:
        self.driver.system = lambda uri: None  # type: ignore[method-assign]
        self.assertIsInstance(self.run_it("read-machine"), Failed)

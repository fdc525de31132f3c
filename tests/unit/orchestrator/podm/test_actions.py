# SPDX-License-Identifier: Apache-2.0
"""What tasks do to pods, step by step, on drivers that answer as the test says."""

import gc
import pathlib
import tempfile
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

from headwater.common.errors import LeaseLost, LoginRefused, NoAnswer, Unreachable
from headwater.common.secrets import KeyRing
from headwater.common.states import Availability, BootDevice, PowerAction
from headwater.db import nodes, pods
from headwater.db.pod_records import ClaimedTask, Pod, SeenMachine
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import Cancelled, Completed, Doubtful, Result, TaskWork, Waiting
from headwater.orchestrator.podm.access import PodAccess, PodAccessSettings
from headwater.orchestrator.podm.actions import USUAL_DEADLINE
from headwater.orchestrator.podm.drivers import Boot, Busy, Inventory, PodDriver, PodRefused
from headwater.orchestrator.podm.handler import PodHandler
from headwater.orchestrator.podm.own import Foreign, own_only
from tests.support import databases
from tests.support.pod_builders import add_machine, add_node, add_pod, release_task, seen
from tests.support.waiting import PATIENCE


class Machine:
    """A driver of one machine, whose answers the test decides."""

    def __init__(self) -> None:
        self.state: str | None = "Off"
        self.there = True
        self.orders: list[PowerAction] = []
        self.boots = Boot(None, once=False)
        self.image: str | None = None
        #: Orders for settings, and what is called before one is taken.
        self.settings = 0
        self.setting: Callable[[], None] = lambda: None
        self.order: Callable[[PowerAction], None] = lambda action: None
        self.shows: Callable[[str], Inventory] = lambda address: Inventory([])

    def inventory(self, address: str) -> Inventory:
        return self.shows(address)

    def system(self, uri: str) -> SeenMachine | None:
        return seen(uri, power_state=self.state) if self.there else None

    def power_state(self, uri: str) -> str | None:
        return self.state

    def power(self, uri: str, action: PowerAction) -> None:
        self.orders.append(action)
        self.order(action)

    def boot(self, uri: str) -> Boot:
        return self.boots

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> None:
        self.settings += 1
        self.setting()
        self.boots = Boot(device.value, once)

    def media(self, uri: str) -> str | None:
        return self.image

    def set_media(self, uri: str, image: str | None) -> None:
        self.settings += 1
        self.setting()
        self.image = image


class Access:
    def __init__(self, driver: PodDriver):
        self._driver = driver

    def driver(self, pod: Pod) -> PodDriver:
        return self._driver


class ActionTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.driver = Machine()
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.key_ring = KeyRing.ensure(directory / "keys")
        self.handler = PodHandler(self.database, Access(self.driver), self.key_ring)  # type: ignore[arg-type]
        self.pod = add_pod(self.database)
        self.notes: list[dict[str, Any]] = []
        self.guard: Callable[[], None] = lambda: None

    def step(
        self,
        name: str,
        target: str = "",
        /,
        *,
        position: dict[str, Any] | None = None,
        cancel: bool = False,
        **parameters: Any,
    ) -> Result:
        task = ClaimedTask(
            id=1,
            uuid="t1",
            generation=1,
            failures=0,
            service="compute",
            action=name,
            pod_id=self.pod.id,
            target=target,
            state="pending",
            try_count=0,
            cancel_requested=cancel,
            parameters=None,
            position=None,
        )
        return self.handler.execute(
            TaskWork(task, parameters, position or {}, self.note, self.guard)
        )

    def note(self, **values: Any) -> None:
        self.notes.append(values)


class HandlerTest(ActionTestCase):
    def test_what_cannot_be_is_failed(self) -> None:
        for action, target in (("fly", ""), ("power-machine", "unknown")):
            self.assertIsInstance(self.step(action, target, action="on"), Failed)
        pods.delete(self.database, "one")
        self.assertIsInstance(self.step("sync-pod"), Failed)

    def test_errors_of_drivers_have_their_meanings(self) -> None:
        machine = add_machine(self.database, self.pod)
        for error, meaning in (
            (Unreachable("No answer", 7), Retry("No answer", False, True, 7)),
            (LoginRefused("Refused"), Retry("Refused", True)),
            (PodRefused("400: no"), Failed("400: no")),
        ):

            def order(action: PowerAction, error: Exception = error) -> None:
                raise error

            self.driver.order = order
            result = self.step("power-machine", machine.uuid, action="on")
            self.assertEqual(meaning, result)

    def test_the_address_of_an_image_reaches_no_text(self) -> None:
        machine = add_machine(self.database, self.pod)
        image = "https://images.example/a.iso?signature=secret"
        for error in (PodRefused(f"400: {image}"), NoAnswer(f"timed out: {image}")):

            def refuse(error: Exception = error) -> None:
                raise error

            self.driver.setting = refuse
            result = self.step("media-node", machine.uuid, image=image)
            assert isinstance(result, Failed | Doubtful)
            self.assertNotIn("secret", result.reason)

    def test_no_setting_that_may_be_a_password_reaches_a_text(self) -> None:
        machine = add_machine(self.database, self.pod)
        attributes = {"SetupPassword": "tiger7", "Wake": "Enabled", "Tries": 3, "Boot": "On"}
        refusal = "400: 'tiger7' is too short. Wake is Enabled, Boot On, Tries 3."

        def refuse(uri: str) -> None:
            raise PodRefused(refusal)

        self.driver.bios = refuse  # type: ignore[attr-defined]
        result = self.step("bios-node", machine.uuid, attributes=attributes)
        self.assertEqual(Failed(refusal.replace("tiger7", "***")), result)

    def test_a_driver_that_is_not_installed_is_named(self) -> None:
        add_pod(self.database, "two", driver="magic")
        self.pod = pods.get(self.database, "two")
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        access = PodAccess(KeyRing.ensure(directory), PodAccessSettings(1, 1))
        self.handler = PodHandler(self.database, access, self.key_ring)
        result = self.step("sync-pod")
        assert isinstance(result, Failed)
        self.assertIn("'magic'", result.reason)
        self.assertIn("bmc_fleet, fake, redfish", result.reason)


class PowerTest(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = add_machine(self.database, self.pod)

    def power(
        self, action: str = "on", position: dict[str, Any] | None = None, *, cancel: bool = False
    ) -> Result:
        return self.step(
            "power-machine", self.machine.uuid, action=action, position=position, cancel=cancel
        )

    def test_it_is_ordered_once_and_looked_at_until_it_is_there(self) -> None:
        first = self.power()
        assert isinstance(first, Waiting)
        # What is about to be sent was written before.
        self.assertEqual({"step": "ordering", "looks": 0}, self.notes[0]["position"])
        late = self.power(position=dict(first.position))
        assert isinstance(late, Waiting)
        self.assertEqual({"step": "ordered", "looks": 1}, late.position)
        self.driver.state = "On"
        done = self.power(position=dict(late.position))
        self.assertEqual(Completed({"power_state": "On"}, "The machine is On."), done)
        self.assertEqual([PowerAction.ON], self.driver.orders)
        found = pods.get_machine(self.database, self.machine.uuid)
        self.assertEqual("On", found.power_state)

    def test_percents_rise_and_never_reach_the_end(self) -> None:
        position: dict[str, Any] = {"step": "ordered", "looks": 0}
        percents = []
        for _ in range(50):
            result = self.power(position=position)
            assert isinstance(result, Waiting)
            position = dict(result.position)
            percents.append(result.percent or 0)
        self.assertEqual(sorted(percents), percents)
        self.assertLess(percents[-1], 100)

    def lose(self, action: PowerAction) -> None:
        raise NoAnswer("timed out")

    def test_an_order_that_did_not_reach_the_machine_leaves_no_doubt(self) -> None:
        for error in (Unreachable("503: later"), LoginRefused("Refused")):

            def order(action: PowerAction, error: Exception = error) -> None:
                raise error

            self.driver.order = order
            self.assertIsInstance(self.power(), Retry)
            self.assertEqual({}, self.notes[-1]["position"])

    def test_a_lost_order_that_was_taken_is_found_out_by_reading(self) -> None:
        self.driver.order = self.lose
        lost = self.power()
        assert isinstance(lost, Doubtful)
        self.driver.state = "On"
        self.assertIsInstance(self.power(position=dict(lost.position)), Completed)
        self.assertEqual(1, len(self.driver.orders))

    def test_a_lost_order_is_given_again_only_after_the_machine_was_seen_unchanged(self) -> None:
        self.driver.order = self.lose
        result = self.power()
        looks = 0
        while len(self.driver.orders) == 1:
            assert isinstance(result, Doubtful)
            result = self.power(position=dict(result.position))
            looks += 1
        self.assertEqual(15, looks)

    def test_a_second_try_that_was_not_taken_says_nothing_of_the_first(self) -> None:
        self.driver.order = self.lose
        result = self.power()

        def busy(action: PowerAction) -> None:
            raise Unreachable("503: later")

        self.driver.order = busy
        while isinstance(result, Doubtful):
            position = dict(result.position)
            result = self.power(position=position)
        self.assertIsInstance(result, Retry)
        self.assertEqual((2, position), (len(self.driver.orders), self.notes[-1]["position"]))
        self.assertEqual("ordering", position["step"])

    def test_an_order_that_is_lost_each_time_is_given_up(self) -> None:
        self.driver.order, self.driver.state = self.lose, "Off"
        result = self.power("on")
        while isinstance(result, Doubtful):
            result = self.power("on", dict(result.position))
        assert isinstance(result, Failed)
        self.assertIn("timed out It was ordered 4 times.", result.reason)
        self.assertEqual(4, len(self.driver.orders))

    def test_the_last_order_that_was_lost_is_looked_for_too(self) -> None:
        self.driver.order, self.driver.state = self.lose, "Off"
        result = self.power("on")
        while len(self.driver.orders) < 4:
            assert isinstance(result, Doubtful)
            result = self.power("on", dict(result.position))
        assert isinstance(result, Doubtful)
        self.driver.state = "On"
        self.assertIsInstance(self.power("on", dict(result.position)), Completed)

    def test_a_lost_reset_is_never_given_again(self) -> None:
        self.driver.order, self.driver.state = self.lose, "On"
        result = self.power("reset")
        while isinstance(result, Doubtful):
            result = self.power("reset", dict(result.position))
        assert isinstance(result, Failed)
        self.assertIn("nobody can read", result.reason)
        self.assertEqual(1, len(self.driver.orders))

    def test_a_reset_that_was_taken_ends_with_a_machine_that_is_on(self) -> None:
        result = self.power("reset")
        assert isinstance(result, Waiting)
        self.assertIsInstance(self.power("reset", dict(result.position)), Waiting)
        self.driver.state = "On"
        self.assertIsInstance(self.power("reset", dict(result.position)), Completed)

    def test_whoever_goes_on_after_a_crash_reads_first(self) -> None:
        result = self.power(position={"step": "ordering", "looks": 0})
        self.assertIsInstance(result, Doubtful)
        self.assertEqual([], self.driver.orders)

    def test_a_machine_that_says_nothing_of_its_power_is_waited_for(self) -> None:
        self.driver.state = None
        self.assertIsInstance(self.power(position={"step": "ordered", "looks": 0}), Waiting)

    def test_cancelled_before_and_after_the_order(self) -> None:
        before = self.power(cancel=True)
        assert isinstance(before, Cancelled)
        self.assertIn("Nothing was sent", before.message)
        self.assertEqual([], self.driver.orders)
        after = self.power(position={"step": "ordered", "looks": 3}, cancel=True)
        assert isinstance(after, Cancelled)
        self.assertIn("The machine is Off", after.message)


class SettingsTest(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = add_machine(self.database, self.pod)

    def media(self, image: str | None, **step: Any) -> Result:
        return self.step("media-node", self.machine.uuid, image=image, **step)

    def test_what_is_not_so_is_ordered_and_read_again(self) -> None:
        first = self.media("http://images/a.iso")
        assert isinstance(first, Waiting)
        self.assertIsInstance(self.media("http://images/a.iso"), Completed)
        self.assertEqual(1, self.driver.settings)

    def test_what_is_so_is_left_alone(self) -> None:
        self.assertIsInstance(self.media(None), Completed)
        self.assertEqual(0, self.driver.settings)

    def test_a_lost_order_is_read_and_then_given_again(self) -> None:
        def lose() -> None:
            raise NoAnswer("timed out")

        self.driver.setting = lose
        lost = self.media("http://images/a.iso")
        assert isinstance(lost, Doubtful)
        self.driver.setting = lambda: None
        again = self.media("http://images/a.iso", position=dict(lost.position))
        self.assertIsInstance(again, Waiting)
        self.assertEqual("http://images/a.iso", self.driver.image)

    def test_a_machine_that_never_shows_it_fails(self) -> None:
        result: Result = Waiting({}, 0)
        while isinstance(result, Waiting):
            self.driver.image = None
            result = self.media("http://images/a.iso", position=dict(result.position))
        assert isinstance(result, Failed)
        self.assertEqual(1, self.driver.settings)
        self.assertIn("not obeyed", result.reason)

    def test_the_boot_source(self) -> None:
        for _ in range(2):
            result = self.step("boot-node", self.machine.uuid, device="Pxe", once=True)
        self.assertEqual(Completed(message="It boots from network once."), result)
        self.assertEqual(Boot("Pxe", once=True), self.driver.boots)

    def test_a_machine_that_does_not_tell_once_from_always(self) -> None:
        self.driver.boots = Boot("Cd", once=False)
        first = self.step("boot-node", self.machine.uuid, device="Cd", once=True)
        assert isinstance(first, Waiting)
        self.driver.boots = Boot("Cd", once=False)
        result = self.step(
            "boot-node", self.machine.uuid, device="Cd", once=True, position=dict(first.position)
        )
        assert isinstance(result, Completed)
        self.assertIn("does not tell", str(result.message))


class BootImageTest(ActionTestCase):
    """Each turn begins anew, as another worker would."""

    def setUp(self) -> None:
        super().setUp()
        self.machine = add_machine(self.database, self.pod)

    def run_to_its_end(self) -> tuple[Result, list[int]]:
        position: dict[str, Any] = {}
        percents: list[int] = []
        while True:
            result = self.step(
                "boot-image-node", self.machine.uuid, position=position, image="http://i/a.iso"
            )
            if not isinstance(result, Waiting | Doubtful):
                return result, percents
            position = dict(result.position)
            if isinstance(result, Waiting):
                percents.append(result.percent or 0)
            if self.driver.orders:
                self.driver.state = "On"

    def test_a_machine_that_is_off_is_switched_on_from_the_image(self) -> None:
        result, percents = self.run_to_its_end()
        self.assertIsInstance(result, Completed)
        self.assertEqual(
            ("http://i/a.iso", Boot("Cd", once=True), [PowerAction.ON]),
            (self.driver.image, self.driver.boots, self.driver.orders),
        )
        self.assertEqual((sorted(percents), 2), (percents, self.driver.settings))

    def test_a_machine_that_is_on_is_reset(self) -> None:
        self.driver.state = "On"
        self.assertIsInstance(self.run_to_its_end()[0], Completed)
        self.assertEqual([PowerAction.RESET], self.driver.orders)

    def test_what_was_noted_names_the_step(self) -> None:
        self.run_to_its_end()
        noted = [note["position"] for note in self.notes if note.get("position")]
        self.assertEqual(
            [
                {"at": 0, "within": {"step": "ordering", "looks": 0}},
                {"at": 1, "within": {"step": "ordering", "looks": 0}},
                {
                    "at": 2,
                    "within": {"action": "on", "power": {"step": "ordering", "looks": 0}},
                },
            ],
            noted,
        )

    def test_a_step_that_fails_ends_it(self) -> None:
        def refuse() -> None:
            raise PodRefused("400: no such image")

        self.driver.setting = refuse
        result, _ = self.run_to_its_end()
        self.assertEqual(Failed("400: no such image"), result)
        self.assertEqual([], self.driver.orders)


class ReleaseTest(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = add_machine(self.database, self.pod)
        made = add_node(self.database, "n1")
        nodes.begin_release(self.database, made, release_task(made))

    def release(self, position: dict[str, Any] | None = None) -> Result:
        return self.step("release-node", self.machine.uuid, position=position)

    def names(self) -> list[str]:
        return [each.name for each in nodes.list_page(self.database, limit=9)]

    def test_a_machine_that_is_off_is_free_at_once(self) -> None:
        self.assertIsInstance(self.release(), Completed)
        self.assertEqual(([], []), (self.names(), self.driver.orders))

    def test_a_machine_that_is_on_is_free_once_it_is_off(self) -> None:
        self.driver.state = "On"
        ordered = self.release()
        assert isinstance(ordered, Waiting)
        self.assertEqual([PowerAction.OFF], self.driver.orders)
        self.assertIsInstance(self.release(dict(ordered.position)), Waiting)
        self.assertEqual(["n1"], self.names())
        self.driver.state = "Off"
        self.assertIsInstance(self.release(dict(ordered.position)), Completed)
        self.assertEqual([], self.names())

    def test_a_machine_that_is_gone_once_is_looked_at_again_and_switched_off(self) -> None:
        self.driver.state, self.driver.there = "On", False
        first = self.release()
        assert isinstance(first, Waiting)
        self.assertEqual((["n1"], []), (self.names(), self.driver.orders))
        self.driver.there = True
        second = self.release(dict(first.position))
        assert isinstance(second, Waiting)
        self.assertEqual([PowerAction.OFF], self.driver.orders)
        # It is at that now, whatever the pod shows.
        self.driver.there, self.driver.state = False, "Off"
        self.assertIsInstance(self.release(dict(second.position)), Completed)

    def test_a_machine_that_stays_gone_is_believed_before_the_deadline(self) -> None:
        self.driver.there = False
        result, seconds = self.release(), 0.0
        while isinstance(result, Waiting):
            self.assertEqual(["n1"], self.names())
            seconds += result.after
            result = self.release(dict(result.position))
        self.assertIsInstance(result, Completed)
        self.assertEqual([], self.names())
        self.assertLess(120, seconds)
        self.assertLess(seconds, USUAL_DEADLINE)

    def test_looking_for_one_that_is_gone_can_be_cancelled(self) -> None:
        self.driver.there = False
        self.assertIsInstance(
            self.step("release-node", self.machine.uuid, position={"gone": 3}, cancel=True),
            Cancelled,
        )
        self.assertEqual(["n1"], self.names())


class OwnAddressesTest(ActionTestCase):
    """An address that was taken out of a pod may be somebody else's: it gets no login of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.machine = add_machine(self.database, self.pod)
        self.called: list[str] = []
        for name in (
            "compose",
            "composed",
            "firmware",
            "is_composing",
            "operation",
            "power",
            "power_state",
            "system",
        ):
            setattr(self.driver, name, lambda *given, name=name, **named: self.called.append(name))

    def move(self, *addresses: str) -> None:
        pods.update(self.database, "one", {"addresses": addresses})

    def assert_not_called(self, result: Result) -> None:
        assert isinstance(result, Failed)
        self.assertIn("no longer one of the pod's", result.reason)
        self.assertIn("node delete --force", result.reason)
        self.assertEqual([], self.called)

    def test_a_machine_behind_another_address_gets_no_order(self) -> None:
        self.move("http://other.example", "https://bmc.example", "http://bmc.example:8000")
        self.assert_not_called(self.step("power-machine", self.machine.uuid, action="on"))

    def test_a_release_of_one_fails_and_the_node_can_be_forgotten(self) -> None:
        made = add_node(self.database, "n1")
        nodes.begin_release(self.database, made, release_task(made))
        self.move("http://other.example")
        self.assert_not_called(self.step("release-node", self.machine.uuid))
        nodes.forget(self.database, nodes.get(self.database, "n1"))
        self.assertEqual([], nodes.list_page(self.database, limit=9))

    def test_an_operation_behind_another_address_is_not_watched(self) -> None:
        self.move("http://other.example")
        position = {"step": "watching", "operation": "http://bmc.example/redfish/v1/Tasks/1"}
        result = self.step("power-machine", self.machine.uuid, action="on", position=position)
        self.assert_not_called(result)

    def test_an_update_that_is_watched_ends_there(self) -> None:
        self.move("http://other.example")
        position = {"before": {}, "order": {"step": "ordered", "looks": 0}}
        self.assert_not_called(
            self.step("firmware-node", self.machine.uuid, image="http://i/a", position=position)
        )

    def test_blocks_behind_another_address_are_not_composed(self) -> None:
        self.move("http://other.example")
        driver = own_only(self.driver, pods.get(self.database, "one").addresses)
        blocks = ["http://other.example/b/1", "http://bmc.example/b/2"]
        for call in (
            lambda: driver.compose("n1", blocks),
            lambda: driver.composed(blocks),
            lambda: driver.is_composing(blocks),
        ):
            with self.assertRaises(Foreign):
                call()
        self.assertEqual([], self.called)

    def test_another_spelling_of_an_address_is_the_same_address(self) -> None:
        for address in (
            "http://bmc.example/",
            "http://BMC.Example",
            "http://bmc.example:80",
        ):
            self.move(address)
            self.called.clear()
            with self.subTest(address):
                self.assertIsInstance(
                    self.step("power-machine", self.machine.uuid, action="on"), Waiting
                )
                self.assertEqual(["power_state", "power"], self.called)


class SyncTest(ActionTestCase):
    def fleet(self, *addresses: str) -> None:
        pods.update(self.database, "one", {"addresses": addresses})

    def test_all_addresses_are_read(self) -> None:
        self.fleet("http://a", "http://b")
        self.driver.shows = lambda address: Inventory([seen(f"{address}/1"), seen(f"{address}/2")])
        result = self.step("sync-pod")
        assert isinstance(result, Completed)
        self.assertEqual(
            (4, 2, 0), tuple(result.result[k] for k in ("machines", "addresses", "silent"))
        )
        self.assertEqual(4, len(pods.list_machines(self.database, limit=9)))
        pod = pods.get(self.database, "one")
        self.assertIs(Availability.ONLINE, pod.availability_status)

    def test_silent_addresses_are_named_and_keep_their_machines(self) -> None:
        self.fleet("http://a", "http://b")
        self.driver.shows = lambda address: Inventory([seen(f"{address}/1")])
        self.step("sync-pod")

        def one_is_silent(address: str) -> Inventory:
            if address == "http://b":
                raise Unreachable("timed out")
            return Inventory([])

        self.driver.shows = one_is_silent
        result = self.step("sync-pod")
        assert isinstance(result, Completed)
        self.assertEqual({"http://b": "timed out"}, result.result["silent_addresses"])
        missing = {
            each.uri: each.missing_since is not None
            for each in pods.list_machines(self.database, limit=9)
        }
        self.assertEqual({"http://a/1": True, "http://b/1": False}, missing)

    def test_a_pod_that_has_no_time_is_as_available_as_it_was(self) -> None:
        self.fleet("http://a", "http://b")

        def busy(address: str) -> Inventory:
            raise Busy("503: later")

        self.driver.shows = busy
        for before in (Availability.ONLINE, Availability.OFFLINE):
            pods.note_availability(self.database, self.pod.id, before)
            result = self.step("sync-pod")
            self.assertEqual(
                Retry("The pod has no time: 503: later", counts=False, unreachable=True), result
            )
            self.assertIs(before, pods.get(self.database, "one").availability_status)

    def test_one_address_that_is_silent_among_busy_ones_counts(self) -> None:
        self.fleet("http://a", "http://b")

        def shown(address: str) -> Inventory:
            raise Unreachable("timed out") if address == "http://a" else Busy("503: later")

        self.driver.shows = shown
        result = self.step("sync-pod")
        assert isinstance(result, Retry)
        self.assertTrue(result.counts)
        pod = pods.get(self.database, "one")
        self.assertIs(Availability.OFFLINE, pod.availability_status)

    def test_a_member_that_cannot_be_read_is_not_missing(self) -> None:
        self.driver.shows = lambda address: Inventory([seen(f"{address}/1")])
        self.step("sync-pod")
        self.driver.shows = lambda address: Inventory([], [f"{address}/1"])
        self.step("sync-pod")
        (machine,) = pods.list_machines(self.database, limit=9)
        self.assertIsNone(machine.missing_since)

    def test_a_pod_of_which_nothing_answers_is_offline(self) -> None:
        def silent(address: str) -> Inventory:
            raise LoginRefused("Login refused")

        self.driver.shows = silent
        result = self.step("sync-pod")
        assert isinstance(result, Retry)
        self.assertIn("Login refused", result.reason)
        pod = pods.get(self.database, "one")
        self.assertIs(Availability.OFFLINE, pod.availability_status)

    def test_cancelled(self) -> None:
        self.assertIsInstance(self.step("sync-pod", cancel=True), Cancelled)

    def test_an_address_that_never_ends_holds_nobody_beyond_the_lease(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def trickle(address: str) -> Inventory:
            release.wait(PATIENCE)
            return Inventory([])

        def lost() -> None:
            raise LeaseLost("Its deadline has passed.")

        self.driver.shows, self.guard = trickle, lost
        with self.assertRaises(LeaseLost):
            self.step("sync-pod")


class AccessTest(databases.DatabaseTestCase):
    def test_a_driver_is_kept_until_the_access_data_change(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        ring = KeyRing.ensure(directory / "keys")
        access = PodAccess(ring, PodAccessSettings(1, 1))
        credentials = ring.encrypt({"password": "tiger"})
        with mock.patch.object(tempfile, "tempdir", str(directory)):
            pod = add_pod(self.database, credentials=credentials, ca_certificates="PEM")
            driver = access.driver(pod)
            self.assertIs(driver, access.driver(pod))
            (file,) = directory.glob("headwater-ca-*.pem")
            self.assertEqual("PEM", file.read_text())
            changed = pods.update(self.database, "one", {"ca_certificates": None})
            self.assertIsNot(driver, access.driver(changed))
        del driver
        gc.collect()
        self.assertFalse(file.exists())

# SPDX-License-Identifier: Apache-2.0
"""Polls and subscriptions, on drivers that answer as the test says."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from unittest import mock

from headwater.common.errors import LeaseLost, NoAnswer, NotFound, Unreachable
from headwater.common.states import Availability, Severity
from headwater.db import inventory, metrics, pod_events, pods, subscriptions, telemetry
from headwater.db.pod_records import Machine, Reading, SeenMachine
from headwater.engine.tracked import Cancelled, Completed, Result
from headwater.orchestrator.podm import fan_out
from headwater.orchestrator.podm import telemetry as polls
from headwater.orchestrator.podm.drivers import Busy, PodRefused, Polled
from tests.support.pod_builders import add_pod, seen
from tests.support.telemetry_builders import add_policy
from tests.support.waiting import PATIENCE, eventually
from tests.unit.orchestrator.podm.test_actions import ActionTestCase


class Fleet:
    """A driver of many machines, whose answers the test decides."""

    def __init__(self) -> None:
        self.shows: Callable[[str], SeenMachine | None] = lambda uri: seen(uri, power_state="On")
        self.senses: Callable[[str], Sequence[Reading] | None] = lambda uri: [
            Reading("power_watts", "supply", 220.0)
        ]
        self.subscribes: Callable[[str], str | None] = lambda address: f"{address}/s/1"
        self.destinations: dict[str, str] = {}
        self.ended: list[str] = []

    def poll(self, uri: str) -> Polled | None:
        shown = self.shows(uri)
        return None if shown is None else Polled(shown, self.senses(uri))

    def subscribe(self, address: str, destination: str, context: str) -> str | None:
        self.destinations[address] = destination
        return self.subscribes(address)

    def unsubscribe(self, subscription: str) -> None:
        self.ended.append(subscription)
        if "silent" in subscription:
            raise Unreachable("timed out")


class TelemetryTestCase(ActionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fleet = Fleet()
        self.handler._access._driver = self.fleet  # type: ignore[attr-defined]

    def machine(self, number: int) -> Machine:
        found = pods.list_machines(self.database, limit=99)
        return next(each for each in found if each.uri.endswith(f"/{number}"))

    def events(self) -> list[tuple[str, Severity]]:
        found = pod_events.list_page(self.database, limit=99)
        return [(each.kind, each.severity) for each in reversed(found)]


class PollTest(TelemetryTestCase):
    def setUp(self) -> None:
        super().setUp()
        uris = [f"http://bmc{number}/1/{number}" for number in range(3)]
        addresses = [f"http://bmc{number}" for number in range(3)]
        self.pod = pods.update(self.database, "one", {"addresses": addresses})
        inventory.store(self.database, self.pod.id, [seen(uri) for uri in uris], [])
        add_policy(self.database)

    def poll(self, target: str = telemetry.POLLS, **changes: Any) -> dict[str, Any]:
        action = "poll-machine" if ":" in target else "poll-pod"
        result = self.step(action, target, **{"history_interval": 0, **changes})
        assert isinstance(result, Completed)
        return dict(result.result)

    def test_power_health_and_sensors_are_written(self) -> None:
        self.fleet.shows = lambda uri: seen(uri, power_state="On", health="Warning")
        result = self.poll()
        self.assertEqual([3, 3, 3], [result[name] for name in ("machines", "values", "events")])
        found = self.machine(1)
        self.assertEqual(("On", "Warning"), (found.power_state, found.health))
        (value,) = metrics.latest(self.database, found.uuid, limit=9)
        self.assertEqual(("supply", 220.0), (value.sensor, value.value))
        online = pods.get(self.database, "one").availability_status
        self.assertIs(Availability.ONLINE, online)

    def test_one_that_has_no_time_raises_no_event(self) -> None:
        self.fleet.shows = mock.Mock(side_effect=Busy("503: later"))
        self.assertEqual((3, 0), tuple(self.poll()[name] for name in ("silent", "events")))

    def test_a_pod_that_has_no_time_is_as_available_as_it_was(self) -> None:
        talks = self.fleet.shows
        for before in (Availability.ONLINE, Availability.OFFLINE):
            pods.note_availability(self.database, self.pod.id, before)
            self.fleet.shows = mock.Mock(side_effect=Busy("503: later"))
            self.poll()
            self.assertIs(before, pods.get(self.database, "one").availability_status)

        def one_is_silent(uri: str) -> SeenMachine | None:
            raise Unreachable("timed out") if uri.endswith("/1") else Busy("503: later")

        pods.note_availability(self.database, self.pod.id, Availability.ONLINE)
        self.fleet.shows = one_is_silent
        self.poll()
        self.assertIs(Availability.OFFLINE, pods.get(self.database, "one").availability_status)
        self.fleet.shows = talks
        self.poll()
        self.assertIs(Availability.ONLINE, pods.get(self.database, "one").availability_status)

    def test_one_that_was_taken_out_of_the_pod_gets_no_login(self) -> None:
        pods.update(self.database, "one", {"addresses": ("http://bmc1",)})
        self.assertEqual(1, self.poll()["machines"])

    def test_twice_it_tells_nothing_twice(self) -> None:
        self.fleet.senses = lambda uri: [Reading("temperature_celsius", "cpu", 99)]
        self.assertEqual([3, 0], [self.poll()["events"] for _ in range(2)])

    def test_a_silent_machine_is_told_once_and_what_is_known_of_it_stays(self) -> None:
        self.poll()
        before = self.machine(1).seen_at
        talks = self.fleet.shows

        def one_is_silent(uri: str) -> SeenMachine | None:
            if uri.endswith("/1"):
                raise Unreachable("timed out")
            return talks(uri)

        self.fleet.shows = one_is_silent
        result = [self.poll() for _ in range(2)][-1]
        self.assertEqual((1, {"http://bmc1/1/1": "timed out"}), tuple(result.values())[1:3])
        self.assertEqual((before, "On"), (self.machine(1).seen_at, self.machine(1).power_state))
        self.fleet.shows = talks
        self.poll()
        self.assertEqual([("silence", Severity.WARNING), ("silence", Severity.OK)], self.events())

    def test_a_pod_of_which_nothing_answers_is_offline(self) -> None:
        self.fleet.shows = mock.Mock(side_effect=PodRefused("500"))
        self.assertEqual(3, self.poll()["silent"])
        self.assertIs(Availability.OFFLINE, pods.get(self.database, "one").availability_status)

    def test_sensors_that_cannot_be_read_cost_neither_power_nor_health(self) -> None:
        self.fleet.senses = lambda uri: None
        result = self.poll()
        self.assertEqual((0, 3), (result["silent"], result["sensors_unread"]))
        self.assertEqual("On", self.machine(1).power_state)

    def test_a_machine_that_is_gone_is_left_to_the_inventory(self) -> None:
        self.fleet.shows = lambda uri: None
        result = self.poll()
        self.assertEqual((3, 0), (result["gone"], result["events"]))
        self.assertIsNone(self.machine(1).missing_since)

    def test_one_machine(self) -> None:
        known = self.machine(1)
        self.assertEqual(1, self.poll(f"{telemetry.POLLS}:{known.uuid}")["machines"])
        self.assertEqual("Off", self.machine(2).power_state)
        self.assertEqual(0, self.poll(f"{telemetry.POLLS}:unknown")["machines"])

    def test_others_are_written_while_one_hangs(self) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        talks = self.fleet.shows

        def hang(uri: str) -> SeenMachine | None:
            if uri.endswith("/1"):
                released.wait(PATIENCE)
            return talks(uri)

        self.fleet.shows = hang
        self.enterContext(mock.patch.object(fan_out, "_LOOK", 0.01))
        self.enterContext(mock.patch.object(polls, "_WRITE_AFTER", 0.02))
        running = threading.Thread(target=self.poll)
        running.start()
        for number in (0, 2):
            eventually(
                lambda number=number: self.machine(number).power_state == "On",  # type: ignore[misc]
                f"machine {number}",
            )
        self.assertEqual("Off", self.machine(1).power_state)
        released.set()
        running.join(PATIENCE)
        self.assertEqual("On", self.machine(1).power_state)

    def test_one_that_never_ends_is_given_up(self) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        self.fleet.senses = lambda uri: [] * released.wait(PATIENCE)
        self.enterContext(mock.patch.object(fan_out, "_LOOK", 0.01))
        self.enterContext(mock.patch.object(polls, "_LONGEST", 0.05))
        self.assertEqual(3, self.poll()["silent"])

    def test_whoever_lost_the_lease_writes_nothing(self) -> None:
        def lost() -> None:
            raise LeaseLost("gone")

        self.guard = lost
        with self.assertRaises(LeaseLost):
            self.poll()
        self.assertEqual(("Off", []), (self.machine(1).power_state, self.events()))

    def test_cancelled(self) -> None:
        self.assertIsInstance(self.step("poll-pod", telemetry.POLLS, cancel=True), Cancelled)

    def test_machines_of_one_address_leave_it_places(self) -> None:
        uris = [f"http://podm/{number}" for number in range(9)]
        watched = [mock.Mock(uri=uri) for uri in uris]
        chains = polls._chains(watched)
        self.assertEqual([5, 4], [len(each) for each in chains])
        self.assertEqual(set(uris), {uri for chain in chains for uri in chain})


class SubscribeTest(TelemetryTestCase):
    addresses: ClassVar = ("http://a", "http://silent", "http://none")

    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database, "two", addresses=self.addresses)
        self.fleet.subscribes = self.answer

    def answer(self, address: str) -> str | None:
        if address == "http://silent":
            raise NoAnswer(f"400: {self.fleet.destinations[address]} is no destination")
        return None if address == "http://none" else f"{address}/s/1"

    def subscribe(self, url: str = "https://here/") -> dict[str, Any]:
        result: Result = self.step("subscribe-pod", telemetry.SUBSCRIPTIONS, event_url=url)
        assert isinstance(result, Completed)
        return dict(result.result)

    def rows(self) -> dict[str, tuple[str | None, bool]]:
        found = subscriptions.of_pod(self.database, self.pod.id)
        self.assertEqual(len(found), len({each.address for each in found}))
        return {each.address: (each.uri, each.possible) for each in found}

    def test_each_address_gets_a_secret_of_which_only_the_hash_is_kept(self) -> None:
        result = self.subscribe()
        counts = ("subscribed", "without_events", "failed")
        self.assertEqual([1, 1, 1], [result[name] for name in counts])
        self.assertEqual(
            {
                "http://a": ("http://a/s/1", True),
                "http://silent": (None, True),
                "http://none": (None, False),
            },
            self.rows(),
        )
        prefix = "https://here/v1/pod_events/"
        secrets = {}
        for address, destination in self.fleet.destinations.items():
            self.assertTrue(destination.startswith(prefix))
            secrets[address] = destination.removeprefix(prefix)
        found = subscriptions.sender(self.database, secrets["http://a"])
        self.assertEqual((self.pod.id, "http://a"), found)
        self.assertEqual(
            {"http://silent": "400: https://here/v1/pod_events/*** is no destination"},
            result["failed_addresses"],
        )
        with self.assertRaises(NotFound):
            subscriptions.sender(self.database, secrets["http://none"])

    def test_again_only_who_did_not_answer_is_asked(self) -> None:
        self.subscribe()
        self.fleet.destinations.clear()
        self.subscribe()
        self.assertEqual(["http://silent"], list(self.fleet.destinations))
        self.assertEqual(set(self.addresses), set(self.rows()))

    def test_addresses_that_are_gone_are_told_to_stop(self) -> None:
        self.subscribe()
        pods.update(self.database, "two", {"addresses": ("http://silent",)})
        self.subscribe()
        self.assertEqual(["http://a/s/1"], self.fleet.ended)
        self.assertEqual({"http://silent"}, set(self.rows()))

    def test_without_an_address_of_our_own_all_end_also_those_that_do_not_answer(self) -> None:
        self.fleet.subscribes = lambda address: f"{address}/s/1"
        self.subscribe()
        self.subscribe("")
        self.assertEqual({f"{each}/s/1" for each in self.addresses}, set(self.fleet.ended))
        self.assertEqual({}, self.rows())

    def test_cancelled(self) -> None:
        self.assertIsInstance(self.step("subscribe-pod", "subscriptions", cancel=True), Cancelled)

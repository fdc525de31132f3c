# SPDX-License-Identifier: Apache-2.0
"""Policies, what is due because of them, values, alarms, events and subscriptions."""

from datetime import timedelta
from typing import Any
from unittest import mock

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import EventSource, PodService, Severity, TaskState
from headwater.db import (
    inventory,
    metrics,
    pod_events,
    pods,
    subscriptions,
    tasks,
    telemetry,
)
from headwater.db.models import machine_metric, machine_metric_history, pod, pod_event
from headwater.db.models import task as task_table
from headwater.db.pod_records import Pod, Reading, Task
from headwater.db.telemetry_records import NewEvent
from headwater.orchestrator.podm import alarms
from tests.support import databases
from tests.support.builders import CIPHER
from tests.support.pod_builders import URI, add_machine, add_pod, add_task, claim_tasks, seen
from tests.support.telemetry_builders import HOT, add_policy, poll


class TelemetryTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pod = add_pod(self.database)
        self.machine = add_machine(self.database, self.pod)

    def open_tasks(self) -> list[Task]:
        found = tasks.list_page(self.database, limit=99)
        return [each for each in found if each.finished_at is None]

    def set_pod(self, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(pod).values(values))


@databases.on_every_backend
class PolicyTest(TelemetryTestCase):
    def test_added_listed_changed_forgotten(self) -> None:
        added = add_policy(self.database, "b", labels={"rack": "7"}, interval=30)
        add_policy(self.database, "a")
        self.assertEqual((HOT,), added.thresholds)
        with self.assertRaises(Conflict):
            add_policy(self.database, "a")
        page = telemetry.list_page(self.database, limit=9, marker="a")
        self.assertEqual(["b"], [each.name for each in page])
        changed = telemetry.update(self.database, "b", {"thresholds": (), "description": "x"})
        self.assertEqual((30, (), "x"), (changed.interval, changed.thresholds, changed.description))
        self.assertEqual({"rack": "7"}, changed.labels)
        telemetry.delete(self.database, "b")
        for call in (telemetry.get, telemetry.delete):
            with self.assertRaises(NotFound):
                call(self.database, "b")

    def test_all_labels_have_to_match(self) -> None:
        pods.update(self.database, "one", {}, labels={"rack": "7", "row": "b"})
        add_policy(self.database, "all")
        add_policy(self.database, "rack", labels={"rack": "7"})
        add_policy(self.database, "other", labels={"rack": "7", "row": "c"})
        found = telemetry.policies_of(self.database, self.pod.id)
        self.assertEqual(["all", "rack"], [each.name for each in found])


@databases.on_every_backend
class DueTest(TelemetryTestCase):
    def submit(self) -> int:
        return telemetry.submit_polls(self.database, CIPHER, limit=100)

    def finish(self) -> None:
        for task in self.open_tasks():
            tasks.cancel(self.database, task.uuid)

    def wait(self) -> float:
        with self.database.read() as connection:
            found = connection.execute(
                sa.select(pod.c.next_poll_at).where(pod.c.id == self.pod.id)
            ).scalar_one()
        return float((found - clock.now()).total_seconds())

    def test_nothing_is_polled_that_no_policy_is_about(self) -> None:
        self.assertEqual(0, self.submit())
        add_policy(self.database, labels={"rack": "7"})
        self.assertEqual(0, self.submit())
        pods.update(self.database, "one", {}, labels={"rack": "7"})
        self.assertEqual(1, self.submit())
        (task,) = self.open_tasks()
        self.assertIs(PodService.TELEMETRY, task.service)

    def test_a_pod_is_not_polled_before_its_inventory_is_read(self) -> None:
        add_pod(self.database, "two")
        add_policy(self.database)
        self.assertEqual(1, self.submit())
        inventory.store(self.database, pods.get(self.database, "two").id, [seen()], [])
        self.assertEqual(1, self.submit())

    def test_the_shortest_interval_counts(self) -> None:
        for name, interval in (("a", 600), ("b", 60), ("c", 300)):
            add_policy(self.database, name, interval=interval)
        self.submit()
        self.assertAlmostEqual(60, self.wait(), delta=15)

    def test_while_one_is_open_there_is_no_second(self) -> None:
        add_policy(self.database)
        self.assertEqual(1, self.submit())
        self.set_pod(next_poll_at=clock.after(-60))
        self.assertEqual(0, self.submit())
        self.finish()
        self.assertEqual(1, self.submit())

    def test_it_is_not_due_again_before_its_time(self) -> None:
        add_policy(self.database)
        self.submit()
        self.finish()
        self.assertEqual(0, self.submit())

    def test_of_those_that_ended_only_the_last_is_kept(self) -> None:
        add_policy(self.database)
        for _ in range(3):
            self.set_pod(next_poll_at=None)
            self.submit()
            self.finish()
        self.assertEqual(1, len(tasks.list_page(self.database, limit=9)))

    def test_a_new_policy_and_a_changed_one_hold_at_once(self) -> None:
        add_policy(self.database, "slow", interval=3600)
        self.submit()
        self.finish()
        add_policy(self.database, "quick", interval=10)
        self.assertEqual(1, self.submit())
        self.finish()
        telemetry.update(self.database, "slow", {"interval": 5})
        self.assertEqual(1, self.submit())
        self.assertAlmostEqual(5, self.wait(), delta=15)

    def test_polls_wait_for_no_task_and_no_task_for_them(self) -> None:
        add_policy(self.database)
        add_task(self.database, self.pod)
        add_task(self.database, self.pod, target=self.machine.uuid, action="power-machine")
        self.submit()
        telemetry.ask_machine(self.database, self.pod.id, self.machine.uuid, CIPHER)
        self.assertEqual(4, len(claim_tasks(self.database)))

    def test_a_machine_is_asked_for_once_until_that_has_begun(self) -> None:
        def ask() -> bool:
            return telemetry.ask_machine(self.database, self.pod.id, self.machine.uuid, CIPHER)

        self.assertEqual([True, False], [ask(), ask()])
        claim_tasks(self.database)
        self.assertEqual([True, False], [ask(), ask()])

    def test_a_pod_is_asked_for(self) -> None:
        add_policy(self.database)
        self.submit()
        self.finish()
        telemetry.ask_pod(self.database, self.pod.id)
        # Soon, and not at once.
        self.assertEqual(0, self.submit())
        with self.database.read() as connection:
            due = connection.execute(sa.select(pod.c.next_poll_at)).scalar_one()
        self.assertLessEqual(due, clock.after(10))
        self.assertGreater(due, clock.after(1))

    def test_a_machine_that_was_polled_a_moment_ago_is_not_polled_again(self) -> None:
        def ask() -> bool:
            return telemetry.ask_machine(self.database, self.pod.id, self.machine.uuid, CIPHER)

        self.assertTrue(ask())
        self.finish()
        self.assertFalse(ask())
        with self.database.write() as connection:
            connection.execute(sa.update(task_table).values(finished_at=clock.after(-11)))
        self.assertTrue(ask())

    def test_two_polls_at_a_time_tell_once(self) -> None:
        hot = [Reading("temperature_celsius", "cpu", 99)]
        (before,) = metrics.watched(self.database, self.pod.id)
        both = [alarms.answered(before, seen(before.uri), hot, [HOT]) for _ in range(2)]
        for each in both:
            metrics.store(self.database, self.pod.id, [each], None)
        self.assertEqual(1, len(pod_events.list_page(self.database, limit=9)))
        self.assertEqual(1, len(metrics.alarms(self.database, self.machine.uuid)))

    def test_alarms_that_nobody_would_end_are_forgotten(self) -> None:
        add_policy(self.database, "hot")
        poll(self.database, self.pod, Reading("temperature_celsius", "cpu", 99))
        self.assertEqual(0, telemetry.end_alarms(self.database))
        self.assertEqual(1, len(metrics.alarms(self.database, self.machine.uuid)))
        telemetry.delete(self.database, "hot")
        self.assertEqual(1, telemetry.end_alarms(self.database))
        self.assertEqual([], metrics.alarms(self.database, self.machine.uuid))

    def test_telemetry_keeps_no_pod_from_being_deleted(self) -> None:
        add_policy(self.database)
        self.submit()
        pods.delete(self.database, "one")
        self.assertEqual([], self.open_tasks())


@databases.on_every_backend
class SubscriptionTest(TelemetryTestCase):
    def submit(self, *, wanted: bool = True) -> int:
        return telemetry.submit_subscribing(self.database, CIPHER, limit=9, wanted=wanted)

    def end_tasks(self) -> None:
        for task in self.open_tasks():
            tasks.cancel(self.database, task.uuid)

    def test_a_new_pod_is_due_and_then_not_before_its_time(self) -> None:
        self.assertEqual([1, 0], [self.submit(), self.submit()])
        self.end_tasks()
        self.assertEqual(0, self.submit())
        pods.update(self.database, "one", {"addresses": ("http://other",)})
        self.assertEqual(1, self.submit())

    def test_an_address_that_changed_meanwhile_is_not_put_off(self) -> None:
        pods.update(self.database, "one", {"addresses": ("http://other",)})
        telemetry.subscribe_later(self.database, self.pod.id, self.pod.updated_at, 3600)
        self.assertEqual(1, self.submit())
        self.end_tasks()
        now = pods.get(self.database, "one")
        self.set_pod(next_subscribe_at=None)
        telemetry.subscribe_later(self.database, self.pod.id, now.updated_at, 3600)
        self.assertEqual(0, self.submit())

    def test_where_none_is_wanted_only_pods_that_have_some_are_due(self) -> None:
        self.assertEqual(0, self.submit(wanted=False))
        subscriptions.begin(self.database, self.pod.id, {"http://a": "secret"})
        self.assertEqual(1, self.submit(wanted=False))

    def test_both_secrets_are_good_until_the_new_subscription_is_made(self) -> None:
        old = subscriptions.begin(self.database, self.pod.id, {"http://a": "old"})["http://a"]
        subscriptions.end(self.database, old, "http://a/s/1")
        new = subscriptions.begin(self.database, self.pod.id, {"http://a": "new"})["http://a"]
        for secret in ("old", "new"):
            sender = subscriptions.sender(self.database, secret)
            self.assertEqual((self.pod.id, "http://a"), sender)
        subscriptions.end(self.database, new, "http://a/s/2")
        with self.assertRaises(NotFound):
            subscriptions.sender(self.database, "old")
        subscriptions.forget(self.database, [new])
        with self.assertRaises(NotFound):
            subscriptions.sender(self.database, "new")
        subscriptions.end(self.database, new, None)

    def test_of_a_pod_that_is_gone_nothing_is_written(self) -> None:
        pods.delete(self.database, "one")
        with self.assertRaises(NotFound):
            subscriptions.begin(self.database, self.pod.id, {"http://a": "secret"})


@databases.on_every_backend
class MetricsTest(TelemetryTestCase):
    def values(self) -> list[tuple[str, str, float]]:
        found = metrics.latest(self.database, self.machine.uuid, limit=9)
        return [(each.metric, each.sensor, each.value) for each in found]

    def history(self, **options: Any) -> list[float]:
        since = clock.after(-3600)
        found = metrics.history(self.database, self.machine.uuid, since, **{"limit": 9, **options})
        return [each.value for each in found]

    def poll(self, *readings: Reading, history_interval: float | None = 0) -> None:
        poll(self.database, self.pod, *readings, history_interval=history_interval)

    def test_the_latest_value_is_kept_and_a_history(self) -> None:
        for watts in (100.0, 200.5):
            self.poll(Reading("power_watts", "psu", watts), Reading("fan_speed", "f", 9))
        self.assertEqual([("power_watts", "psu", 200.5), ("fan_speed", "f", 9)], self.values())
        self.assertEqual([9, 9, 100.0, 200.5], sorted(self.history()))
        self.assertEqual([100.0, 200.5], self.history(metric="power_watts"))
        self.assertEqual(2, len(self.history(limit=2)))

    def test_the_history_gets_a_value_now_and_then(self) -> None:
        for watts in (1, 2, 3):
            self.poll(Reading("power_watts", "psu", watts), history_interval=600)
        self.assertEqual([1], self.history())
        self.poll(Reading("power_watts", "psu", 4), history_interval=None)
        self.assertEqual(([1], 4), (self.history(), self.values()[0][2]))

    def test_names_of_sensors_are_compared_as_bytes(self) -> None:
        self.poll(*(Reading("power_watts", name, 1) for name in ("psu", "PSU", "psu ", "psü")))
        self.assertEqual(4, len(self.values()))

    def test_a_machine_that_is_gone_meanwhile_is_left_out(self) -> None:
        watched = metrics.watched(self.database, self.pod.id)
        found = [alarms.answered(each, seen(URI), [], [HOT]) for each in watched]
        pods.delete(self.database, "one")
        metrics.store(self.database, self.pod.id, found, 0)
        self.assertEqual([], pod_events.list_page(self.database, limit=9))

    def test_alarms_are_remembered_until_they_are_over(self) -> None:
        self.poll(Reading("temperature_celsius", "cpu", 99))
        (alarm,) = metrics.alarms(self.database, self.machine.uuid)
        self.assertEqual("temperature_celsius above 80: cpu", alarm.name)
        (watched,) = metrics.watched(self.database, self.pod.id)
        self.assertEqual({alarm.name: Severity.CRITICAL}, watched.alarms)
        self.poll(Reading("temperature_celsius", "cpu", 99))
        self.poll(Reading("temperature_celsius", "cpu", 20))
        self.assertEqual([], metrics.alarms(self.database, self.machine.uuid))
        found = pod_events.list_page(self.database, limit=9)
        self.assertEqual([Severity.OK, Severity.CRITICAL], [each.severity for each in found])

    def test_many_machines_take_few_statements(self) -> None:
        stock = [seen(f"http://bmc/{number}") for number in range(150)]
        inventory.store(self.database, self.pod.id, stock, [])

        def sent(number: int) -> int:
            found = [
                alarms.answered(each, seen(each.uri), [Reading("power_watts", "p", 1)], [])
                for each in metrics.watched(self.database, self.pod.id)[:number]
            ]
            with self.statements() as statements:
                metrics.store(self.database, self.pod.id, found, 0)
            return len(statements)

        self.assertEqual(sent(2), sent(150))
        self.assertEqual(
            150, len(metrics.values_of(self.database, "power_watts", clock.after(-60), limit=999))
        )

    def test_what_is_old_is_forgotten(self) -> None:
        self.poll(Reading("power_watts", "gone", 1), Reading("power_watts", "there", 1))
        for table in (machine_metric, machine_metric_history):
            with self.database.write() as connection:
                first = connection.execute(sa.select(sa.func.min(table.c.id))).scalar_one()
                connection.execute(
                    sa.update(table)
                    .where(table.c.id == first)
                    .values(read_at=clock.now() - timedelta(hours=3))
                )
        self.assertEqual(2, metrics.purge(self.database, 7200, limit=99))
        self.assertEqual(0, metrics.purge(self.database, 7200, limit=99))
        self.assertEqual(["there"], [sensor for _, sensor, _ in self.values()])
        self.assertEqual([1.0], self.history())

    def test_only_fresh_values_are_exposed(self) -> None:
        self.poll(Reading("power_watts", "psu", 1))
        self.assertEqual(["power_watts"], metrics.names(self.database))

        def shown() -> int:
            since = metrics.fresh_since(self.database)
            return len(metrics.values_of(self.database, "power_watts", since, limit=9))

        self.assertEqual(1, shown())
        with self.database.write() as connection:
            connection.execute(sa.update(machine_metric).values(read_at=clock.after(-900)))
        self.assertEqual(0, shown())
        add_policy(self.database, interval=3600)
        self.assertEqual(1, shown())


@databases.on_every_backend
class EventsTest(TelemetryTestCase):
    def event(self, message: str = "m", machine: int | None = None) -> NewEvent:
        return NewEvent(machine, "k", Severity.WARNING, message, EventSource.REDFISH)

    def test_listed_the_newest_first_and_filtered(self) -> None:
        other = add_pod(self.database, "two")
        pod_events.receive(self.database, self.pod.id, [self.event("a", self.machine.id)])
        pod_events.receive(self.database, other.id, [self.event("b")])

        def listed(**only: Any) -> list[str]:
            page = pod_events.list_page(self.database, limit=9, **only)
            return [each.message for each in page]

        self.assertEqual(["b", "a"], listed())
        self.assertEqual(["a"], listed(pod_name="one"))
        self.assertEqual(["a"], listed(machine_uuid=self.machine.uuid))
        self.assertEqual([], listed(severity=Severity.OK))
        newest = pod_events.list_page(self.database, limit=1)[0]
        self.assertEqual(["a"], listed(before=newest.id))

    @mock.patch.object(pod_events, "_MOST_PER_MINUTE", 600)
    def test_a_pod_cannot_fill_the_table(self) -> None:
        taken = [
            pod_events.receive(self.database, self.pod.id, [self.event()] * 250) for _ in range(4)
        ]
        self.assertEqual([250, 250, 100, 0], taken)
        with self.database.write() as connection:
            connection.execute(sa.update(pod_event).values(created_at=clock.after(-61)))
        self.assertEqual(1, pod_events.receive(self.database, self.pod.id, [self.event()]))

    def test_what_every_database_takes_and_no_more(self) -> None:
        long = "\0\ud800" + "x" * 2000
        event = NewEvent(None, long, Severity.OK, long, EventSource.REDFISH)
        pod_events.receive(self.database, self.pod.id, [event])
        (found,) = pod_events.list_page(self.database, limit=9)
        self.assertEqual((127, 1000), (len(found.kind), len(found.message)))

    def test_of_a_pod_that_is_gone_nothing_is_written(self) -> None:
        pods.delete(self.database, "one")
        self.assertEqual(0, pod_events.receive(self.database, self.pod.id, [self.event()]))

    def test_events_of_a_machine_that_is_gone_are_the_pods(self) -> None:
        pod_events.receive(self.database, self.pod.id, [self.event("a", self.machine.id)])
        with self.database.write() as connection:
            connection.execute(sa.text("DELETE FROM machine"))
        (found,) = pod_events.list_page(self.database, limit=9)
        self.assertIsNone(found.machine)

    def test_which_machine_a_path_is_about(self) -> None:
        def about(pod: Pod, address: str, path: str) -> str | None:
            found = pod_events.machines_of(self.database, pod.id, address, [path])
            return found[path][1] if path in found else None

        address = "http://bmc.example"
        system = URI.removeprefix(address)
        for path in (system, f"{system}/", f"{system}/Processors/1", "/redfish/v1/Chassis/9"):
            self.assertEqual(self.machine.uuid, about(self.pod, address, path), path)
        self.assertIsNone(about(self.pod, "http://bmc_example", system))
        self.assertIsNone(about(add_pod(self.database, "two"), address, system))
        inventory.store(self.database, self.pod.id, [seen(URI), seen(f"{URI}0")], [])
        self.assertEqual(self.machine.uuid, about(self.pod, address, f"{system}/Memory"))
        self.assertIsNone(about(self.pod, address, "/redfish/v1/Chassis/9"))

    def test_what_is_old_is_forgotten(self) -> None:
        pod_events.receive(self.database, self.pod.id, [self.event()])
        self.assertEqual(0, pod_events.purge(self.database, 60, limit=9))
        with self.database.write() as connection:
            connection.execute(sa.update(pod_event).values(created_at=clock.after(-61)))
        self.assertEqual(1, pod_events.purge(self.database, 60, limit=9))


@databases.on_servers
class RaceTest(TelemetryTestCase):
    def test_two_engines_write_one_poll(self) -> None:
        add_policy(self.database)
        other = self.connect()
        found = telemetry._due(self.database, {}, 9)
        self.assertEqual([self.pod.id], list(found))
        intervals = {self.pod.id: 60}
        self.assertEqual(1, telemetry._submit_polls(other, CIPHER, intervals))
        self.assertEqual(0, telemetry._submit_polls(self.database, CIPHER, intervals))
        (task,) = self.open_tasks()
        self.assertIs(TaskState.PENDING, task.state)

# SPDX-License-Identifier: Apache-2.0
"""Polls machines: power, health and sensors, and the events that follow from them.

The tasks have lanes of their own and only read, so that neither what is done to a machine waits for
its poll, nor the poll for that. Doing one twice reads twice.
"""

import contextlib
import time
from collections.abc import Sequence

from headwater.common.states import Availability
from headwater.db import metrics, pods, telemetry
from headwater.db.telemetry_records import Observation, Threshold, Watched
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm import alarms
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Polled
from headwater.orchestrator.podm.fan_out import Silent, read_all
from headwater.orchestrator.podm.own import address_of

#: Machines of one address that are read at a time: what is ordered of it shall find places too.
_PER_ADDRESS = 2

#: Seconds after which a machine that still answers bit by bit is given up.
_LONGEST = 60.0

#: What was seen is written after so many seconds or machines: nobody waits for one that hangs.
_WRITE_AFTER, _WRITE_AT_A_TIME = 1.0, 200

#: Silent machines that a result names.
_NAMED = 20


def poll_pod(work: TaskWork, place: Place) -> Result:
    """Read all machines of the pod."""
    return _poll(work, place, metrics.watched(place.database, place.pod.id), whole=True)


def poll_machine(work: TaskWork, place: Place) -> Result:
    """Read the one machine that the target names; nothing where it is gone."""
    uuid = place.target.partition(":")[2]
    return _poll(work, place, metrics.watched(place.database, place.pod.id, uuid), whole=False)


def _poll(work: TaskWork, place: Place, machines: Sequence[Watched], *, whole: bool) -> Result:
    if work.task.cancel_requested:
        return Cancelled("What was known of the machines was left as it was.")
    # One that was taken out of the pod may be somebody else's by now: it gets no login of ours.
    addresses = frozenset(map(address_of, place.pod.addresses))
    machines = [each for each in machines if address_of(each.uri) in addresses]
    # Those that answered last time come first: of many that hang each costs its whole timeout.
    machines.sort(key=alarms.is_silent)
    by_uri = {each.uri: each for each in machines}
    policies = telemetry.policies_of(place.database, place.pod.id)
    thresholds = [each for policy in policies for each in policy.thresholds]
    writer = _Writer(work, place)
    found = read_all(_chains(machines), place.driver.poll, writer.tick, longest=_LONGEST)
    with contextlib.closing(found):
        for uri, answer in found:
            writer.add(by_uri[uri], answer, thresholds)
            writer.tick()
    writer.flush()
    # Of a pod that has no time for any of them it is not known whether it would answer.
    if whole and machines and writer.busy < len(machines):
        _note_availability(place, online=writer.silent.keys() != by_uri.keys())
    return Completed(writer.result(len(machines)), writer.summary(len(machines)))


def _chains(machines: Sequence[Watched]) -> list[list[str]]:
    """URIs by address, in as many chains as may be read of one at a time."""
    by_address: dict[str, list[str]] = {}
    for each in machines:
        by_address.setdefault(address_of(each.uri), []).append(each.uri)
    return [
        uris[first::_PER_ADDRESS]
        for uris in by_address.values()
        for first in range(min(_PER_ADDRESS, len(uris)))
    ]


def _note_availability(place: Place, *, online: bool) -> None:
    state = Availability.ONLINE if online else Availability.OFFLINE
    if state is not place.pod.availability_status:
        pods.note_availability(place.database, place.pod.id, state)


class _Writer:
    """Writes what was seen, some machines at a time."""

    def __init__(self, work: TaskWork, place: Place):
        self._work, self._place = work, place
        self._waiting: list[Observation] = []
        self._wrote = time.monotonic()
        #: Reasons by URI.
        self.silent: dict[str, str] = {}
        #: How many of them were not asked, or had no time.
        self.busy = 0
        self._gone = self._unread = self._values = self._events = 0

    def add(
        self, machine: Watched, answer: Polled | Silent | None, thresholds: Sequence[Threshold]
    ) -> None:
        """Keep what was read of one machine."""
        if isinstance(answer, Silent):
            self.silent[machine.uri] = answer.reason
            if answer.busy:
                self.busy += 1
                return
            observation = alarms.silent(machine, answer.reason)
        elif answer is None:
            # The pod does not have it any more; its inventory will say so.
            self._gone += 1
            return
        else:
            readings = None if answer.readings is None else alarms.usable(answer.readings)
            self._unread += readings is None
            observation = alarms.answered(machine, answer.machine, readings, thresholds)
        self._values += len(observation.readings)
        self._events += len(observation.events)
        self._waiting.append(observation)

    def tick(self) -> None:
        """Write what has waited for long enough. Raises LeaseLost."""
        late = time.monotonic() - self._wrote >= _WRITE_AFTER
        if late or len(self._waiting) >= _WRITE_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Write all. Raises LeaseLost, and then nothing is written."""
        self._work.guard()
        ready, self._waiting = self._waiting, []
        metrics.store(
            self._place.database,
            self._place.pod.id,
            ready,
            self._work.parameters.get("history_interval"),
        )
        self._wrote = time.monotonic()

    def result(self, machines: int) -> dict[str, object]:
        """In numbers."""
        return {
            "machines": machines,
            "silent": len(self.silent),
            "silent_machines": dict(sorted(self.silent.items())[:_NAMED]),
            "gone": self._gone,
            "sensors_unread": self._unread,
            "values": self._values,
            "events": self._events,
        }

    def summary(self, machines: int) -> str:
        """For a person."""
        return f"{machines - len(self.silent) - self._gone} of {machines} machines answered."

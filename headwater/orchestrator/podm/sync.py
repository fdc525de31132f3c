# SPDX-License-Identifier: Apache-2.0
"""Reads the inventory of a pod: all its addresses at a time, as far as its limit lets."""

import contextlib
import time

from headwater.common import clock
from headwater.common.states import Availability
from headwater.db import inventory, pods
from headwater.db.pod_records import SeenComponent, SeenMachine
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.fan_out import Silent, read_all

#: Seconds between two notes of how far it has come.
_TELL = 1.0

#: Silent addresses that a result names.
_NAMED = 20


def sync(work: TaskWork, place: Place) -> Result:
    """Store what the pod shows; machines behind silent addresses stay as they were."""
    if work.task.cancel_requested:
        return Cancelled("The inventory was left as it was.")
    addresses = place.pod.addresses
    began = clock.now()
    seen: list[SeenMachine] = []
    components: list[SeenComponent] = []
    unread: list[str] = []
    silent: dict[str, str] = {}
    busy = 0
    told = time.monotonic()
    chains = [[address] for address in addresses]
    with contextlib.closing(read_all(chains, place.driver.inventory, work.guard)) as read:
        for number, (address, shown) in enumerate(read, 1):
            if isinstance(shown, Silent):
                silent[address] = shown.reason
                busy += shown.busy
            else:
                seen.extend(shown.machines)
                unread.extend(shown.unread)
                components.extend(shown.components)
            if time.monotonic() - told >= _TELL:
                told = time.monotonic()
                work.note(
                    percent=95 * number // len(addresses),
                    message=f"{number} of {len(addresses)} addresses read.",
                )
    answered = len(silent) < len(addresses)
    reason = next(iter(silent.values()), "")
    if busy == len(addresses):
        # Also our own calls keep it busy: whether it would answer is not known.
        return Retry(f"The pod has no time: {reason}", counts=False, unreachable=True)
    state = Availability.ONLINE if answered else Availability.OFFLINE
    pods.note_availability(place.database, place.pod.id, state)
    if not answered:
        return Retry(f"No address of the pod answers: {reason}", counts=True, unreachable=True)
    work.guard()
    inventory.store(place.database, place.pod.id, seen, [*silent, *unread], components, began)
    result = {
        "machines": len(seen),
        "components": len(components),
        "addresses": len(addresses),
        "silent": len(silent),
        "silent_addresses": dict(sorted(silent.items())[:_NAMED]),
    }
    found = f"{len(seen)} machines, {len(components)} other components"
    return Completed(result, f"{found}, {len(silent)} silent addresses.")


def read_machine(work: TaskWork, place: Place) -> Result:
    """Read one machine anew."""
    machine = place.the_machine()
    seen = place.driver.system(machine.uri)
    if seen is None:
        return Failed("The pod does not have the machine any more; its inventory will say so.")
    inventory.note_machine(place.database, machine.id, seen)
    return Completed({"power_state": seen.power_state, "health": seen.health})

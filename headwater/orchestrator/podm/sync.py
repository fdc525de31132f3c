# SPDX-License-Identifier: Apache-2.0
"""Reads the inventory of a pod: all its addresses at a time, as far as its limit lets."""

import logging
import queue
import time
from concurrent.futures import Future, ThreadPoolExecutor

from headwater.common import clock
from headwater.common.errors import ExchangeError
from headwater.common.states import Availability
from headwater.db import inventory, pods
from headwater.db.pod_records import SeenComponent, SeenMachine
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Inventory, PodRefused

LOG = logging.getLogger(__name__)

#: Addresses that are read at a time.
_AT_A_TIME = 100

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
    ended: queue.Queue[tuple[str, Future[Inventory]]] = queue.Queue()
    number, told = 0, time.monotonic()
    # Not as a context: a worker that lost its lease does not wait for what hangs.
    pool = ThreadPoolExecutor(min(len(addresses), _AT_A_TIME), thread_name_prefix="sync-pod")
    try:
        for address in addresses:
            asked = pool.submit(place.driver.inventory, address)
            asked.add_done_callback(lambda done, address=address: ended.put((address, done)))  # type: ignore[misc]
        while number < len(addresses):
            try:
                address, done = ended.get(timeout=_TELL)
            except queue.Empty:
                # An address that sends a byte now and then: the deadline takes the lease.
                work.guard()
                continue
            number += 1
            try:
                shown = done.result()
                seen.extend(shown.machines)
                unread.extend(shown.unread)
                components.extend(shown.components)
            except (ExchangeError, PodRefused) as error:
                silent[address] = str(error)
            except Exception as error:
                # Whatever one address makes us stumble over, the others are stored.
                LOG.exception("The inventory of %s broke", address)
                silent[address] = f"Internal error: {type(error).__name__}; see the log."
            if time.monotonic() - told >= _TELL:
                told = time.monotonic()
                work.note(
                    percent=95 * number // len(addresses),
                    message=f"{number} of {len(addresses)} addresses read.",
                )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    answered = len(silent) < len(addresses)
    state = Availability.ONLINE if answered else Availability.OFFLINE
    pods.note_availability(place.database, place.pod.id, state)
    if not answered:
        reason = next(iter(silent.values()))
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

# SPDX-License-Identifier: Apache-2.0
"""Takes a node apart: nobody else has its machine or its resource blocks before it is done."""

from headwater.common.states import NodeState, PowerAction
from headwater.db import inventory, nodes, tasks
from headwater.db.pod_records import Machine, Node
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Stage
from headwater.orchestrator.podm.order import LOOK, LOOKS, Order, carry_out, within
from headwater.orchestrator.podm.power import switch

#: Seconds between two looks at a machine that its pod does not show, and how many looks (five
#: minutes) are believed: BMCs answer 404 while they start, and what is forgotten stays switched on.
#: Together they are less than the usual deadline.
_LOOK_FOR_GONE, _LOOKS_FOR_GONE = 20.0, 15


def release(work: TaskWork, place: Place) -> Result:
    """Switch the machine off unless it is off; a composed one is taken apart then."""
    known = place.the_node()
    if known is None:
        return Completed(message="The node is gone.")
    if known.state is not NodeState.RELEASING:
        # It was written for a node that was forgotten, and the machine has another one by now.
        return Cancelled(f"The node {known.name!r}, which has the machine now, is not released.")
    machine = known.machine
    result: Result
    if machine is None:
        result = _unmake(work, place, known)
    elif work.position.keys() <= {"gone"} and place.driver.system(machine.uri) is None:
        result = _gone(work)
    elif machine.composed or inventory.blocks_of(place.database, known.id):
        result = _take_apart(work, place, machine)
    else:
        result = switch(work, place, PowerAction.OFF)
    if isinstance(result, Completed):
        work.guard()
        untouched = bool(work.parameters.get("nothing_made"))
        nodes.end_release(place.database, known.id, untouched=untouched)
    return result


def _gone(work: TaskWork) -> Result:
    """The pod does not show the machine: believed once it was looked at for some time."""
    looks = int(work.position.get("gone", 0)) + 1
    if looks >= _LOOKS_FOR_GONE:
        return Completed(message="The machine was gone.")
    if work.task.cancel_requested:
        return Cancelled("Nothing was sent to the machine.")
    return Waiting(
        {"gone": looks}, _LOOK_FOR_GONE, 5, "The pod does not show the machine; looking again."
    )


def _take_apart(work: TaskWork, place: Place, machine: Machine) -> Result:
    """Nothing that runs loses its disks: it is switched off first."""
    if "apart" not in work.position:
        result = within(work, {}, "off", lambda inner: switch(inner, place, PowerAction.OFF))
        if not isinstance(result, Completed):
            return result
        return Waiting({"apart": {}}, 0.0, 50, "The machine is off.")
    return within(work, {}, "apart", lambda inner: _decompose(inner, place, machine.uri))


def _decompose(work: TaskWork, place: Place, uri: str) -> Result:
    def reached(sure: bool) -> Completed | None:
        if place.driver.system(uri) is None:
            return Completed(message="The machine is taken apart.")
        return None

    order = Order(
        send=lambda: place.driver.decompose(uri),
        reached=reached,
        doing="Taking the machine apart.",
        so_far=lambda: "The machine is still there.",
    )
    return carry_out(work, place, order)


def _unmake(work: TaskWork, place: Place, known: Node) -> Result:
    """End a composition of which nobody knows whether a machine came, or comes."""
    before = tasks.last_position(place.database, place.pod.id, known.uuid, "compose-node")
    if work.parameters.get("nothing_made") or not before:
        return Completed(message="Nothing had been made.")
    uri = work.position.get("uri")
    if uri is not None:
        return within(work, {"uri": uri}, "apart", lambda inner: _decompose(inner, place, uri))
    operation, failed = before.get("operation"), False
    if operation is not None:
        progress = place.driver.operation(operation)
        if progress.stage is Stage.RUNNING:
            return Waiting({}, progress.after or LOOK, 10, "The pod still composes.")
        failed = progress.stage is Stage.FAILED
    blocks = [each.uri for each in inventory.blocks_of(place.database, known.id)]
    found = place.driver.composed(blocks) if blocks else None
    if found is not None:
        return Waiting({"uri": found}, 0.0, 50, "A machine had been made.")
    if place.driver.is_composing(blocks):
        return Waiting({}, LOOK, 10, "The pod still composes.")
    looks = int(work.position.get("looks", 0)) + 1
    if looks < LOOKS and not failed:
        return Waiting({"looks": looks}, LOOK, 10, "Looking whether a machine was made.")
    return Completed(message="No machine had been made.")

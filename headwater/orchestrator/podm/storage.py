# SPDX-License-Identifier: Apache-2.0
"""Drives and volumes: read, made, deleted, attached to composed machines and taken from them."""

from collections.abc import Callable, Sequence

from headwater.common.states import ComponentKind
from headwater.db import inventory, nodes, tasks
from headwater.db.pod_records import SeenComponent
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Completed, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import NewVolume, PodChanged, PodRefused, Stage
from headwater.orchestrator.podm.order import LOOK, LOOKS, Order, carry_out, within

_KINDS = (ComponentKind.DRIVE, ComponentKind.VOLUME)


def read_storage(work: TaskWork, place: Place) -> Result:
    """Store what drives and volumes a machine has."""
    machine = place.the_machine()
    found = place.driver.drives(machine.uri)
    inventory.store_parts(place.database, machine, _KINDS, found)
    return Completed({"components": len(found)})


def add_volume(work: TaskWork, place: Place) -> Result:
    """Make a volume. It is the one that was not there before."""
    machine = place.the_machine()
    parameters = work.parameters
    volume = NewVolume(parameters["name"], parameters["size_gib"], parameters.get("raid"))
    before = work.position.get("before")
    if before is None:
        known = _volumes(place.driver.drives(machine.uri))
        if any(each.name == volume.name for each in known):
            return Failed(f"There is a volume {volume.name} already.")
        before = [each.uri for each in known]

    def reached(sure: bool) -> Completed | None:
        found = place.driver.drives(machine.uri)
        for each in _volumes(found):
            # Some controllers do not keep names; without an answer only the name tells.
            if each.uri not in before and (sure or each.name == volume.name):
                inventory.store_parts(place.database, machine, _KINDS, found)
                return Completed({"uri": each.uri}, f"The volume {each.name} is there.")
        return None

    order = Order(
        send=lambda: place.driver.add_volume(machine.uri, volume),
        reached=reached,
        doing=f"Making the volume {volume.name}.",
        so_far=lambda: f"There is no new volume {volume.name}.",
        repeatable=False,
        lost="The answer to the order was lost, and the controller may still be at it. Look again "
        "before you ask for it once more.",
    )
    return within(work, {"before": before}, "order", lambda inner: carry_out(inner, place, order))


def _volumes(found: Sequence[SeenComponent]) -> Sequence[SeenComponent]:
    return [each for each in found if each.kind is ComponentKind.VOLUME]


def delete_volume(work: TaskWork, place: Place) -> Result:
    """Delete a volume with what is on it."""
    machine, volume = place.the_machine(), str(work.parameters["volume"])

    def reached(sure: bool) -> Completed | None:
        found = place.driver.drives(machine.uri)
        if any(each.uri == volume for each in found):
            return None
        inventory.store_parts(place.database, machine, _KINDS, found)
        return Completed(message="The volume is gone.")

    order = Order(
        send=lambda: place.driver.delete_volume(machine.uri, volume),
        reached=reached,
        doing="Deleting the volume.",
        so_far=lambda: "The volume is still there.",
        look_first=True,
    )
    return carry_out(work, place, order)


def attach(work: TaskWork, place: Place) -> Result:
    """Add a resource block, which is reserved for the node already, to its machine."""
    uri, block = place.the_machine().uri, str(work.parameters["block"])

    def reached(sure: bool) -> Completed | None:
        if block not in place.driver.blocks(uri):
            return None
        _note(work, place, lambda node_id: nodes.keep_block(place.database, node_id, block))
        return Completed(message="The resource block is attached.")

    order = Order(
        send=lambda: place.driver.attach(uri, block),
        reached=reached,
        doing="Attaching a resource block.",
        so_far=lambda: "It is not attached.",
        look_first=True,
    )
    try:
        return carry_out(work, place, order)
    except PodChanged:
        raise
    except PodRefused as error:
        if not work.position:
            # Nothing was sent before, and now the pod said no.
            _note(work, place, lambda node_id: nodes.give_block(place.database, node_id, block))
        return Failed(str(error))


def detach(work: TaskWork, place: Place) -> Result:
    """Take a resource block from the node's machine, and let others have it.

    Of one whose attaching came to no good end it is not known whether it is in the machine, or
    comes to be: what the pod is at is waited for, and then it is looked at for a while.
    """
    uri, block = place.the_machine().uri, str(work.parameters["block"])
    looks = int(work.position.get("before", 0))
    if work.parameters.get("half_attached") and "step" not in work.position and looks < LOOKS:
        operation = _attaching(place)
        if operation is not None and place.driver.operation(operation).stage is Stage.RUNNING:
            return Waiting({}, LOOK, 10, "The pod is still at attaching it.")
        if block not in place.driver.blocks(uri):
            return Waiting({"before": looks + 1}, LOOK, 20, "Looking whether it was attached.")

    def reached(sure: bool) -> Completed | None:
        if block in place.driver.blocks(uri):
            return None
        _note(work, place, lambda node_id: nodes.give_block(place.database, node_id, block))
        return Completed(message="The resource block is free.")

    order = Order(
        send=lambda: place.driver.detach(uri, block),
        reached=reached,
        doing="Detaching a resource block.",
        so_far=lambda: "It is still attached.",
        look_first=True,
    )
    return carry_out(work, place, order)


def _attaching(place: Place) -> str | None:
    """The operation that the last attach task on the machine was watching."""
    position = tasks.last_position(place.database, place.pod.id, place.target, "attach-node")
    operation: str | None = (position or {}).get("operation")
    return operation


def _note(work: TaskWork, place: Place, write: Callable[[int], None]) -> None:
    work.guard()
    known = place.the_node()
    if known is not None:
        write(known.id)

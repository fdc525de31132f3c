# SPDX-License-Identifier: Apache-2.0
"""Drives and volumes: read, made, deleted, attached to composed machines and taken from them."""

from headwater.common.states import ComponentKind
from headwater.db import inventory, nodes
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import NewVolume, PodChanged, PodRefused
from headwater.orchestrator.podm.order import Order, carry_out

_KINDS = (ComponentKind.DRIVE, ComponentKind.VOLUME)


def read_storage(work: TaskWork, place: Place) -> Result:
    """Store what drives and volumes a machine has."""
    return Completed({"components": _read(place)})


def _read(place: Place) -> int:
    machine = place.the_machine()
    found = place.driver.drives(machine.uri)
    inventory.store_parts(place.database, machine, _KINDS, found)
    return len(found)


def add_volume(work: TaskWork, place: Place) -> Result:
    """Make a volume; it is known by its name."""
    uri = place.the_machine().uri
    parameters = work.parameters
    volume = NewVolume(parameters["name"], parameters["size_gib"], parameters.get("raid"))

    def reached(sure: bool) -> Completed | None:
        for each in place.driver.drives(uri):
            if each.kind is ComponentKind.VOLUME and each.name == volume.name:
                _read(place)
                return Completed({"uri": each.uri}, f"The volume {volume.name} is there.")
        return None

    order = Order(
        send=lambda: place.driver.add_volume(uri, volume),
        reached=reached,
        doing=f"Making the volume {volume.name}.",
        so_far=lambda: f"There is no volume {volume.name}.",
        repeatable=False,
        lost="The answer to the order was lost, and the controller may still be at it. Look again "
        "before you ask for it once more.",
        look_first=True,
    )
    return carry_out(work, place, order)


def delete_volume(work: TaskWork, place: Place) -> Result:
    """Delete a volume with what is on it."""
    uri, volume = place.the_machine().uri, str(work.parameters["volume"])

    def reached(sure: bool) -> Completed | None:
        if any(each.uri == volume for each in place.driver.drives(uri)):
            return None
        _read(place)
        return Completed(message="The volume is gone.")

    order = Order(
        send=lambda: place.driver.delete_volume(uri, volume),
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
        if block in place.driver.blocks(uri):
            return Completed(message="The resource block is attached.")
        return None

    order = Order(
        send=lambda: place.driver.attach(uri, block),
        reached=reached,
        doing="Attaching a resource block.",
        so_far=lambda: "It is not attached.",
        look_first=True,
    )
    try:
        result = carry_out(work, place, order)
    except PodChanged:
        raise
    except PodRefused as error:
        result = Failed(str(error))
    # Given back only where it is certainly not in the machine, and nothing brings it there.
    if isinstance(result, Failed | Cancelled) and block not in place.driver.blocks(uri):
        _give(work, place, block)
    return result


def detach(work: TaskWork, place: Place) -> Result:
    """Take a resource block from the node's machine, and let others have it."""
    uri, block = place.the_machine().uri, str(work.parameters["block"])

    def reached(sure: bool) -> Completed | None:
        if block not in place.driver.blocks(uri):
            return Completed(message="The resource block is free.")
        return None

    order = Order(
        send=lambda: place.driver.detach(uri, block),
        reached=reached,
        doing="Detaching a resource block.",
        so_far=lambda: "It is still attached.",
        look_first=True,
    )
    result = carry_out(work, place, order)
    if isinstance(result, Completed):
        _give(work, place, block)
    return result


def _give(work: TaskWork, place: Place, block: str) -> None:
    work.guard()
    known = place.the_node()
    if known is not None:
        nodes.give_block(place.database, known.id, block)

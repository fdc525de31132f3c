# SPDX-License-Identifier: Apache-2.0
"""Settings of a machine: read, ordered where they are not as wanted, and read again."""

from collections.abc import Callable

from headwater.common.states import BootDevice
from headwater.engine.tracked import Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Boot, Operation
from headwater.orchestrator.podm.order import Order, carry_out


def boot(work: TaskWork, place: Place) -> Result:
    """Let the machine boot from something else."""
    device, once = BootDevice(work.parameters["device"]), bool(work.parameters["once"])
    uri = place.the_machine().uri

    def reached(sure: bool) -> Completed | None:
        now = place.driver.boot(uri)
        words = f"It boots from {device.name.lower()}"
        if now == Boot(device.value, once):
            return Completed(message=f"{words} once." if once else f"{words}.")
        if now.device == device.value and work.position:
            # Some take the order and do not tell once from always.
            return Completed(
                message=f"{words}; whether once or always it does not tell as it was asked for."
            )
        return None

    return _bring(work, place, reached, lambda: place.driver.set_boot(uri, device, once=once))


def media(work: TaskWork, place: Place) -> Result:
    """Insert an image into the virtual CD drive, or eject what is there."""
    image = work.parameters["image"]
    uri = place.the_machine().uri
    message = "The virtual CD drive is empty." if image is None else "The image is inserted."

    def reached(sure: bool) -> Completed | None:
        there = place.driver.media(uri)
        # Some show another text than they were given, such as one without its query.
        if there == image or (sure and there is not None and image is not None):
            return Completed(message=message)
        return None

    return _bring(work, place, reached, lambda: place.driver.set_media(uri, image))


def bios(work: TaskWork, place: Place) -> Result:
    """Change settings of the firmware; those that wait for a start count as changed."""
    wanted = work.parameters["attributes"]
    uri = place.the_machine().uri

    def reached(sure: bool) -> Completed | None:
        now = place.driver.bios(uri)
        if any({**now.attributes, **now.pending}.get(name) != wanted[name] for name in wanted):
            return None
        waits = sorted(name for name in wanted if now.attributes.get(name) != wanted[name])
        if waits:
            return Completed({"pending": waits}, "They hold from the machine's next start on.")
        return Completed({"pending": []}, "They hold.")

    return _bring(work, place, reached, lambda: place.driver.set_bios(uri, wanted))


def read_bios(work: TaskWork, place: Place) -> Result:
    """Read the settings of the firmware."""
    now = place.driver.bios(place.the_machine().uri)
    return Completed({"attributes": dict(now.attributes), "pending": dict(now.pending)})


def _bring(
    work: TaskWork,
    place: Place,
    reached: Callable[[bool], Completed | None],
    send: Callable[[], Operation | None],
) -> Result:
    """Order what is not so yet. The second time it changes nothing, so doubt is short."""
    return carry_out(work, place, Order(send, reached, "Ordering.", look_first=True, doubt=1))

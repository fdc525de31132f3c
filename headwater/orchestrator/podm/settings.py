# SPDX-License-Identifier: Apache-2.0
"""Settings of a machine: read, ordered where they are not as wanted, and read again."""

from collections.abc import Callable

from headwater.common.errors import NoAnswer
from headwater.common.states import BootDevice
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Cancelled, Completed, Doubtful, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Boot

#: Seconds from an order to the look that follows, and orders after which the machine is believed
#: not to take them.
_LOOK = 1.0
_MOST = 5


def boot(work: TaskWork, place: Place) -> Result:
    """Let the machine boot from something else."""
    device, once = BootDevice(work.parameters["device"]), bool(work.parameters["once"])
    uri = place.the_machine().uri

    def shown() -> str | None:
        now = place.driver.boot(uri)
        words = f"It boots from {device.name.lower()}"
        if now == Boot(device.value, once):
            return f"{words} once." if once else f"{words}."
        if now.device == device.value and work.position:
            # Some take the order and do not tell once from always.
            return f"{words}; whether once or always it does not tell as it was asked for."
        return None

    return _bring(work, shown, lambda: place.driver.set_boot(uri, device, once=once))


def media(work: TaskWork, place: Place) -> Result:
    """Insert an image into the virtual CD drive, or eject what is there."""
    image = work.parameters["image"]
    uri = place.the_machine().uri
    done = "The virtual CD drive is empty." if image is None else "The image is inserted."
    return _bring(
        work,
        lambda: done if place.driver.media(uri) == image else None,
        lambda: place.driver.set_media(uri, image),
    )


def _bring(work: TaskWork, shown: Callable[[], str | None], order: Callable[[], None]) -> Result:
    """Order what is not so yet. It may be ordered again: the second time changes nothing.

    `shown` says that it is so, for people; None while it is not.
    """
    done = shown()
    if done is not None:
        return Completed(message=done)
    if work.task.cancel_requested:
        return Cancelled("It is not as it was asked for.")
    orders = int(work.position.get("orders", 0))
    if orders >= _MOST:
        return Failed(f"The machine took the order {orders} times and does not show it.")
    work.guard()
    position = {"orders": orders + 1}
    try:
        order()
    except NoAnswer as error:
        return Doubtful(position, f"{error} Reading whether the machine took it.", _LOOK)
    return Waiting(position, _LOOK, 50, "Ordered.")

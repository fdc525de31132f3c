# SPDX-License-Identifier: Apache-2.0
"""Firmware: read, and updated once."""

from headwater.engine.tracked import Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import PodRefused
from headwater.orchestrator.podm.order import Order, carry_out, within
from headwater.orchestrator.podm.own import Foreign


def read_firmware(work: TaskWork, place: Place) -> Result:
    """The versions of a machine's firmware."""
    return Completed({"versions": dict(place.driver.firmware(place.the_machine().uri))})


def update_firmware(work: TaskWork, place: Place) -> Result:
    """Let the machine install an image. Never ordered twice: an update may be under way."""
    uri = place.the_machine().uri
    before = work.position.get("before")
    if before is None:
        before = dict(place.driver.firmware(uri))

    def reached(sure: bool) -> Completed | None:
        try:
            now = dict(place.driver.firmware(uri))
        except Foreign:
            raise
        except PodRefused:
            # A BMC that updates itself answers anything for a while.
            return None
        if not sure and now == before:
            return None
        changed = sorted(name for name in now if now[name] != before.get(name))
        text = (
            f"Other versions than before: {', '.join(changed)}."
            if changed
            else ("The pod says that it is done; the versions are those of before.")
        )
        return Completed({"versions": now, "before": before}, text)

    order = Order(
        send=lambda: place.driver.update_firmware(uri, str(work.parameters["image"])),
        reached=reached,
        doing="Updating the firmware.",
        so_far=lambda: "The versions are those of before.",
        repeatable=False,
        most_looks=None,
        lost="The answer to the order was lost, and an update may be under way. Look at the "
        "machine before you ask for it again.",
    )
    return within(work, {"before": before}, "order", lambda inner: carry_out(inner, place, order))

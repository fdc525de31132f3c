# SPDX-License-Identifier: Apache-2.0
"""Boots a machine from an image: virtual CD, boot once, power. One task, step by step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.common.states import BootDevice, PowerAction
from headwater.engine.tracked import Completed, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.order import within
from headwater.orchestrator.podm.power import switch
from headwater.orchestrator.podm.settings import boot, media


def boot_image(work: TaskWork, place: Place) -> Result:
    """Go on with the step that the position names; the next one follows in the next turn."""
    at = int(work.position.get("at", 0))
    percent = 100 * at // len(_STEPS) + 5

    def step(inner: TaskWork) -> Result:
        def note(*, position: Mapping[str, Any] | None = None, **values: Any) -> None:
            # How far a step has come is not how far the whole has come.
            inner.note(position=position, **{**values, "percent": percent})

        return _STEPS[at](replace(inner, note=note), place)

    result = within(work, {"at": at}, "within", step)
    if isinstance(result, Completed) and at + 1 < len(_STEPS):
        return Waiting({"at": at + 1}, 0.0, percent, result.message)
    if isinstance(result, Waiting):
        return replace(result, percent=percent)
    return result


def _boot_from_cd(work: TaskWork, place: Place) -> Result:
    return boot(replace(work, parameters={"device": BootDevice.CD, "once": True}), place)


def _start(work: TaskWork, place: Place) -> Result:
    """Switch the machine on, or reset it: whichever it was when the step began."""
    word = work.position.get("action")
    if word is None:
        is_on = place.driver.power_state(place.the_machine().uri) == "On"
        word = PowerAction.RESET if is_on else PowerAction.ON
    action = PowerAction(word)
    return within(
        work, {"action": action.value}, "power", lambda inner: switch(inner, place, action)
    )


_STEPS = (media, _boot_from_cd, _start)

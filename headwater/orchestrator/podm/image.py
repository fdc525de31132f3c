# SPDX-License-Identifier: Apache-2.0
"""Boots a machine from an image: virtual CD, boot once, power. One task, step by step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.common.states import BootDevice, PowerAction
from headwater.engine.tracked import Completed, Doubtful, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.power import switch
from headwater.orchestrator.podm.settings import boot, media


def boot_image(work: TaskWork, place: Place) -> Result:
    """Go on with the step that the position names; the next one follows in the next turn."""
    at = int(work.position.get("at", 0))
    within = work.position.get("within", {})

    def note(*, position: Mapping[str, Any] | None = None, **values: Any) -> None:
        values.pop("percent", None)
        whole = None if position is None else {"at": at, "within": dict(position)}
        work.note(position=whole, **values)

    result = _STEPS[at](replace(work, position=within, note=note), place)
    percent = 100 * at // len(_STEPS) + 5
    if isinstance(result, Completed) and at + 1 < len(_STEPS):
        return Waiting({"at": at + 1}, 0.0, percent, result.message)
    if isinstance(result, Waiting):
        whole = {"at": at, "within": dict(result.position)}
        return replace(result, position=whole, percent=percent)
    if isinstance(result, Doubtful):
        return replace(result, position={"at": at, "within": dict(result.position)})
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
    within = {name: value for name, value in work.position.items() if name != "action"}

    def note(*, position: Mapping[str, Any] | None = None, **values: Any) -> None:
        kept = position if position is None else {**position, "action": action.value}
        work.note(position=kept, **values)

    result = switch(replace(work, position=within, note=note), place, action)
    if isinstance(result, Waiting | Doubtful):
        return replace(result, position={**result.position, "action": action.value})
    return result


_STEPS = (media, _boot_from_cd, _start)

# SPDX-License-Identifier: Apache-2.0
"""Switches a machine on and off: ordered once, and looked at until it is there."""

from headwater.common.errors import LoginRefused, NoAnswer, Unreachable
from headwater.common.states import PowerAction
from headwater.db import pods
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Cancelled, Completed, Doubtful, Result, TaskWork, Waiting
from headwater.orchestrator.podm.actions import Place

#: Seconds between two looks: machines take between one second and minutes.
_LOOK = 2.0

#: Looks after which an order whose answer was lost counts as not taken.
_DOUBT = 15

_WANTED = {
    PowerAction.ON: "On",
    PowerAction.OFF: "Off",
    PowerAction.SHUTDOWN: "Off",
    PowerAction.RESET: "On",
}


def power(work: TaskWork, place: Place) -> Result:
    """What the task asks for."""
    return switch(work, place, PowerAction(work.parameters["action"]))


def switch(work: TaskWork, place: Place, action: PowerAction) -> Result:
    """Order, then look. A lost order is given again only after the machine was seen unchanged."""
    step = work.position.get("step")
    if step is None:
        if work.task.cancel_requested:
            return Cancelled("Nothing was sent to the machine.")
        return _order(work, place, action)
    machine = place.the_machine()
    state = place.driver.power_state(machine.uri)
    pods.note_power(place.database, machine.id, state)
    looks = int(work.position.get("looks", 0)) + 1
    # A reset begins and ends with a machine that is on: only one that was surely ordered can be
    # told by its state.
    if state == _WANTED[action] and (action is not PowerAction.RESET or step == "ordered"):
        return Completed({"power_state": state}, f"The machine is {state}.")
    if work.task.cancel_requested:
        return Cancelled(f"The order was sent and stands; the machine is {state}.")
    if step == "ordering" and looks >= _DOUBT:
        if action is PowerAction.RESET:
            return Failed(
                "The answer to the order was lost, and nobody can read whether the machine was "
                f"reset; it is {state}. Look at it, and ask again if it was not."
            )
        return _order(work, place, action)
    position = {"step": step, "looks": looks}
    if step == "ordering":
        reason = f"The answer to the order was lost; the machine is {state} so far."
        return Doubtful(position, reason, _LOOK)
    # It nears the end and does not reach it: nobody knows how long machines take.
    percent = 90 - 80 // (looks + 1)
    return Waiting(position, _LOOK, percent, f"Ordered; the machine is {state}.")


def _order(work: TaskWork, place: Place, action: PowerAction) -> Result:
    machine = place.the_machine()
    position = {"step": "ordering", "looks": 0}
    # Written before it is sent: whoever goes on after a crash knows that it may have been.
    work.note(position=position, percent=5, message=f"Ordering {action}.")
    work.guard()
    try:
        place.driver.power(machine.uri, action)
    except NoAnswer as error:
        return Doubtful(position, f"{error} Reading whether the machine took the order.", _LOOK)
    except (LoginRefused, Unreachable):
        # It was certainly not taken: the next try begins anew.
        work.note(position={})
        raise
    return Waiting({"step": "ordered", "looks": 0}, _LOOK / 4, 10, "Ordered.")

# SPDX-License-Identifier: Apache-2.0
"""Switches a machine on and off."""

from headwater.common.states import PowerAction
from headwater.db import pods
from headwater.engine.tracked import Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.order import Order, carry_out

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
    """Order, then look until the machine is there, or the deadline has passed."""
    machine = place.the_machine()
    state: str | None = None

    def reached(sure: bool) -> Completed | None:
        nonlocal state
        state = place.driver.power_state(machine.uri)
        pods.note_power(place.database, machine.id, state)
        # A reset begins and ends with a machine that is on: only one that was surely ordered can be
        # told by its state.
        if state == _WANTED[action] and (action is not PowerAction.RESET or sure):
            return Completed({"power_state": state}, f"The machine is {state}.")
        return None

    order = Order(
        send=lambda: place.driver.power(machine.uri, action),
        reached=reached,
        doing=f"Ordering {action}.",
        so_far=lambda: f"The machine is {state}.",
        repeatable=action is not PowerAction.RESET,
        # Some machines refuse to be what they are.
        look_first=action is not PowerAction.RESET,
        lost="The answer to the order was lost, and nobody can read whether the machine was reset. "
        "Look at it, and ask again if it was not.",
        most_looks=None,
    )
    return carry_out(work, place, order)

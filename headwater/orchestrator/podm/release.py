# SPDX-License-Identifier: Apache-2.0
"""Takes a node apart: its machine is switched off before anybody else may have it."""

from headwater.common.states import PowerAction
from headwater.db import nodes, pods
from headwater.engine.tracked import Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.power import switch


def release(work: TaskWork, place: Place) -> Result:
    """Switch the machine off unless it is off, then give it back."""
    machine = place.the_machine()
    result: Result
    if not work.position and place.driver.power_state(machine.uri) == "Off":
        pods.note_power(place.database, machine.id, "Off")
        result = Completed({"power_state": "Off"}, "The machine was off.")
    else:
        result = switch(work, place, PowerAction.OFF)
    if isinstance(result, Completed):
        work.guard()
        nodes.end_release(place.database, machine.id)
    return result

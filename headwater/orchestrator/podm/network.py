# SPDX-License-Identifier: Apache-2.0
"""Network ports of machines."""

from headwater.common.states import ComponentKind
from headwater.db import inventory
from headwater.engine.tracked import Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place


def read_ports(work: TaskWork, place: Place) -> Result:
    """Store what ports a machine has."""
    machine = place.the_machine()
    found = place.driver.ports(machine.uri)
    inventory.store_parts(place.database, machine, (ComponentKind.PORT,), found)
    return Completed({"components": len(found)})

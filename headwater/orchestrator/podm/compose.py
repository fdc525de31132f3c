# SPDX-License-Identifier: Apache-2.0
"""Makes a machine of resource blocks that are reserved; what comes of it half is taken apart."""

from headwater.common.states import NodeState
from headwater.db import nodes
from headwater.db.pod_records import Node
from headwater.engine.outcome import Failed
from headwater.engine.tracked import Cancelled, Completed, Result, TaskWork
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import PodChanged, PodRefused
from headwater.orchestrator.podm.order import Order, carry_out


def compose(work: TaskWork, place: Place) -> Result:
    """Order it, watch it, and give the machine to the node."""
    known = place.the_node()
    if known is None or known.state is NodeState.RELEASING:
        return Cancelled("The node was deleted meanwhile.")
    blocks = list(work.parameters["blocks"])

    def reached(sure: bool) -> Completed | None:
        uri = place.driver.composed(blocks)
        seen = None if uri is None else place.driver.system(uri)
        if seen is None:
            return None
        work.guard()
        nodes.end_compose(place.database, known, seen)
        return Completed({"uri": seen.uri}, f"The machine {seen.name} is there.")

    order = Order(
        send=lambda: place.driver.compose(str(work.parameters["name"]), blocks),
        reached=reached,
        doing=f"Composing of {len(blocks)} resource blocks.",
        so_far=lambda: "There is no machine of these resource blocks.",
    )
    try:
        result = carry_out(work, place, order)
    except PodChanged:
        raise
    except PodRefused as error:
        result = Failed(str(error))
    if isinstance(result, Failed | Cancelled):
        _give_up(work, place, known, result)
    return result


def _give_up(work: TaskWork, place: Place, known: Node, result: Failed | Cancelled) -> None:
    """Let a task of its own take apart what there may be, and free the blocks."""
    reason = result.reason if isinstance(result, Failed) else result.message
    work.guard()
    # Nothing was sent before this turn, and in it the pod said no.
    parameters = {"nothing_made": not work.position}
    nodes.begin_release(
        place.database, known, place.follow_up("release-node", parameters), error=reason
    )

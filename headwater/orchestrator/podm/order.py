# SPDX-License-Identifier: Apache-2.0
"""How an order is given to a pod: once, watched to its end, and found out about by reading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwater.common.errors import LoginRefused, NoAnswer, Unreachable
from headwater.engine.outcome import Failed
from headwater.engine.tracked import (
    Cancelled,
    Completed,
    Doubtful,
    Result,
    TaskWork,
    Waiting,
)
from headwater.orchestrator.podm.actions import Place
from headwater.orchestrator.podm.drivers import Operation, PodChanged, Stage

#: Seconds between two looks: machines take between one second and minutes.
LOOK = 2.0

#: Times that an order is given again after its answer was lost: one that is answered with an error
#: each time will not be carried out.
_MOST_AGAIN = 3

#: Looks (half a minute) after which an order whose answer was lost counts as not taken, and one
#: that was taken as not obeyed.
LOOKS = 15


@dataclass(frozen=True)
class Order:
    """Something that a pod shall do."""

    #: Sends it; raises what drivers raise.
    send: Callable[[], Operation | None]
    #: Reads whether it is so; None while it is not. Given is whether the pod is known to have taken
    #: the order: some orders leave nothing by which a reader could tell.
    reached: Callable[[bool], Completed | None]
    #: What is being done, for people, such as `Ordering on.`
    doing: str
    #: How it looks while it is not reached, for people.
    so_far: Callable[[], str] = lambda: "It is not as it was asked for yet."
    #: May be given again when its answer was lost and nothing of it is seen: it changes nothing the
    #: second time. Otherwise the task fails then, with `lost`.
    repeatable: bool = True
    lost: str = ""
    #: Looks after which an order whose answer was lost counts as not taken.
    doubt: int = LOOKS
    #: Reads whether the pod is still at it, whatever became of the answer: then nothing counts.
    under_way: Callable[[], bool] = lambda: False
    #: Nothing is sent where it is so already.
    look_first: bool = False
    #: Looks after which an order that was taken counts as not obeyed; None: until the deadline.
    most_looks: int | None = LOOKS


def carry_out(work: TaskWork, place: Place, order: Order) -> Result:
    """Do the next step. A lost order is given again only after it was seen to have no effect."""
    step = work.position.get("step")
    if step is None:
        done = order.reached(False) if order.look_first else None
        if done is not None:
            return done
        if work.task.cancel_requested:
            return Cancelled("Nothing was sent to the machine.")
        return _send(work, order, 0)
    if step == "watching":
        return _watch(work, place, order)
    return _look(work, order, sure=step == "ordered")


def _send(work: TaskWork, order: Order, again: int) -> Result:
    position: dict[str, Any] = {"step": "ordering", "looks": 0}
    if again:
        position["again"] = again
    # Written before it is sent: whoever goes on after a crash knows that it may have been.
    work.note(position=position, percent=5, message=order.doing)
    work.guard()
    try:
        operation = order.send()
    except NoAnswer as error:
        if again >= _MOST_AGAIN:
            # The last one is looked for as well, before it is given up for this.
            position["why"] = str(error)
        return Doubtful(position, f"{error} Reading whether the order was taken.", LOOK)
    except (LoginRefused, Unreachable, PodChanged):
        # This one was certainly not taken. Of an earlier one, whose answer was lost, that says
        # nothing: what was known before this try is what is known now.
        work.note(position=work.position)
        raise
    if operation is not None:
        # Nothing is held while the pod works: whichever worker comes next asks there.
        watching = {**_again(work), "step": "watching", "operation": operation.uri}
        return Waiting(watching, LOOK / 4, 10, "Taken.")
    return Waiting({"step": "ordered", "looks": 0}, LOOK / 4, 10, "Ordered.")


def _again(work: TaskWork) -> Mapping[str, Any]:
    return {name: value for name, value in work.position.items() if name == "again"}


def _watch(work: TaskWork, place: Place, order: Order) -> Result:
    if work.task.cancel_requested:
        return Cancelled("The order was sent and stands; the pod goes on with it.")
    progress = place.driver.operation(str(work.position["operation"]))
    match progress.stage:
        case Stage.FAILED:
            return Failed(f"The pod gave it up: {progress.message or 'it does not say why'}")
        case Stage.GONE:
            # It ended, and the pod has forgotten how: what is there tells.
            return _look(
                replace(work, position={**_again(work), "step": "ordering", "looks": 0}),
                order,
                sure=False,
            )
        case Stage.DONE:
            return _look(replace(work, position={"step": "ordered", "looks": 0}), order, sure=True)
    percent = None if progress.percent is None else 10 + progress.percent * 8 // 10
    return Waiting(work.position, progress.after or LOOK, percent, progress.message or "At it.")


def _look(work: TaskWork, order: Order, *, sure: bool) -> Result:
    done = order.reached(sure)
    if done is not None:
        return done
    looks = int(work.position.get("looks", 0)) + 1
    if work.task.cancel_requested:
        return Cancelled(f"The order was sent and stands. {order.so_far()}")
    if order.under_way():
        return Waiting(work.position, LOOK, 50, "The pod is at it.")
    position = {**work.position, "looks": looks}
    if not sure:
        if looks >= order.doubt:
            again = int(work.position.get("again", 0))
            if order.repeatable and again < _MOST_AGAIN:
                return _send(work, order, again + 1)
            if order.repeatable:
                why = work.position.get("why", "The answer to the order was lost.")
                return Failed(f"{why} It was ordered {again + 1} times. {order.so_far()}")
            return Failed(f"{order.lost} {order.so_far()}")
        reason = f"The answer to the order was lost. {order.so_far()}"
        return Doubtful(position, reason, LOOK)
    if order.most_looks is not None and looks >= order.most_looks:
        return Failed(f"The order was taken and not obeyed. {order.so_far()}")
    # It nears the end and does not reach it: nobody knows how long machines take.
    percent = 90 - 80 // (looks + 1)
    return Waiting(position, LOOK, percent, f"Ordered. {order.so_far()}")


def within(
    work: TaskWork, kept: Mapping[str, Any], name: str, step: Callable[[TaskWork], Result]
) -> Result:
    """Run a step whose position is `name` within a position that keeps `kept` besides."""

    def whole(position: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**kept, name: dict(position)}

    def note(*, position: Mapping[str, Any] | None = None, **values: Any) -> None:
        work.note(position=None if position is None else whole(position), **values)

    result = step(replace(work, position=work.position.get(name, {}), note=note))
    if isinstance(result, Waiting | Doubtful):
        return replace(result, position=whole(result.position))
    return result

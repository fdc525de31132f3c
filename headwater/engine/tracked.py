# SPDX-License-Identifier: Apache-2.0
"""What the engine hands to the code that knows what tasks mean, and what it expects of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.db.pod_records import ClaimedTask
from headwater.engine.outcome import Failed, Retry


@dataclass(frozen=True)
class Completed:
    """The pod has done it."""

    result: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None


@dataclass(frozen=True)
class Waiting:
    """The pod is at it; the task is looked at again after some seconds, by whichever worker."""

    position: Mapping[str, Any]
    after: float
    percent: int | None = None
    message: str | None = None


@dataclass(frozen=True)
class Doubtful:
    """An order's answer was lost. The task reads the pod next, and never orders blindly again."""

    position: Mapping[str, Any]
    reason: str
    after: float


@dataclass(frozen=True)
class Cancelled:
    """Ended because somebody asked for it; says in what state the pod is left."""

    message: str


Result = Completed | Waiting | Doubtful | Cancelled | Retry | Failed


class Note(Protocol):
    """Writes down how far a task has come; raises LeaseLost where another worker has it by now."""

    def __call__(
        self,
        *,
        percent: int | None = None,
        message: str | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> None:
        """What is not given stays."""


@dataclass(frozen=True)
class TaskWork:
    """A held task, decrypted, and what is needed to go on with it."""

    task: ClaimedTask
    parameters: Mapping[str, Any]
    #: Empty at first; later what the last step left.
    position: Mapping[str, Any]
    #: To be called with a new position before each order to the pod: a worker that is killed in the
    #: middle leaves to the next one what it was about to do.
    note: Note
    #: Raises LeaseLost; to be called before each call that changes something.
    guard: Callable[[], None]


class TaskHandler(Protocol):
    """Knows what tasks mean."""

    def execute(self, work: TaskWork) -> Result:
        """Do the next step. Safe to repeat; errors become results."""

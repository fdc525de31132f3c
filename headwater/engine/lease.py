# SPDX-License-Identifier: Apache-2.0
"""A worker's timed hold on a lane or a task, as its own process knows it."""

import time
from typing import Generic, TypeVar

from headwater.common.errors import LeaseLost
from headwater.db.leases import Held


def ticks() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the process or host sleeps.

    Not while a hypervisor holds a virtual machine: what a worker sends in the first moment after
    that may be stale; the database refuses its results all the same.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


Row = TypeVar("Row", bound=Held)


class Lease(Generic[Row]):
    """Counts from before the database was asked, so it never lasts longer than there.

    Safe for many threads.
    """

    def __init__(self, row: Row, seconds: float, began: float):
        self.row, self.seconds = row, seconds
        self._until = began + seconds
        self._lost = False

    def check(self) -> None:
        """Raise LeaseLost unless the row is still held; asked before anything is changed."""
        if self._lost or ticks() >= self._until:
            raise LeaseLost(f"{self.row}: its lease of {self.seconds:g} s has ended.")

    def renewed(self, began: float) -> None:
        """The database renewed it; it was asked at `began` of `ticks`."""
        self._until = max(self._until, began + self.seconds)

    def lose(self) -> None:
        """The database says that it has ended. Nothing brings it back."""
        self._lost = True

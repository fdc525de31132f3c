# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds after which an awaited condition counts as missed; far beyond what any of them takes.
PATIENCE = 30.0

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], what: str, patience: float = PATIENCE, every: float = 0.005
) -> T:
    """The first true value of `condition`; an AssertionError that names `what` without one.

    Looks every `every` seconds; give more where a look costs what is measured.
    """
    limit = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"{what}: not within {patience:g} s")
        time.sleep(every)
    return value

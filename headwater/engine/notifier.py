# SPDX-License-Identifier: Apache-2.0
"""The wake-up after a change: only ever a hint, never in the client's way."""

import logging
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from headwater.common.concurrency import StoppableThread

LOG = logging.getLogger(__name__)


class Notifier(Protocol):
    """Tells engine workers that there is something new."""

    def notify(self, endpoint_type: str) -> None:
        """Return at once; raise nothing."""


class DirectNotifier:
    """For the embedded mode, where the worker lives in the same process."""

    def __init__(self, wake: Callable[[Collection[str]], None]):
        self._wake = wake

    def notify(self, endpoint_type: str) -> None:
        """Wake the worker."""
        self._wake([endpoint_type])


class QueueNotifier:
    """Sends from a thread of its own, one message for many changes that came meanwhile.

    A broker that hangs or is away holds up that thread only; the poll of the workers finds the
    work. `send` may raise anything.
    """

    def __init__(self, send: Callable[[str], None]):
        self._send = send
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._thread = StoppableThread("notifier", self._step)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def notify(self, endpoint_type: str) -> None:
        """Leave the name for the sending thread."""
        with self._lock:
            self._asked.add(endpoint_type)
        self._thread.wake()

    def stop(self, timeout: float) -> None:
        """Stop sending; what is unsent is found by the poll."""
        self._thread.stop(timeout)

    def _step(self) -> float:
        with self._lock:
            asked, self._asked = self._asked, set()
        for endpoint_type in sorted(asked):
            try:
                self._send(endpoint_type)
            except Exception as error:  # noqa: BLE001 - messaging drivers raise their own kinds
                LOG.warning(
                    "No wake-up sent for %s, the poll will find the work: %s", endpoint_type, error
                )
        return 3600.0

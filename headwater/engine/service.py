# SPDX-License-Identifier: Apache-2.0
"""EngineService and EngineWorkerService: what runs in their processes, for oslo.service."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_service import service


class Part(Protocol):
    """Something that works in the background of a process."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self, timeout: float) -> object:
        """End what runs within `timeout` seconds, as far as possible."""


class _PartsService(service.ServiceBase):  # type: ignore[misc]
    """Runs parts; `build` makes them in the process that runs them, after any fork.

    `stop_timeout` is oslo.service's graceful_shutdown_timeout in seconds; 0 is no limit.
    """

    def __init__(self, build: Callable[[], Sequence[Part]], stop_timeout: float):
        self._build = build
        # A little less, so that work that does not end is left behind in order and not killed.
        self._stop_timeout = stop_timeout * 0.9 or threading.TIMEOUT_MAX
        self._parts: Sequence[Part] = ()
        self._stopping: threading.Thread | None = None

    def start(self) -> None:
        """Start the parts in their order."""
        self._parts = self._build()
        for part in self._parts:
            part.start()

    def stop(self) -> None:
        """Stop the parts in the opposite order. Also called where nothing was started.

        Does not wait, because other services of this process have to stop at the same time.
        """
        parts, self._parts = self._parts, ()
        if parts:
            self._stopping = threading.Thread(
                target=self._drain, args=(parts,), name="engine-stop", daemon=True
            )
            self._stopping.start()

    def wait(self) -> None:
        """Wait until all that `stop` has told to end has ended, at most `stop_timeout`."""
        if self._stopping is not None:
            self._stopping.join()

    def reset(self) -> None:
        """Nothing to do: a SIGHUP replaces the process, and `stop` follows."""

    def _drain(self, parts: Sequence[Part]) -> None:
        deadline = time.monotonic() + self._stop_timeout
        for part in reversed(parts):
            part.stop(max(0.1, deadline - time.monotonic()))


class EngineService(_PartsService):
    """Does periodic work; any number of them share it."""


class EngineWorkerService(_PartsService):
    """Runs lanes and answers RPC."""

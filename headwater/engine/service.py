# SPDX-License-Identifier: Apache-2.0
"""EngineWorkerService: a worker and its RPC server as an oslo.service service."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oslo_service import service

from headwater.common.concurrency import StoppableThread
from headwater.engine.worker import Worker

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineParts:
    """What one engine worker process consists of."""

    worker: Worker
    #: Work that is due again and again.
    periodic: tuple[StoppableThread, ...]
    #: None in the embedded mode, where the gateway wakes the worker directly.
    rpc_server: Any


class EngineWorkerService(service.ServiceBase):  # type: ignore[misc]
    """Runs a worker; `build` makes its parts in the process that runs it."""

    def __init__(self, build: Callable[[], "EngineParts"], stop_timeout: float):
        self._build, self._stop_timeout = build, stop_timeout
        self._parts: EngineParts | None = None

    def start(self) -> None:
        """Begin to run lanes and to answer RPC."""
        self._parts = self._build()
        self._parts.worker.start()
        for thread in self._parts.periodic:
            thread.start()
        if self._parts.rpc_server is not None:
            self._parts.rpc_server.start()

    def stop(self) -> None:
        """Let running lanes end, claim no more. Also called where nothing was started."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        if parts.rpc_server is not None:
            parts.rpc_server.stop()
        for thread in parts.periodic:
            thread.stop(self._stop_timeout)
        parts.worker.stop(self._stop_timeout)

    def wait(self) -> None:
        """Nothing is left to wait for: `stop` returns when all has ended."""

    def reset(self) -> None:
        """Nothing to do: a SIGHUP replaces the process."""

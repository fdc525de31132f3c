# SPDX-License-Identifier: Apache-2.0
"""EngineWorkerService: a worker and its RPC server as an oslo.service service."""

import logging
from collections.abc import Callable
from typing import Any

from oslo_service import service

from headwater.engine.worker import Worker

LOG = logging.getLogger(__name__)


class EngineWorkerService(service.ServiceBase):  # type: ignore[misc]
    """Runs a worker; `build` makes it in the process that runs it, with its RPC server or None."""

    def __init__(self, build: Callable[[], tuple[Worker, Any]], stop_timeout: float):
        self._build, self._stop_timeout = build, stop_timeout
        self._worker: Worker | None = None
        self._server: Any = None

    def start(self) -> None:
        """Begin to run lanes and to answer RPC."""
        self._worker, self._server = self._build()
        self._worker.start()
        if self._server is not None:
            self._server.start()

    def stop(self) -> None:
        """Let running lanes end, claim no more. Also called where nothing was started."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._worker is not None:
            self._worker.stop(self._stop_timeout)
            self._worker = None

    def wait(self) -> None:
        """Nothing is left to wait for: `stop` returns when all has ended."""

    def reset(self) -> None:
        """Nothing to do: a SIGHUP replaces the process."""

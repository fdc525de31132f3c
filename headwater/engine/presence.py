# SPDX-License-Identifier: Apache-2.0
"""A process says that it lives, so that operators see who works."""

import os
import socket
from importlib.metadata import version

from headwater.common.concurrency import StoppableThread
from headwater.db import services
from headwater.db.connection import Database


class Presence:
    """`name` is the owner of the leases that the process holds, `kind` what it is."""

    def __init__(self, database: Database, name: str, kind: str):
        self._database, self._name, self._kind = database, name, kind
        self._thread = StoppableThread("presence", self._note, error_delay=services.INTERVAL)

    def start(self) -> None:
        """Begin to say so."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Say that it ends; one that is killed is found out by its silence."""
        if self._thread.stop(timeout):
            services.forget(self._database, self._name)

    def _note(self) -> float:
        services.note(
            self._database,
            self._name,
            self._kind,
            socket.gethostname(),
            os.getpid(),
            version("headwater"),
        )
        return services.INTERVAL

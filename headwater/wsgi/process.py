# SPDX-License-Identifier: Apache-2.0
"""A WSGI callable that each process makes for itself."""

import os
import threading
from collections.abc import Callable
from typing import Any

from headwater.common.auth import WsgiApp


class PerProcess:
    """Makes the real callable at the first call in each process, once.

    Servers import it first and fork later, or fork again: connections and threads made before would
    be shared with, or missing in, the forked process. An error of `make` is the caller's, and the
    next call tries again.
    """

    def __init__(self, make: Callable[[], WsgiApp]):
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, WsgiApp] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer one exchange (PEP 3333)."""
        made = self._made
        if made is None or made[0] != os.getpid():
            made = self._first_call()
        return made[1](environ, start_response)

    def _first_call(self) -> tuple[int, WsgiApp]:
        # No fork can find the lock held: servers fork from a process that serves nothing.
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), self._make())
            return self._made

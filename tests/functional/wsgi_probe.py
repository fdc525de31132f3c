# SPDX-License-Identifier: Apache-2.0
"""The gateway's WSGI callable, with a path of the test's own that tells about the process."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from oslo_service import backend

from headwater.wsgi.api_proxy import application as gateway

PATH = "/test/process"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != PATH:
        answered: Iterable[bytes] = gateway(environ, start_response)
        return answered
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(_about()).encode()]


def _about() -> dict[str, Any]:
    patcher = sys.modules.get("eventlet.patcher")
    modules = ("builtins", "os", "psycopg", "select", "socket", "subprocess", "thread", "time")
    return {
        "backend": backend.get_backend_type().value,
        # oslo's libraries import eventlet wherever it is installed; that alone changes nothing.
        "patched": [name for name in modules if patcher and patcher.is_monkey_patched(name)],
    }

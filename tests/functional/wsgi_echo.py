# SPDX-License-Identifier: Apache-2.0
"""A WSGI callable that answers what the gateway would understand; for servers other than ours."""

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from headwater.api_proxy import exchange, faults
from headwater.common.errors import HeadwaterError


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    try:
        client = exchange.from_environ(environ)
        # Tells the test that a thread works on the request, whose body is not there yet.
        environ["wsgi.errors"].write(f"Reading on {threading.current_thread().name}\n")
        environ["wsgi.errors"].flush()
        understood = {
            "method": client.method,
            "target": client.target,
            "headers": [[name, value] for name, value in client.headers],
            "host": client.host,
            "peer": client.peer,
            "length": client.length,
            "body": client.read_body(1024 * 1024).decode(),
        }
    except HeadwaterError as error:
        answered: Iterable[bytes] = faults.response(error)(environ, start_response)
        return answered
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(understood).encode()]

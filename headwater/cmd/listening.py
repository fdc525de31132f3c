# SPDX-License-Identifier: Apache-2.0
"""The HTTP services of the console scripts: bound sockets and the limits of their clients."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from oslo_config import cfg

from headwater.api_proxy.deploy import Address
from headwater.cmd import server
from headwater.common.conf import listening


def gateway_service(
    conf: cfg.ConfigOpts, addresses: Sequence[Address], build: Callable[[], Sequence[Any]]
) -> server.WsgiService:
    """The gateway's server on its bound sockets; `build` makes a callable for each address."""
    listeners = [
        server.bind(
            f"The gateway for {item.endpoint_type.name}",
            item.host,
            item.port,
            f"[endpoint_type:{item.endpoint_type.name}] listen",
        )
        for item in addresses
    ]
    return server.WsgiService(listeners, build, lambda: _settings(conf.api_proxy))


def api_service(conf: cfg.ConfigOpts, build: Callable[[], Any]) -> server.WsgiService:
    """The API's server on its bound socket; `build` makes the callable."""
    option = "[api] listen"
    host, port = listening.address(option, conf.api.listen)
    bound = server.bind("The API", host, port, option)
    return server.WsgiService([bound], lambda: [build()], lambda: _settings(conf.api))


def workers(conf: cfg.ConfigOpts) -> int:
    """The number of processes that share the sockets; as many as CPU cores by default."""
    return conf.api_workers if conf.api_workers is not None else os.cpu_count() or 1


def _settings(group: Any) -> server.ServerSettings:
    # Read in each worker: those that start after a SIGHUP have the new values.
    return server.ServerSettings(
        max_connections=group.max_connections,
        idle_timeout=group.idle_timeout,
        client_timeout=group.client_timeout,
    )

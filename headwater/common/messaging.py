# SPDX-License-Identifier: Apache-2.0
"""The broker, over oslo.messaging. Make transports after a fork, never before."""

from collections.abc import Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from headwater.common.errors import ConfigurationError


def transport(conf: cfg.ConfigOpts) -> Any:
    """The RPC transport of `transport_url`; nothing is connected yet."""
    try:
        return oslo_messaging.get_rpc_transport(conf)
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise ConfigurationError(f"[DEFAULT] transport_url: {error}") from error


def rpc_server(rpc_transport: Any, topic: str, host: str, endpoints: Sequence[object]) -> Any:
    """A server for `topic`; `host` must be unique among its servers."""
    return oslo_messaging.get_rpc_server(
        rpc_transport, oslo_messaging.Target(topic=topic, server=host), list(endpoints)
    )

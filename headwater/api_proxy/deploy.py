# SPDX-License-Identifier: Apache-2.0
"""Builds gateways from the configuration: one WSGI callable per endpoint type."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from oslo_config import cfg

from headwater.api_proxy import auth
from headwater.api_proxy.connections import ConnectionPool, UpstreamSettings
from headwater.api_proxy.forwarder import Forwarder
from headwater.api_proxy.gateway import Gateway, GatewaySettings
from headwater.api_proxy.recorder import Recorder
from headwater.api_proxy.router import Router
from headwater.common.auth import WsgiApp
from headwater.common.conf import listening
from headwater.common.endpoints.model import EndpointType
from headwater.common.proxies import TrustedProxies
from headwater.common.secrets import KeyRing
from headwater.db.connection import Database
from headwater.engine.notifier import Notifier


@dataclass(frozen=True)
class Address:
    """Where one endpoint type is served."""

    endpoint_type: EndpointType
    host: str
    port: int


def addresses(conf: cfg.ConfigOpts, endpoint_types: list[EndpointType]) -> list[Address]:
    """The addresses of all endpoint types; raises ConfigurationError for one that cannot be."""
    found = []
    for endpoint_type in endpoint_types:
        group = f"endpoint_type:{endpoint_type.name}"
        host, port = listening.address(f"[{group}] listen", conf[group].listen)
        found.append(Address(endpoint_type, host, port))
    return found


def gateway(
    conf: cfg.ConfigOpts,
    endpoint_type: EndpointType,
    upstream: str,
    database: Database,
    key_ring: KeyRing,
    notifier: Notifier,
    allows: Callable[[str, Mapping[str, Any]], bool],
) -> Gateway:
    """The gateway of one endpoint type in front of `upstream`, the service without its version."""
    settings = conf.api_proxy
    pool = ConnectionPool(
        upstream,
        UpstreamSettings(
            connect_timeout=settings.connect_timeout,
            answer_timeout=settings.answer_timeout,
            max_idle=settings.max_idle_connections,
            cafile=settings.cafile,
        ),
    )
    token_filter: Callable[[WsgiApp], WsgiApp] = functools.partial(auth.token_filter, conf)
    return Gateway(
        Router(endpoint_type),
        Forwarder(pool),
        Recorder(database, key_ring, notifier, endpoint_type.name),
        token_filter,
        allows,
        GatewaySettings(
            deny_unmatched=settings.unmatched == "deny",
            max_recorded_body=settings.max_recorded_body,
            prefix=urlsplit(upstream).path.rstrip("/"),
            proxies=TrustedProxies("[api_proxy] trusted_proxies", settings.trusted_proxies),
        ),
    )

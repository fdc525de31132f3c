# SPDX-License-Identifier: Apache-2.0
"""What all services that listen have in common: an address, and limits of their clients."""

from typing import Any

from oslo_config import cfg

from headwater.common.errors import ConfigurationError


def client_opts(service: str) -> list[Any]:
    """Limits of the clients of a service that is named `service` in the help."""
    return [
        cfg.FloatOpt(
            "idle_timeout",
            default=75.0,
            min=1.0,
            help="Seconds after which an idle keep-alive connection of a client is closed.",
        ),
        cfg.FloatOpt(
            "client_timeout",
            default=120.0,
            min=1.0,
            help="Seconds that a client may stay silent in the middle of a request before its "
            "connection is closed.",
        ),
        cfg.IntOpt(
            "max_connections",
            default=2000,
            min=1,
            help=f"Client connections that each {service} process serves at a time; idle "
            "keep-alive connections count.",
        ),
        cfg.ListOpt(
            "trusted_proxies",
            default=[],
            sample_default=["192.0.2.10", "2001:db8:7::/64"],
            help="Addresses and networks of the proxies with TLS, or load balancers, in front of "
            f"the {service}. From these, and from nobody else, X-Forwarded-Proto and "
            "X-Forwarded-For are believed, so that links begin with https:// and the trail names "
            "who really called. They have to pass the client's Host on, and to overwrite "
            "X-Forwarded-Proto.",
        ),
    ]


def address(option: str, listen: str) -> tuple[str, int]:
    """Host and port of a listen option; raises ConfigurationError, which names `option`."""
    host, separator, port = listen.rpartition(":")
    # isdigit alone takes digits of other scripts, and some of those int refuses.
    digits = port.isascii() and port.isdigit()
    if not (separator and host and digits and int(port) < 65536):
        raise ConfigurationError(f"{option} = {listen}: is not ADDRESS:PORT.")
    return host.strip("[]"), int(port)

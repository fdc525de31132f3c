# SPDX-License-Identifier: Apache-2.0
"""[api_proxy]: the gateway."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from headwater.common.conf.listening import client_opts

GROUP = cfg.OptGroup("api_proxy", title="The gateway in front of the central cloud")

OPTS = [
    cfg.StrOpt(
        "unmatched",
        default="forward",
        choices=[
            ("forward", "pass it to the central cloud; nothing is recorded"),
            ("deny", "answer 403; only documented paths of the endpoint files pass"),
        ],
        help="What happens to a call that no resource of an endpoint file describes.",
    ),
    cfg.IntOpt(
        "max_recorded_body",
        default=1024 * 1024,
        min=1024,
        help="Largest body, in bytes, of a call that is recorded and replayed; a larger one is "
        "answered with 413. Bodies of other calls stream through without a limit.",
    ),
    cfg.FloatOpt(
        "connect_timeout",
        default=5.0,
        min=0.1,
        help="Seconds to wait for a connection to the central cloud before answering 502.",
    ),
    cfg.FloatOpt(
        "answer_timeout",
        default=60.0,
        min=0.1,
        help="Seconds that the central cloud may stay silent during an exchange before the client "
        "gets 504.",
    ),
    cfg.IntOpt(
        "max_idle_connections",
        default=64,
        min=0,
        help="Idle keep-alive connections to the central cloud that each process keeps per "
        "endpoint type.",
    ),
    *client_opts("gateway"),
    cfg.StrOpt(
        "cafile",
        help="File with the certificates of the authorities that signed the central cloud's TLS "
        "certificates. Default: the system's.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [api_proxy]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

# SPDX-License-Identifier: Apache-2.0
"""[api]: the orchestrator's own REST API."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from headwater.common.conf.listening import client_opts

GROUP = cfg.OptGroup("api", title="The orchestrator's own REST API")

OPTS = [
    cfg.StrOpt(
        "listen",
        default="127.0.0.1:25080",
        help="Address and port of the API, such as 0.0.0.0:25080 or [::]:25080. Port 0 takes a "
        "free one.",
    ),
    *client_opts("API"),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [api]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

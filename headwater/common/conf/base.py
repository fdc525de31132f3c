# SPDX-License-Identifier: Apache-2.0
"""[DEFAULT]: what all processes share."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg


def _default_state_path() -> str:
    if os.geteuid() == 0:
        return "/var/lib/headwater"
    return os.path.join("~", ".local", "state", "headwater")


OPTS = [
    cfg.StrOpt(
        "state_path",
        default=_default_state_path(),
        sample_default="/var/lib/headwater",
        help="Directory for the embedded mode's own files: the SQLite database and the keys that "
        "encrypt secrets. The default for a user other than root is ~/.local/state/headwater.",
    ),
    cfg.IntOpt(
        "api_workers",
        min=0,
        sample_default="<number of CPU cores>",
        help="Number of processes of the gateway, and of the API, that share the listening "
        "sockets. 0 runs one process with green threads and no supervisor, for debugging.",
    ),
    cfg.IntOpt(
        "workers",
        min=0,
        default=1,
        help="Number of engine worker processes on this host. 0 runs one process without a "
        "supervisor, for debugging.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [DEFAULT]."""
    conf.register_opts(OPTS)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [("DEFAULT", OPTS)]

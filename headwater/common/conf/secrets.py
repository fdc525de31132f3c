# SPDX-License-Identifier: Apache-2.0
"""[secrets]: encryption at rest."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup("secrets", title="Encryption at rest")

OPTS = [
    cfg.StrOpt(
        "key_directory",
        default="$state_path/keys",
        help="Directory with the keys that encrypt recorded bodies and subcloud passwords. Every "
        "host of an installation needs the same files. 'headwater-manage secrets create' and "
        "'secrets rotate' write them.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [secrets]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

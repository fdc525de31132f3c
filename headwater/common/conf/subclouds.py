# SPDX-License-Identifier: Apache-2.0
"""[subclouds]: how engine workers talk to subclouds."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup("subclouds", title="Access to subclouds")

OPTS = [
    cfg.StrOpt(
        "interface",
        default="public",
        choices=["public", "internal", "admin"],
        help="Which endpoint of a subcloud's own catalog is used.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=20.0,
        min=0.1,
        help="Seconds that a subcloud may stay silent during one call before it counts as "
        "unreachable.",
    ),
    cfg.StrOpt(
        "cafile",
        help="File with the certificates of the authorities that signed the subclouds' TLS "
        "certificates. Default: those that Python's requests library trusts.",
    ),
    cfg.FloatOpt(
        "probe_interval",
        default=60.0,
        min=0.0,
        help="Seconds between two looks whether a subcloud answers at all, for those that do. "
        "Two that it leaves without an answer make it offline. 0 probes none: then only what is "
        "sent to a subcloud tells.",
    ),
    cfg.FloatOpt(
        "offline_probe_interval",
        default=10.0,
        min=0.1,
        help="The same for subclouds that do not answer: how soon a return is noticed.",
    ),
    cfg.FloatOpt(
        "probe_timeout",
        default=5.0,
        min=0.1,
        help="Seconds after which a probe counts as unanswered.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [subclouds]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

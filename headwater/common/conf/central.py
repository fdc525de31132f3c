# SPDX-License-Identifier: Apache-2.0
"""[central]: the central cloud, as the engine reads it."""

from collections.abc import Iterable, Sequence
from typing import Any

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = cfg.OptGroup("central", title="The central cloud")

OPTS = [
    cfg.StrOpt(
        "region_name",
        default="RegionOne",
        help="Region of the central cloud in its own service catalog.",
    ),
    cfg.StrOpt(
        "interface",
        default="internal",
        choices=["public", "internal", "admin"],
        help="Which endpoint of the catalog to use for the central cloud.",
    ),
]


def _auth_opts() -> list[Any]:
    """Keystoneauth's own options: how the engine's reader logs in to the central cloud."""
    common = loading.get_auth_common_conf_options()
    session = loading.get_session_conf_options()
    password = loading.get_auth_plugin_conf_options("password")
    return [*common, *session, *password]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [central]; the options of the chosen auth_type come with keystoneauth."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
    loading.register_auth_conf_options(conf, GROUP.name)
    loading.register_session_conf_options(conf, GROUP.name)
    # keystoneauth waits for ever by default.
    conf.set_default("timeout", 30.0, group=GROUP.name)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, [*OPTS, *_auth_opts()])]

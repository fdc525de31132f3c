# SPDX-License-Identifier: Apache-2.0
"""[endpoints] and one [endpoint_type:<name>] per endpoint file."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from headwater.common.states import AuditMode

GROUP = cfg.OptGroup("endpoints", title="Endpoint types")

OPTS = [
    cfg.StrOpt(
        "directory",
        help="Directory with endpoint files of your own, NAME.yaml. A file with the endpoint type "
        "of a built-in one replaces it. Check a file with 'headwater-manage endpoints validate'.",
    ),
]


def type_opts(default_port: int) -> list[Any]:
    """The options of one endpoint type, whose gateway listens on `default_port` by default."""
    return [
        cfg.BoolOpt("enabled", default=True, help="Whether the gateway fronts this endpoint type."),
        cfg.StrOpt(
            "listen",
            default=f"127.0.0.1:{default_port}",
            help="Address and port on which the gateway serves this endpoint type, such as "
            "0.0.0.0:25000 or [::]:25000. Port 0 takes a free one.",
        ),
        cfg.URIOpt(
            "upstream",
            schemes=["http", "https"],
            help="Address of the central cloud's service without the version, such as "
            "http://controller:5000 or http://controller/identity. Default: the endpoint in the "
            "catalog of the central region.",
        ),
        cfg.StrOpt(
            "audit",
            default=AuditMode.ENFORCE.value,
            choices=[
                (AuditMode.ENFORCE.value, "repair what differs"),
                (AuditMode.OBSERVE.value, "only report it"),
                (AuditMode.OFF.value, "no periodic audits"),
            ],
            help="What audits do where a subcloud differs from the central cloud. The initial sync "
            "of a subcloud repairs in every mode.",
        ),
        cfg.BoolOpt(
            "remove_extra",
            default=False,
            help="Whether audits that repair also remove what the central cloud does not have and "
            "headwater did not bring: whatever somebody made in a subcloud itself. Otherwise that "
            "is only reported.",
        ),
        cfg.ListOpt(
            "protected",
            default=[],
            sample_default=["user:backup-robot", "user:dns-robot"],
            help="Resources that every cloud has for itself, beside those that the endpoint file "
            "names, as TYPE:NAME. Audits never touch them.",
        ),
    ]


def type_group(name: str) -> cfg.OptGroup:
    """The option group of one endpoint type."""
    return cfg.OptGroup(f"endpoint_type:{name}", title=f"Endpoint type {name}")


def register(conf: cfg.ConfigOpts) -> None:
    """Register [endpoints]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def register_type(conf: cfg.ConfigOpts, name: str, default_port: int) -> None:
    """Register [endpoint_type:<name>], once its endpoint file is known."""
    group = type_group(name)
    conf.register_group(group)
    conf.register_opts(type_opts(default_port), group=group)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group; the identity type stands for all."""
    return [(GROUP.name, OPTS), (type_group("identity").name, type_opts(25000))]

# SPDX-License-Identifier: Apache-2.0
"""[pods]: how pod managers and BMCs are reached, and how much is done at a time."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from headwater.common.states import PodService

GROUP = cfg.OptGroup("pods", title="Pod managers and BMCs")

OPTS = [
    cfg.ListOpt(
        "services",
        default=[each.value for each in PodService],
        item_type=cfg.types.String(choices=[each.value for each in PodService]),
        help="The functional services that headwater-pod-worker, or headwater-all-in-one, runs. "
        "Each has green threads and a topic of its own, so that none delays another; give a host "
        "to one of them by naming it alone.",
    ),
    cfg.IntOpt(
        "green_threads",
        default=100,
        min=1,
        help="Tasks that one process runs at a time for each of its functional services.",
    ),
    cfg.IntOpt(
        "tasks_per_pod",
        default=50,
        min=1,
        help="Tasks of one pod and functional service that run at a time, over all processes. "
        "Those of one machine always run one after the other.",
    ),
    cfg.FloatOpt(
        "connect_timeout",
        default=5.0,
        min=0.1,
        help="Seconds in which a connection to a pod manager or a BMC has to be made.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=20.0,
        min=0.1,
        help="Seconds that a pod manager or a BMC may stay silent during one call.",
    ),
    cfg.BoolOpt(
        "keep_alive",
        default=False,
        help="Use connections to BMCs again. It saves more than half of the processor time that a "
        "call over TLS costs, and some BMCs choke on connections that last.",
    ),
    cfg.IntOpt(
        "calls_per_address",
        default=4,
        min=1,
        help="Calls of one process to one address at a time: BMCs are small computers.",
    ),
    cfg.IntOpt(
        "breaker_failures",
        default=3,
        min=1,
        help="Calls in a row that an address leaves without an answer, after which it is left "
        "alone for [pods] breaker_pause; its tasks wait, and no green thread does.",
    ),
    cfg.FloatOpt(
        "breaker_pause",
        default=30.0,
        min=0.1,
        help="Seconds for which an address that does not answer is left alone.",
    ),
    cfg.FloatOpt(
        "weight_fit",
        default=1.0,
        help="How much it counts, when a node is composed, that little is left unused.",
    ),
    cfg.FloatOpt(
        "weight_spread",
        default=0.01,
        help="How much each node that a pod has already counts against it; below zero, nodes are "
        "packed together.",
    ),
    cfg.FloatOpt(
        "weight_ready",
        default=0.1,
        help="How much it counts that a machine is there and has not to be composed first.",
    ),
    cfg.IntOpt(
        "task_retention_days",
        default=30,
        min=0,
        help="Days after which tasks that have ended are forgotten; 0 keeps them for ever.",
    ),
    cfg.IntOpt(
        "metric_retention_hours",
        default=24,
        min=2,
        help="Hours after which values of sensors are forgotten: those of the history, and the "
        "last ones of sensors that are not read any more.",
    ),
    cfg.IntOpt(
        "metric_history_interval",
        default=300,
        min=0,
        help="Seconds between two values of one sensor in the history; the latest value is written "
        "with every poll. 0 keeps no history.",
    ),
    cfg.IntOpt(
        "event_retention_days",
        default=30,
        min=1,
        help="Days after which events of pods are forgotten.",
    ),
    cfg.StrOpt(
        "event_url",
        default="",
        regex=r"\A(https?://[^/@?#\s]+(/[^@?#\s]*)?)?\Z",
        help="Address of headwater's API as pods can reach it, such as "
        "https://controller.example:25080. Pods that have Redfish events are asked to send them "
        "there. Empty: none is asked, and those that were are told to stop.",
    ),
    cfg.StrOpt(
        "metrics_token_file",
        help="File with a token that is accepted as 'Authorization: Bearer' for GET /v1/metrics, "
        "besides tokens of Keystone, which Prometheus cannot get. At least 16 characters on one "
        "line; it is read with every such call. Whoever has it is a reader of the system there, "
        "and nowhere else.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [pods]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

# SPDX-License-Identifier: Apache-2.0
"""[engine]: claims, retries and limits of the engine workers."""

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup("engine", title="Engine workers")

OPTS = [
    cfg.IntOpt(
        "green_threads",
        default=100,
        min=1,
        help="Lanes that one engine worker runs at a time.",
    ),
    cfg.IntOpt(
        "lanes_per_subcloud",
        default=4,
        min=1,
        help="Lanes of one subcloud (one per endpoint type) that run at a time, over all workers.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=5.0,
        min=0.05,
        max=60.0,
        help="Seconds between two looks into the database for work that no message announced.",
    ),
    cfg.FloatOpt(
        "lease",
        default=15.0,
        min=0.5,
        help="Seconds after which the lanes of a worker that stopped renewing its lease run "
        "elsewhere. They do so within twice this time. A worker that is cut off from the database "
        "for longer does its unwritten work again.",
    ),
    cfg.IntOpt(
        "batch",
        default=50,
        min=1,
        help="Requests of a lane that a worker reads at a time.",
    ),
    cfg.IntOpt(
        "max_tries",
        default=5,
        min=1,
        help="How often a request that a subcloud answers with an error is tried before it is "
        "failed and the lane goes on. An unreachable subcloud does not use tries up.",
    ),
    cfg.FloatOpt(
        "retry_delay",
        default=1.0,
        min=0.01,
        help="Seconds before the second try; doubled for each further one, with jitter.",
    ),
    cfg.IntOpt(
        "breaker_failures",
        default=3,
        min=1,
        help="Tries in a row without an answer after which the circuit breaker of a subcloud "
        "opens: nothing is sent there, in no lane, until a single probe is due. The time to the "
        "next probe grows as for retries.",
    ),
    cfg.FloatOpt(
        "settle_after",
        default=300.0,
        min=0.1,
        help="Seconds after which a change whose answer from the central cloud was lost is settled "
        "by reading the central cloud. Must be longer than any call through the gateway takes.",
    ),
    cfg.FloatOpt(
        "settle_interval",
        default=30.0,
        min=0.1,
        help="Seconds between two looks for such changes.",
    ),
    cfg.FloatOpt(
        "max_retry_delay",
        default=30.0,
        min=0.01,
        help="Longest wait in seconds between two tries, also for an unreachable subcloud.",
    ),
    cfg.FloatOpt(
        "audit_interval",
        default=1200.0,
        min=1.0,
        help="Seconds between two audits of a subcloud, per endpoint type; spread by a tenth, so "
        "that not all come at once.",
    ),
    cfg.IntOpt(
        "audit_most_repairs",
        default=5,
        min=1,
        help="How often audits repair the same resource of a subcloud within audit_window. Then "
        "it is only reported, for somebody or something undoes the repairs.",
    ),
    cfg.FloatOpt(
        "audit_window",
        default=86400.0,
        min=1.0,
        help="Seconds for which repairs are counted, and former differences remembered.",
    ),
    cfg.IntOpt(
        "job_retention_days",
        default=30,
        min=0,
        help="Days after which a finished job and its requests are forgotten. 0 keeps them for "
        "ever. Jobs with failed or waiting requests are always kept.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register [engine]."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """Options by group."""
    return [(GROUP.name, OPTS)]

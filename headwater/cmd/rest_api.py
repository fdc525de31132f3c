# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's own API for one process after the other: checked once, made after each fork.

Shared by headwater-api, headwater-all-in-one and `headwater.wsgi`: nothing here imports eventlet.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from oslo_config import cfg

from headwater.cmd import build, policies
from headwater.common import auth, messaging
from headwater.common.endpoints.registry import Registry
from headwater.common.policy import Policy
from headwater.common.proxies import TrustedProxies
from headwater.common.secrets import KeyRing
from headwater.common.states import PodService
from headwater.db.connection import Database
from headwater.engine.fleet import Fleet
from headwater.engine.notifier import QueueNotifier
from headwater.engine.rpc import EngineWorkerClient
from headwater.engine.task_rpc import TaskClient
from headwater.orchestrator.api.app import Api
from headwater.orchestrator.api.health import Health
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.scraping import Scraper
from headwater.orchestrator.podm.access import known_drivers
from headwater.orchestrator.watch import JobWatch, TaskWatch


@dataclass(frozen=True)
class Wakes:
    """How workers are told that there is something to do; neither blocks nor raises."""

    lanes: Callable[[], None]
    service: Callable[[PodService], None]


def prepare(conf: cfg.ConfigOpts) -> Callable[[], Api]:
    """Check what the API needs; returns what makes it in the process that serves.

    Raises ConfigurationError: what cannot work fails here, once, and not in every process.
    """
    known = build.registry(conf)
    auth.require_options(conf)
    policies.load(conf, known)
    build.check_storage(conf)
    messaging.check(conf)
    check(conf)
    brokers = messaging.broker_addresses(conf)

    def build_one() -> Api:
        transport = messaging.transport(conf)
        client = EngineWorkerClient(transport)
        workers = QueueNotifier(lambda _: client.lanes_waiting())
        services = QueueNotifier(TaskClient(transport).tasks_waiting)
        workers.start()
        services.start()
        return make(
            conf,
            known,
            policies.load(conf, known),
            build.open_database(conf),
            build.key_ring(conf),
            Wakes(lambda: workers.notify("lanes"), services.notify),
            brokers,
        )

    return build_one


def check(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError for what the API alone needs and cannot be."""
    Scraper(conf.pods.metrics_token_file)
    TrustedProxies("[api] trusted_proxies", conf.api.trusted_proxies)


def make(
    conf: cfg.ConfigOpts,
    known: Registry,
    rules: Policy,
    database: Database,
    key_ring: KeyRing,
    wakes: Wakes,
    brokers: Sequence[tuple[str, int]],
) -> Api:
    """The API. `brokers` is empty in the embedded mode."""
    parts = Parts(
        database=database,
        key_ring=key_ring,
        registry=known,
        audit_modes={name: build.audit_mode(conf, name) for name in known.names},
        fleet=Fleet(database, known.names),
        watch=JobWatch(database),
        wake=wakes.lanes,
        tasks=TaskWatch(database),
        wake_service=wakes.service,
        scheduler=build.scheduler(conf, database, key_ring),
        pod_drivers=known_drivers(),
    )
    return Api(
        Health(database, brokers),
        parts,
        rules,
        functools.partial(auth.token_filter, conf),
        version("headwater"),
        Scraper(conf.pods.metrics_token_file),
        TrustedProxies("[api] trusted_proxies", conf.api.trusted_proxies),
    )

# SPDX-License-Identifier: Apache-2.0
"""Gateways for one process after the other: checked once, made after each fork.

Shared by headwater-api-proxy and `headwater.wsgi`, which runs unpatched: nothing here imports
eventlet.
"""

from collections.abc import Callable, Sequence

from oslo_config import cfg

from headwater.api_proxy import deploy
from headwater.api_proxy.gateway import Gateway
from headwater.cmd import build, policies
from headwater.common import auth, messaging
from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import Registry
from headwater.common.proxies import TrustedProxies
from headwater.engine.notifier import QueueNotifier
from headwater.engine.rpc import EngineWorkerClient


def prepare(
    conf: cfg.ConfigOpts, known: Registry, endpoint_types: Sequence[EndpointType]
) -> Callable[[], list[Gateway]]:
    """Check what gateways need; returns what makes one for each of `endpoint_types`.

    Raises ConfigurationError: what cannot work fails here, once, and not in every process. The
    result is called in the process that serves: connections to the database and the broker, and
    threads, belong to one process.
    """
    auth.require_options(conf)
    build.check_storage(conf)
    messaging.check(conf)
    policies.load(conf, known)
    TrustedProxies("[api_proxy] trusted_proxies", conf.api_proxy.trusted_proxies)
    upstreams = [build.upstream(conf, item) for item in endpoint_types]

    def make() -> list[Gateway]:
        opened, keys = build.open_database(conf), build.key_ring(conf)
        client = EngineWorkerClient(messaging.transport(conf))
        notifier = QueueNotifier(client.sync_request)
        notifier.start()
        allows = policies.load(conf, known).allows
        return [
            deploy.gateway(conf, item, upstream, opened, keys, notifier, allows)
            for item, upstream in zip(endpoint_types, upstreams, strict=True)
        ]

    return make

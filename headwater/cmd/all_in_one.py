# SPDX-License-Identifier: Apache-2.0
"""headwater-all-in-one: gateway, engine worker and API in one process, on SQLite, no broker."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys

from oslo_config import cfg

from headwater.api_proxy import deploy
from headwater.cmd import build, launch, listening, policies, rest_api
from headwater.common import auth
from headwater.common.states import PodService
from headwater.engine.notifier import DirectNotifier
from headwater.engine.presence import Presence
from headwater.engine.service import EngineWorkerService


def main() -> int:
    """Console script."""
    return launch.run(
        _serve,
        "Gateway, engine and API in one process: the embedded mode. The database is made at the "
        "first start.",
    )


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    auth.require_options(conf)
    build.check_access(conf)
    rest_api.check(conf)
    opened = build.database(conf, embedded=True)
    keys = build.key_ring(conf, embedded=True)
    worker = build.worker(conf, known, opened, keys)
    services = [PodService(name) for name in conf.pods.services]
    pod_workers = build.pod_workers(conf, opened, keys, services)

    def wake_service(service: PodService) -> None:
        if service in pod_workers:
            pod_workers[service].look()

    periodic = build.periodic_runner(
        conf, known, opened, keys, worker.wake, worker.owner, wake_service
    )
    notifier = DirectNotifier(worker.wake)
    rules = policies.load(conf, known)
    addresses = deploy.addresses(conf, list(known))
    gateways = [
        deploy.gateway(
            conf,
            item.endpoint_type,
            build.upstream(conf, item.endpoint_type),
            opened,
            keys,
            notifier,
            rules.allows,
        )
        for item in addresses
    ]
    presence = Presence(opened, worker.owner, "all-in-one")
    engine = EngineWorkerService(
        lambda: [worker, *pod_workers.values(), periodic, presence], conf.graceful_shutdown_timeout
    )
    gateway = listening.gateway_service(conf, addresses, lambda: gateways)
    api = listening.api_service(
        conf,
        lambda: rest_api.make(
            conf,
            known,
            rules,
            opened,
            keys,
            rest_api.Wakes(worker.look, wake_service),
            brokers=(),
        ),
    )
    launch.alone(conf, engine, gateway, api).wait()


if __name__ == "__main__":
    sys.exit(main())

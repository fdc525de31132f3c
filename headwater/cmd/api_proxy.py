# SPDX-License-Identifier: Apache-2.0
"""headwater-api-proxy: the gateway, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import os
import sys
from typing import Any

from oslo_config import cfg

from headwater.api_proxy import auth, deploy, server
from headwater.cmd import build, launch
from headwater.common import messaging
from headwater.engine.notifier import QueueNotifier
from headwater.engine.rpc import EngineWorkerClient


def main() -> int:
    """Console script."""
    return launch.run(_serve, "The gateway in front of the central cloud.")


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    auth.require_options(conf)
    # Fail here, once, and not in every worker.
    build.database(conf).dispose()
    build.key_ring(conf)
    listeners = deploy.listeners(conf, list(known))
    upstreams = [build.upstream(conf, item.endpoint_type) for item in listeners]

    def gateways() -> list[Any]:
        """Made after the fork: database and broker connections belong to one process."""
        opened, keys = build.open_database(conf), build.key_ring(conf)
        client = EngineWorkerClient(messaging.transport(conf))
        notifier = QueueNotifier(client.sync_request)
        return [
            deploy.gateway(conf, item.endpoint_type, upstream, opened, keys, notifier)
            for item, upstream in zip(listeners, upstreams, strict=True)
        ]

    sockets = [(item.endpoint_type.name, server.bind(item)) for item in listeners]
    workers = conf.api_workers if conf.api_workers is not None else os.cpu_count() or 1
    gateway = server.WsgiService(conf, sockets, gateways)
    launch.processes(conf, gateway, workers).wait()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""headwater-all-in-one: gateway and engine worker in one process, on SQLite, without a broker."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys

from oslo_config import cfg

from headwater.api_proxy import auth, deploy, server
from headwater.cmd import build, launch
from headwater.engine.notifier import DirectNotifier
from headwater.engine.service import EngineParts, EngineWorkerService


def main() -> int:
    """Console script."""
    return launch.run(
        _serve,
        "Gateway and engine in one process: the embedded mode. The database is made at the first "
        "start.",
    )


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    auth.require_options(conf)
    build.check_access(conf)
    opened = build.database(conf, embedded=True)
    keys = build.key_ring(conf, embedded=True)
    worker, periodic = build.engine(conf, known, opened, keys)
    notifier = DirectNotifier(worker.wake)
    listeners = deploy.listeners(conf, list(known))
    gateways = [
        deploy.gateway(
            conf,
            item.endpoint_type,
            build.upstream(conf, item.endpoint_type),
            opened,
            keys,
            notifier,
        )
        for item in listeners
    ]
    sockets = [(item.endpoint_type.name, server.bind(item)) for item in listeners]
    engine = EngineWorkerService(
        lambda: EngineParts(worker, periodic, None), conf.graceful_shutdown_timeout
    )
    launch.alone(conf, engine, server.WsgiService(conf, sockets, lambda: gateways)).wait()


if __name__ == "__main__":
    sys.exit(main())

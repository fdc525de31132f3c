# SPDX-License-Identifier: Apache-2.0
"""headwater-engine-worker: replays changes on subclouds, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import socket
import sys

from oslo_config import cfg

from headwater.cmd import build, launch
from headwater.common import messaging
from headwater.engine import rpc
from headwater.engine.fleet import Fleet
from headwater.engine.notifier import QueueNotifier
from headwater.engine.presence import Presence
from headwater.engine.service import EngineWorkerService, Part


def main() -> int:
    """Console script."""
    return launch.run(_serve, "Engine workers: bring recorded changes to every subcloud.")


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    build.check_access(conf)
    build.check_storage(conf)
    messaging.check(conf)

    def parts() -> list[Part]:
        """Made after the fork: database and broker connections belong to one process."""
        opened, keys = build.open_database(conf), build.key_ring(conf)
        transport = messaging.transport(conf)
        client = rpc.EngineWorkerClient(transport)
        others = QueueNotifier(lambda _: client.lanes_waiting())
        worker = build.worker(conf, known, opened, keys, lambda: others.notify("lanes"))
        server = rpc.server(transport, socket.gethostname(), worker, Fleet(opened, known.names))
        presence = Presence(opened, worker.owner, "engine-worker")
        return [worker, others, server, presence]

    engine = EngineWorkerService(parts, conf.graceful_shutdown_timeout)
    launch.processes(conf, engine, conf.workers).wait()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""headwater-engine-worker: replays changes on subclouds, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys

from oslo_config import cfg

from headwater.cmd import build, launch
from headwater.common import messaging
from headwater.engine import rpc
from headwater.engine.service import EngineParts, EngineWorkerService


def main() -> int:
    """Console script."""
    return launch.run(_serve, "Engine workers: bring recorded changes to every subcloud.")


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    # Fail here, once, and not in every worker.
    build.check_access(conf)
    build.database(conf).dispose()
    build.key_ring(conf)

    def make() -> EngineParts:
        """Made after the fork: database and broker connections belong to one process."""
        opened, keys = build.open_database(conf), build.key_ring(conf)
        worker, periodic = build.engine(conf, known, opened, keys)
        server = rpc.server(messaging.transport(conf), worker.owner, worker.wake)
        return EngineParts(worker, periodic, server)

    engine = EngineWorkerService(make, conf.graceful_shutdown_timeout)
    launch.processes(conf, engine, conf.workers).wait()


if __name__ == "__main__":
    sys.exit(main())

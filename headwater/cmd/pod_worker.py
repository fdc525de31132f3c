# SPDX-License-Identifier: Apache-2.0
"""headwater-pod-worker: runs tasks on pods, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import socket
import sys

from oslo_config import cfg

from headwater.cmd import build, launch
from headwater.common import messaging
from headwater.common.states import PodService
from headwater.engine import task_rpc
from headwater.engine.presence import Presence
from headwater.engine.service import EngineWorkerService, Part

_SERVICE = cfg.MultiOpt(
    "service",
    item_type=cfg.types.String(choices=[each.value for each in PodService]),
    help="A functional service to run, instead of those in [pods] services; may be given several "
    "times.",
)


def main() -> int:
    """Console script."""
    cfg.CONF.register_cli_opt(_SERVICE)
    return launch.run(
        _serve,
        "Pod workers: run tracked tasks on pod managers and BMCs. [pods] services says which "
        "functional services this host runs.",
    )


def _serve(conf: cfg.ConfigOpts) -> None:
    build.check_storage(conf)
    messaging.check(conf)
    services = [PodService(name) for name in conf.service or conf.pods.services]

    def parts() -> list[Part]:
        """Made after the fork: database and broker connections belong to one process."""
        opened, keys = build.open_database(conf), build.key_ring(conf)
        transport = messaging.transport(conf)
        made: list[Part] = []
        for service, worker in build.pod_workers(conf, opened, keys, services).items():
            listens = task_rpc.server(transport, socket.gethostname(), service, worker.look)
            presence = Presence(opened, worker.owner, f"pod-worker-{service}")
            made += [worker, listens, presence]
        return made

    engine = EngineWorkerService(parts, conf.graceful_shutdown_timeout)
    launch.processes(conf, engine, conf.workers).wait()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""headwater-engine: periodic work. Several may run, on several hosts; they share the work."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys
from collections.abc import Collection

from oslo_config import cfg

from headwater.cmd import build, launch
from headwater.common import messaging
from headwater.engine.notifier import QueueNotifier
from headwater.engine.presence import Presence
from headwater.engine.rpc import EngineWorkerClient
from headwater.engine.service import EngineService, Part
from headwater.engine.task_rpc import TaskClient
from headwater.engine.worker import owner_name


def main() -> int:
    """Console script."""
    return launch.run(
        _serve,
        "The engine: settles changes whose answer was lost, and forgets old jobs. Several may run "
        "at once, on several hosts; each piece of work is done by one of them.",
    )


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    build.check_access(conf)
    build.check_storage(conf)
    messaging.check(conf)

    def parts() -> list[Part]:
        """Made after the fork: database and broker connections belong to one process."""
        opened, keys = build.open_database(conf), build.key_ring(conf)
        transport = messaging.transport(conf)
        client = EngineWorkerClient(transport)
        notifier = QueueNotifier(client.sync_request)

        def wake(endpoint_types: Collection[str]) -> None:
            for name in endpoint_types:
                notifier.notify(name)

        owner = owner_name()
        services = QueueNotifier(TaskClient(transport).tasks_waiting)
        periodic = build.periodic_runner(conf, known, opened, keys, wake, owner, services.notify)
        return [notifier, services, periodic, Presence(opened, owner, "engine")]

    # One process does it all: the work waits for clouds and databases, and hosts share it.
    launch.processes(conf, EngineService(parts, conf.graceful_shutdown_timeout), 1).wait()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""headwater-api: the orchestrator's own REST API, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys

from oslo_config import cfg

from headwater.cmd import launch, listening, rest_api


def main() -> int:
    """Console script."""
    return launch.run(_serve, "The orchestrator's own REST API.")


def _serve(conf: cfg.ConfigOpts) -> None:
    make = rest_api.prepare(conf)
    api = listening.api_service(conf, make)
    launch.processes(conf, api, listening.workers(conf)).wait()


if __name__ == "__main__":
    sys.exit(main())

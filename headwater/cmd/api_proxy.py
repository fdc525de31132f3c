# SPDX-License-Identifier: Apache-2.0
"""headwater-api-proxy: the gateway, in as many processes as configured."""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - before anything that uses threads or sockets
# isort: on

import sys

from oslo_config import cfg

from headwater.api_proxy import deploy
from headwater.cmd import build, gateways, launch, listening


def main() -> int:
    """Console script."""
    return launch.run(_serve, "The gateway in front of the central cloud.")


def _serve(conf: cfg.ConfigOpts) -> None:
    known = build.registry(conf)
    addresses = deploy.addresses(conf, list(known))
    make = gateways.prepare(conf, known, [item.endpoint_type for item in addresses])
    gateway = listening.gateway_service(conf, addresses, make)
    launch.processes(conf, gateway, listening.workers(conf)).wait()


if __name__ == "__main__":
    sys.exit(main())

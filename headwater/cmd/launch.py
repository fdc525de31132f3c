# SPDX-License-Identifier: Apache-2.0
"""How services start: configuration, one line for what cannot work, a supervisor of processes."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_service import opts, service

from headwater.common import conf as configuration
from headwater.common.errors import HeadwaterError

LOG = logging.getLogger(__name__)


def run(serve: Callable[[cfg.ConfigOpts], None], description: str) -> int:
    """Load the configuration and serve; returns the exit code.

    What cannot work is one line on standard error that names option, value and reason.
    """
    name = Path(sys.argv[0]).name
    try:
        # The global object, because oslo.messaging registers some of its options with it only.
        conf = configuration.load(sys.argv[1:], description=description, conf=cfg.CONF)
        opts.register_service_opts(conf)
        files = ", ".join(conf.config_file or []) or "no configuration file"
        LOG.info("Starting %s (%s)", name, files)
        if conf.debug:
            conf.log_opt_values(log.getLogger(__name__), logging.DEBUG)
        serve(conf)
    except HeadwaterError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    return 0


def processes(conf: cfg.ConfigOpts, process: service.ServiceBase, workers: int) -> Any:
    """A supervisor of `workers` processes; 0 is this process alone, without a supervisor."""
    if workers == 0:
        return alone(conf, process)
    return service.launch(conf, process, workers=workers, restart_method="reload")


def alone(conf: cfg.ConfigOpts, *services: service.ServiceBase) -> Any:
    """All `services` in this process."""
    launcher = service.ServiceLauncher(conf)
    for each in services:
        launcher.launch_service(each)
    return launcher

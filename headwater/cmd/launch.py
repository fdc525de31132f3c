# SPDX-License-Identifier: Apache-2.0
"""How services start: configuration, one line for what cannot work, a supervisor of processes.

Exit codes: 0 after a stop in which everything under way was finished; 1 when a service could not
start, or when what was under way was cut off (graceful_shutdown_timeout, or a second SIGTERM or
SIGINT).
"""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from oslo_config import cfg
from oslo_log import log
from oslo_service import opts, service

from headwater.cmd.running import Alone
from headwater.cmd.supervisor import Supervisor
from headwater.common import conf as configuration
from headwater.common.errors import ConfigurationError, HeadwaterError

LOG = logging.getLogger(__name__)


class Launched(Protocol):
    """Services that run when they are waited for."""

    def wait(self) -> None:
        """Run until a signal ends it. A forced stop ends the whole process with exit code 1."""


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
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: Interrupted before it served.\n")
        return 1
    return 0


def processes(conf: cfg.ConfigOpts, process: service.ServiceBase, workers: int) -> Launched:
    """A supervisor of `workers` processes; 0 is this process alone, without a supervisor."""
    if workers == 0:
        return alone(conf, process)
    return Supervisor(conf, process, workers, lambda: _reread(conf))


def alone(conf: cfg.ConfigOpts, *services: service.ServiceBase) -> Launched:
    """All `services` in this process."""
    return Alone(conf, services)


def _reread(conf: cfg.ConfigOpts) -> None:
    """Read the configuration files again and set up logging anew, which reopens log files.

    Raises ConfigurationError for a file that cannot be read and for any value that is wrong.
    """
    if not conf.reload_config_files():
        raise ConfigurationError(
            "The configuration files cannot be read; the line above says why. Nothing changes."
        )
    _check_all(conf, "DEFAULT")
    configuration.start_logging(conf)


def _check_all(values: Mapping[str, Any], group: str) -> None:
    """Look at every value: oslo.config itself does so only when one is used."""
    for name in values:
        try:
            value = values[name]
        except (cfg.Error, ValueError) as error:
            raise ConfigurationError(f"[{group}] {name}: {error}") from error
        if isinstance(value, cfg.ConfigOpts.GroupAttr):
            _check_all(value, name)

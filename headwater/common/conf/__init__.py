# SPDX-License-Identifier: Apache-2.0
"""Configuration: every option with help for an operator and an embedded default that works.

Nothing is registered at import. `load` makes one ConfigOpts for a process; the composition root
hands it, or plain values taken from it, to what it builds.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_db import options as db_options
from oslo_log import log

from headwater.common.conf import (
    api,
    api_proxy,
    base,
    central,
    endpoints,
    engine,
    pods,
    secrets,
    subclouds,
)
from headwater.common.errors import ConfigurationError

_MODULES = (base, api, api_proxy, central, endpoints, engine, pods, secrets, subclouds)


def load(
    argv: Sequence[str],
    *,
    description: str,
    set_up_logging: bool = True,
    conf: cfg.ConfigOpts | None = None,
    program: str | None = None,
) -> cfg.ConfigOpts:
    """Parse command line and configuration files and return the options.

    Without `--config-file`, oslo.config's search path applies (such as
    /etc/headwater/headwater.conf); no file at all is fine: the defaults are the embedded mode.
    `conf` is filled where one is given. `program` also names a file on that path; the default is
    the name under which the process was started. Raises ConfigurationError in one line.
    """
    conf = conf or cfg.ConfigOpts()
    register(conf)
    log.register_options(conf)
    set_library_defaults()
    try:
        conf(list(argv), project="headwater", prog=program, description=description)
    except (cfg.Error, OSError) as error:
        raise ConfigurationError(f"Configuration: {error}".replace("\n", " ")) from error
    for group, options in list_opts():
        if group is None or group == "DEFAULT" or group in conf:
            check_values(conf, group, options)
    if set_up_logging:
        start_logging(conf)
    return conf


def start_logging(conf: cfg.ConfigOpts) -> None:
    """Log as configured; called again it reopens files and takes over what changed."""
    # Without oslo.log's own locks for eventlet: they are pipes that forked processes share, and one
    # that is killed while it logs would stop all others. They are meant for native threads, of
    # which there are none.
    log.setup(conf, "headwater", fix_eventlet=False)


def register(conf: cfg.ConfigOpts) -> None:
    """Register every static option of headwater and of the libraries that it configures."""
    for module in _MODULES:
        module.register(conf)
    # set_defaults also registers [database]; the path follows state_path.
    db_options.set_defaults(conf, connection="sqlite:///$state_path/headwater.db")


def check_values(conf: cfg.ConfigOpts, group: str | None, options: Sequence[Any]) -> None:
    """Raise ConfigurationError, naming option, value and reason, for a value that cannot be read.

    oslo.config itself looks at a value only when it is used.
    """
    scope = conf if group in (None, "DEFAULT") else conf[group]
    for option in options:
        try:
            getattr(scope, option.dest)
        except cfg.NoSuchOptError:
            continue  # of a login plugin that is not the configured one
        except (cfg.Error, ValueError) as error:
            raise ConfigurationError(f"[{group or 'DEFAULT'}] {option.name}: {error}") from error


def list_opts() -> Iterable[tuple[str | None, Sequence[Any]]]:
    """All options by group, for oslo-config-generator (namespace `headwater`)."""
    for module in _MODULES:
        yield from module.list_opts()


def set_library_defaults() -> None:
    """Defaults of other libraries that differ here; also used by oslo-config-generator."""
    log.set_defaults(
        default_log_levels=[
            *log.get_default_log_levels(),
            # They report every exchange at INFO or DEBUG with headers and bodies.
            "keystoneauth=WARNING",
            "keystonemiddleware=WARNING",
            # It logs bodies and errors as they are, with signed addresses in them; all that it has
            # to say is raised, and told without them.
            "sushy=CRITICAL",
            "alembic=WARNING",
        ]
    )


def state_path(conf: cfg.ConfigOpts) -> Path:
    """The directory of the embedded mode's own files; it is made when it is missing."""
    path = Path(conf.state_path).expanduser()
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"[DEFAULT] state_path = {path}: cannot be made: {error.strerror}."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"[DEFAULT] state_path = {path}: is not writable.")
    return path

# SPDX-License-Identifier: Apache-2.0
"""The configuration of a WSGI callable, which has no command line of its own."""

import os
from collections.abc import Callable, Mapping

from oslo_config import cfg

from headwater.common import conf as configuration
from headwater.common.auth import WsgiApp
from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import Registry
from headwater.common.errors import ConfigurationError, HeadwaterError

CONFIG_FILES = "HEADWATER_CONFIG_FILES"
ENDPOINT_TYPE = "HEADWATER_ENDPOINT_TYPE"


def load(program: str, environ: Mapping[str, str] = os.environ) -> cfg.ConfigOpts:
    """The options that the service `program` would have. Raises ConfigurationError."""
    arguments = []
    for file in environ.get(CONFIG_FILES, "").split(os.pathsep):
        if file:
            arguments += ["--config-file", file]
    # The global object, because oslo.messaging registers some of its options with it only.
    try:
        return configuration.load(arguments, description=program, conf=cfg.CONF, program=program)
    except cfg.ArgsAlreadyParsedError as error:
        raise ConfigurationError(
            f"{program}: this process has another configuration already; run each WSGI callable "
            "in a server of its own."
        ) from error


def chosen_type(known: Registry, environ: Mapping[str, str] = os.environ) -> EndpointType:
    """The one endpoint type that is served; raises ConfigurationError where that is not clear."""
    name = environ.get(ENDPOINT_TYPE)
    enabled = ", ".join(sorted(known.names))
    if not name:
        if len(known.names) > 1:
            raise ConfigurationError(
                f"{ENDPOINT_TYPE}: is not set; one server serves one endpoint type. Enabled are: "
                f"{enabled}."
            )
        (name,) = known.names
    if name not in known.names:
        raise ConfigurationError(
            f"{ENDPOINT_TYPE} = {name}: is not an enabled endpoint type. Enabled are: {enabled}."
        )
    return known.endpoint_type(name)


def checked(make: Callable[[], WsgiApp]) -> WsgiApp:
    """What `make` returns. Raises ConfigurationError for whatever kept it from that.

    Servers print the whole chain of causes of a failed import; the line that an operator needs
    would be somewhere within it.
    """
    try:
        return make()
    except HeadwaterError as error:
        line = str(error)
    raise ConfigurationError(line)

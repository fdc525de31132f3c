# SPDX-License-Identifier: Apache-2.0
"""The gateway of one endpoint type: `headwater.wsgi.api_proxy:application`.

`headwater.wsgi` says how it is configured. Where it listens is the server's business: `[api_proxy]`
and `[endpoint_type:...]` options about listening and client connections do not apply.
"""

# isort: off
import headwater.wsgi.threads_first  # noqa: F401 - before oslo.messaging is imported
# isort: on

import logging

from headwater.cmd import build, gateways
from headwater.wsgi import configuration
from headwater.wsgi.process import PerProcess

LOG = logging.getLogger(__name__)


def _gateway() -> PerProcess:
    conf = configuration.load("headwater-api-proxy")
    known = build.registry(conf)
    endpoint_type = configuration.chosen_type(known)
    make = gateways.prepare(conf, known, [endpoint_type])
    LOG.info("The gateway for %s is ready to be served", endpoint_type.name)
    return PerProcess(lambda: make()[0])


application = configuration.checked(_gateway)

# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's own REST API: `headwater.wsgi.api:application`.

`headwater.wsgi` says how it is configured. Where it listens is the server's business: `[api]` does
not apply.
"""

# isort: off
import headwater.wsgi.threads_first  # noqa: F401 - before oslo.messaging is imported
# isort: on

import logging

from headwater.cmd import rest_api
from headwater.wsgi import configuration
from headwater.wsgi.process import PerProcess

LOG = logging.getLogger(__name__)


def _api() -> PerProcess:
    make = rest_api.prepare(configuration.load("headwater-api"))
    LOG.info("The API is ready to be served")
    return PerProcess(make)


application = configuration.checked(_api)

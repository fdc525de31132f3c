# SPDX-License-Identifier: Apache-2.0
"""Imported before anything else by the services: makes threads green and picks oslo's backend.

`monkey_patch()` is called bare: naming one module, such as psycopg, would leave the others out.
"""

import warnings

# That eventlet is in maintenance is known, and said in the docs with the way out; operators cannot
# do anything about it.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

import eventlet  # noqa: E402 - warns while it is imported

eventlet.monkey_patch()

from oslo_service import backend  # noqa: E402 - it must see the patched modules

backend.init_backend(backend.BackendType.EVENTLET)

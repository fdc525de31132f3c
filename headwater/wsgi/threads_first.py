# SPDX-License-Identifier: Apache-2.0
"""Imported before anything else by the WSGI modules: picks oslo's backend of ordinary threads.

oslo.messaging imports oslo.service, which would otherwise settle on eventlet. That eventlet itself
is imported, by oslo.utils, changes nothing: nobody patches anything.
"""

import warnings

# Operators cannot do anything about what oslo's libraries import.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

from oslo_service import backend  # noqa: E402 - imports eventlet, which warns

backend.init_backend(backend.BackendType.THREADING)

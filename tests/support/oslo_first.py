# SPDX-License-Identifier: Apache-2.0
"""Imported before oslo.messaging: it and oslo.service warn about themselves while they load.

Warnings are errors in tests. These say that eventlet is in maintenance, which docs/decisions.md
answers; a test cannot do anything about them.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    # eventlet's own kind of warning is not a DeprecationWarning.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import oslo_messaging  # noqa: F401 - for its side effect of being loaded

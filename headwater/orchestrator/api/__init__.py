# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's own REST API. Only this package knows Pecan."""

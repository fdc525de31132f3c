# SPDX-License-Identifier: Apache-2.0
"""Version 1 of the API: one module per noun, each with its routes."""

from headwater.orchestrator.api.v1 import drift, installation, jobs, lanes, subclouds

#: All routes, in the order in which documents show them.
ROUTES = (
    *subclouds.ROUTES,
    *lanes.ROUTES,
    *drift.ROUTES,
    *jobs.ROUTES,
    *installation.ROUTES,
)

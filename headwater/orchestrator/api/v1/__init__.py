# SPDX-License-Identifier: Apache-2.0
"""Version 1 of the API: one module per noun, each with its routes."""

from headwater.orchestrator.api.v1 import (
    batches,
    components,
    drift,
    flavors,
    installation,
    jobs,
    lanes,
    machines,
    nodes,
    pod_events,
    pods,
    subclouds,
    tasks,
    telemetry,
)

#: All routes, in the order in which documents show them.
ROUTES = (
    *subclouds.ROUTES,
    *lanes.ROUTES,
    *drift.ROUTES,
    *jobs.ROUTES,
    *pods.ROUTES,
    *machines.ROUTES,
    *components.ROUTES,
    *flavors.ROUTES,
    *nodes.ROUTES,
    *tasks.ROUTES,
    *batches.ROUTES,
    *telemetry.ROUTES,
    *pod_events.ROUTES,
    *installation.ROUTES,
)

# SPDX-License-Identifier: Apache-2.0
"""The default rules of the API: today's OpenStack roles, and what each may do here."""

from collections.abc import Iterable

from headwater.common.policy import Rule
from headwater.orchestrator.api.route import Route

ADMIN = "rule:admin_required"
FLEET_READER = "rule:fleet_reader"
READER = "role:reader or rule:admin_required"
JOB_READER = "rule:job_reader"
JOB_MEMBER = "rule:job_member"

_BASE: tuple[Rule, ...] = (
    ("admin_required", "role:admin", "Whoever runs the clouds.", ()),
    (
        "fleet_reader",
        "rule:admin_required or (role:reader and system_scope:all)",
        "Sees all subclouds and all jobs. The addresses of clouds and the names in other projects "
        "are not for a reader of any project.",
        (),
    ),
    (
        "job_reader",
        "rule:fleet_reader or (role:reader and project_id:%(project_id)s) or user_id:%(user_id)s",
        "Sees a job: who made the change, and the project that it was made in.",
        (),
    ),
    (
        "job_member",
        "rule:admin_required or (role:member and project_id:%(project_id)s)",
        "May try a job's failed requests again.",
        (),
    ),
    (
        "headwater:jobs:list_all",
        FLEET_READER,
        "List the jobs of all projects and not only of the own one.",
        (("GET", "/v1/jobs"),),
    ),
)


def rules(routes: Iterable[Route]) -> list[Rule]:
    """All rules of the API."""
    return [*_BASE, *(route.as_rule() for route in routes)]

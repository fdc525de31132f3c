# SPDX-License-Identifier: Apache-2.0
"""Every route and every role: who may do what, by default and as an operator says."""

import re
from collections.abc import Mapping

import sqlalchemy as sa

from headwater.cmd import policies
from headwater.db import jobs
from headwater.db.models import orch_job
from headwater.orchestrator.api.route import Route
from headwater.orchestrator.api.v1 import ROUTES
from tests.support import builders
from tests.support.api import ADMIN, ApiTestCase

OWN, OTHER = "own-project", "other-project"


def caller(roles: str, project: str = OTHER, **headers: str) -> dict[str, str]:
    found = {"X-User-Id": f"{project}-user", "X-Roles": roles, "X-Project-Id": project}
    return {**found, **headers}


#: The job of the tests was made in the project OWN by its user.
CALLERS: Mapping[str, Mapping[str, str]] = {
    "no role": caller(""),
    "reader": caller("reader"),
    "member": caller("member,reader"),
    "service": caller("service"),
    "own reader": caller("reader", OWN),
    "own member": caller("member,reader", OWN),
    "system reader": {
        "X-User-Id": "auditor",
        "X-Roles": "reader",
        "Openstack-System-Scope": "all",
    },
    "admin": ADMIN,
}

FLEET = {"system reader", "admin"}
READERS = {"reader", "member", "own reader", "own member", "system reader", "admin"}
JOB = {"own reader", "own member", "system reader", "admin"}

#: Who passes; whoever is not named is refused.
TABLE = {
    "headwater:subclouds:list": FLEET,
    "headwater:subclouds:add": {"admin"},
    "headwater:subclouds:show": FLEET,
    "headwater:subclouds:update": {"admin"},
    "headwater:subclouds:delete": {"admin"},
    "headwater:subclouds:manage": {"admin"},
    "headwater:subclouds:unmanage": {"admin"},
    "headwater:subclouds:sync": {"admin"},
    "headwater:subclouds:audit": {"admin"},
    "headwater:subclouds:lanes": FLEET,
    "headwater:unmanaged_resources:list": FLEET,
    "headwater:unmanaged_resources:add": {"admin"},
    "headwater:unmanaged_resources:remove": {"admin"},
    "headwater:lanes:list": FLEET,
    "headwater:drift:list": FLEET,
    "headwater:drift:list_of_subcloud": FLEET,
    "headwater:drift:forget": {"admin"},
    "headwater:jobs:list": READERS,
    "headwater:jobs:show": JOB,
    "headwater:jobs:requests": JOB,
    "headwater:jobs:events": JOB,
    "headwater:jobs:retry": {"own member", "admin"},
    "headwater:jobs:cancel": {"admin"},
    "headwater:pods:list": FLEET,
    "headwater:pods:add": {"admin"},
    "headwater:pods:show": FLEET,
    "headwater:pods:update": {"admin"},
    "headwater:pods:delete": {"admin"},
    "headwater:pods:sync": {"admin"},
    "headwater:machines:list": FLEET,
    "headwater:machines:show": FLEET,
    "headwater:machines:power": {"admin"},
    "headwater:components:list": FLEET,
    "headwater:components:show": FLEET,
    "headwater:flavors:list": FLEET,
    "headwater:flavors:add": {"admin"},
    "headwater:flavors:show": FLEET,
    "headwater:flavors:delete": {"admin"},
    "headwater:batches:add": {"admin"},
    "headwater:batches:show": FLEET,
    "headwater:nodes:list": FLEET,
    "headwater:nodes:compose": {"admin"},
    "headwater:nodes:show": FLEET,
    "headwater:nodes:power": {"admin"},
    "headwater:nodes:boot": {"admin"},
    "headwater:nodes:media": {"admin"},
    "headwater:nodes:boot_image": {"admin"},
    "headwater:nodes:release": {"admin"},
    "headwater:nodes:forget": {"admin"},
    "headwater:nodes:bios": {"admin"},
    "headwater:nodes:show_bios": FLEET,
    "headwater:nodes:firmware": {"admin"},
    "headwater:nodes:show_firmware": FLEET,
    "headwater:nodes:add_volume": {"admin"},
    "headwater:nodes:delete_volume": {"admin"},
    "headwater:nodes:attach": {"admin"},
    "headwater:nodes:detach": {"admin"},
    "headwater:tasks:list": FLEET,
    "headwater:tasks:show": JOB,
    "headwater:tasks:events": JOB,
    "headwater:tasks:cancel": {"admin"},
    "headwater:telemetry_policies:list": FLEET,
    "headwater:telemetry_policies:add": {"admin"},
    "headwater:telemetry_policies:show": FLEET,
    "headwater:telemetry_policies:update": {"admin"},
    "headwater:telemetry_policies:delete": {"admin"},
    "headwater:machines:metrics": FLEET,
    "headwater:metrics:show": FLEET,
    "headwater:pod_events:list": FLEET,
    "headwater:endpoint_types:list": READERS,
    "headwater:services:list": FLEET,
    "headwater:summary:show": FLEET,
}


class RouteRoleTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database, "one", managed=False)
        self.job = builders.accepted_job(self.database)
        with self.database.write() as connection:
            connection.execute(
                sa.update(orch_job).values(project_id=OWN, user_id="somebody", request_id="req-x")
            )
        found = jobs.get(self.database, self.job.uuid).job
        self.known = self.known_paths(found)

    def path(self, route: Route) -> str:
        return route.path.format(**self.known(route.path)) + self.impatient(route)

    def passes(self, route: Route, who: Mapping[str, str]) -> bool:
        """Whether the policy lets a call through, whatever becomes of it then."""
        # Refused by its schema behind the policy, so that nothing is changed.
        body = {"unknown": 1} if route.body is not None else None
        answer = self.ask(self.path(route), route.method, body, caller=who)
        if answer.status_int == 403:
            self.assertIn(route.rule, self.refused(answer)["detail"])
        else:
            self.assertIn(answer.status_int, (200, 202, 204, 400, 409), answer.text)
        return answer.status_int != 403

    def test_every_route_has_its_line_in_the_table(self) -> None:
        self.assertEqual(len(ROUTES), len({route.rule for route in ROUTES}))
        self.assertEqual(set(TABLE), {route.rule for route in ROUTES})

    def test_every_role_passes_as_the_table_says(self) -> None:
        for route in ROUTES:
            if route.method == "DELETE" or route.by_target:
                continue
            for name, who in CALLERS.items():
                with self.subTest(f"{route.rule}, {name}"):
                    self.assertIs(name in TABLE[route.rule], self.passes(route, who))

    def test_deletes_and_what_asks_for_the_job_pass_as_the_table_says(self) -> None:
        # Deletes last: they take with them what others ask for.
        for route in sorted(ROUTES, key=lambda each: each.method == "DELETE"):
            if route.method != "DELETE" and not route.by_target:
                continue
            for name, who in CALLERS.items():
                with self.subTest(f"{route.rule}, {name}"):
                    body = {} if route.body is not None else None
                    answer = self.ask(self.path(route), route.method, body, caller=who)
                    allowed = name in TABLE[route.rule]
                    self.assertIs(allowed, answer.status_int != 403, answer.status_int)
                    self.assertIn(answer.status_int, (200, 202, 204, 409) if allowed else (403,))
                    if route.rule == "headwater:subclouds:delete" and allowed:
                        builders.add_subcloud(self.database, "one", managed=False)

    def test_nobody_passes_without_a_token(self) -> None:
        for route in ROUTES:
            with self.subTest(route.rule):
                answer = self.ask(self.path(route), route.method)
                self.assertEqual(401, self.refused(answer)["status"])

    def test_the_own_change_is_seen_without_any_role(self) -> None:
        who = {"X-User-Id": "somebody", "X-Roles": "", "X-Project-Id": OTHER}
        self.assertEqual(200, self.ask(f"/v1/jobs/{self.job.uuid}", caller=who).status_int)

    def test_a_list_shows_the_own_projects_jobs_to_those_who_may_not_see_all(self) -> None:
        for name, number in (("reader", 0), ("own reader", 1), ("system reader", 1), ("admin", 1)):
            for query in ("", f"?project_id={OWN}"):
                with self.subTest(name + query):
                    answer = self.ask(f"/v1/jobs{query}", caller=CALLERS[name])
                    self.assertEqual(number, len(answer.json["jobs"]))
        without_project = {**CALLERS["reader"], "X-Project-Id": ""}
        self.assertEqual([], self.ask("/v1/jobs", caller=without_project).json["jobs"])

    def test_whoever_may_not_ask_learns_nothing_of_what_there_is(self) -> None:
        there, away = (
            self.ask(f"/v1/subclouds/{name}", caller=CALLERS["member"]) for name in ("one", "two")
        )
        self.assertEqual((403, 403), (there.status_int, away.status_int))


class OwnRulesTest(ApiTestCase):
    policy = '"headwater:summary:show": "role:member"\n"fleet_reader": "role:auditor"\n'

    def test_an_operators_policy_file_counts(self) -> None:
        for path, roles, status in (
            ("/v1/summary", "member", 200),
            ("/v1/summary", "admin", 403),
            ("/v1/subclouds", "auditor", 200),
            ("/v1/subclouds", "admin", 403),
        ):
            with self.subTest(path + roles):
                self.assertEqual(status, self.ask(path, caller=caller(roles)).status_int)


class DocumentedRulesTest(ApiTestCase):
    def test_every_rule_tells_what_it_is_for_and_where(self) -> None:
        for rule in policies.list_rules():
            with self.subTest(rule.name):
                self.assertGreater(len(rule.description), 10)
                base = re.fullmatch(r"\w+", rule.name)
                self.assertTrue(base or rule.operations, rule.name)

    def test_every_change_through_the_gateway_has_a_rule_that_lets_all_pass(self) -> None:
        gateway = {rule.name: rule.check_str for rule in policies.list_rules()}
        for resource in self.registry.endpoint_type("identity").resources.values():
            for call in resource.calls:
                name = f"gateway:identity:{resource.name}:{call.operation.value}"
                self.assertEqual("", gateway[name])

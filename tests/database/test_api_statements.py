# SPDX-License-Identifier: Apache-2.0
"""How much a call costs the database does not depend on how much there is."""

from collections.abc import Callable

from headwater.common.states import Management
from headwater.db import subclouds
from headwater.orchestrator.api import schemas
from headwater.orchestrator.api.v1 import ROUTES
from tests.support import builders, databases, pod_builders, telemetry_builders
from tests.support.api import ADMIN, ApiTestCase


@databases.on_every_backend
class StatementsTest(ApiTestCase):
    def count(self, known: Callable[[str], dict[str, str]]) -> dict[str, int]:
        """How many statements each call that only reads sends."""
        counts = {}
        for route in ROUTES:
            if route.method != "GET" or route.streams:
                continue
            if route.query.keys() & schemas.PATIENCE.keys() and 202 in route.answers:
                # Asks a pod, not the database.
                continue
            path = route.path.format(**known(route.path))
            with self.statements() as sent:
                answer = self.ask(path, caller=ADMIN)
            self.assertEqual(200, answer.status_int, answer.text)
            counts[path] = len(sent)
        return counts

    def test_every_list_sends_the_same_statements_for_little_and_for_much(self) -> None:
        builders.add_subcloud(self.database, "one")
        known = self.known_paths(builders.accepted_job(self.database, natural_key={"name": "a"}))
        few = self.count(known)
        for number in range(40):
            builders.add_subcloud(self.database, f"other{number}", managed=False)
            subclouds.update(self.database, f"other{number}", {}, labels={"number": str(number)})
            subclouds.set_management(self.database, f"other{number}", Management.MANAGED)
        for number in range(30):
            builders.accepted_job(self.database, master_id=f"u{number}")
            pod = pod_builders.add_pod(self.database, f"pod{number}")
            pod_builders.add_machine(self.database, pod)
            telemetry_builders.add_policy(self.database, f"policy{number}")
            telemetry_builders.poll(self.database, pod)
            pod_builders.add_task(self.database, pod)
            pod_builders.add_node(self.database, f"node{number}")
        many = self.count(known)
        self.assertEqual(few, many)
        # SQLite's BEGINs count.
        self.assertLessEqual(max(many.values()), 10, many)

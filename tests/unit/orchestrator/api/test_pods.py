# SPDX-License-Identifier: Apache-2.0
"""What the API refuses of pods and nodes before anything is ordered."""

from typing import Any

from headwater.common.states import ComponentKind
from headwater.db import inventory, nodes, tasks
from headwater.db.pod_records import Requirements
from tests.support import pod_builders
from tests.support.api import ApiTestCase


class NamesTest(ApiTestCase):
    def add(self, name: str, *addresses: str) -> Any:
        pod = {"name": name, "driver": "fake", "addresses": addresses, "password": "pw"}
        return self.call("POST", "/v1/pods", {"pod": pod})

    def test_a_name_that_a_path_cannot_hold_is_refused(self) -> None:
        for name in (".", "..", "a/b", "a\n"):
            with self.subTest(name):
                self.assertEqual(400, self.add(name, "http://a").status_int)
        self.assertEqual(201, self.add("...", "http://a").status_int)


class DetachTest(ApiTestCase):
    def test_processors_and_memory_of_a_node_are_not_detached(self) -> None:
        pod = pod_builders.add_pod(self.database, "podm", driver="redfish")
        blocks = [
            pod_builders.block("compute", cpus=8, memory_mib=16384),
            pod_builders.block("drives", size_gib=100),
        ]
        inventory.store(self.database, pod.id, [], [], blocks)
        node = pod_builders.add_node(self.database, "n1", Requirements(cpus=1, storage_gib=1))
        nodes.end_compose(self.database, node, pod_builders.seen("http://pod/Systems/1"))
        listed = inventory.list_components(self.database, limit=9, kind=ComponentKind.BLOCK)
        found = {each.name: each.uuid for each in listed}
        refused = self.call("POST", "/v1/nodes/n1/detach", {"block": found["compute"]})
        self.assertEqual(409, refused.status_int, refused.text)
        self.assertIn("processors or memory", refused.text)
        taken = self.call("POST", "/v1/nodes/n1/detach", {"block": found["drives"]})
        self.assertEqual(202, taken.status_int, taken.text)
        actions = [each.action for each in tasks.list_page(self.database, limit=9)]
        self.assertEqual(1, actions.count("detach-node"))

# SPDX-License-Identifier: Apache-2.0
"""Gateway and engine worker as processes of their own, on PostgreSQL and RabbitMQ."""

from typing import ClassVar

from tests.functional.system import Process, SystemTest
from tests.support import brokers
from tests.support.databases import Postgresql


class GatewayAndWorkerApart(SystemTest):
    """The same job, with a broker between its two halves."""

    regions: ClassVar = ("subcloud1",)
    program: ClassVar = "headwater-api-proxy"
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))

    @classmethod
    def setUpClass(cls) -> None:
        server = Postgresql()
        server.require()
        cls.options = {
            "DEFAULT": {"transport_url": brokers.fresh_transport(cls), "api_workers": 2},
            "database": {"connection": server.fresh(cls.addClassCleanup, migrated=False)},
            # As far apart as allowed: what arrives sooner was announced by a message.
            "engine": {"poll_interval": 60},
        }
        super().setUpClass()

    def test_a_change_is_announced_replayed_and_both_end_cleanly(self) -> None:
        worker = Process(
            "headwater-engine-worker", self.system.config, self.system.directory / "worker.log"
        )
        self.addCleanup(worker.stop)
        worker.wait_for("Worker .* starts")
        name = self.unique("group")
        body = {"group": {"name": name, "domain_id": "default"}}
        self.system.change("POST", "/v3/groups", body)
        self.one(self.system.subclouds["subcloud1"], "group", name=name)
        self.assertEqual(worker.stop(), 0, worker.log())
        self.assertEqual(self.system.process.stop(), 0, self.system.process.log())

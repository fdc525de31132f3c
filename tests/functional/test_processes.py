# SPDX-License-Identifier: Apache-2.0
"""Gateway, engine and engine worker as processes of their own, on a server and RabbitMQ."""

from typing import ClassVar

from tests.functional.system import Process, SystemTest
from tests.support import brokers, databases


@databases.on_servers
class GatewayAndWorkerApart(SystemTest):
    """The same job, with a broker between its halves."""

    regions: ClassVar = ("subcloud1",)
    program: ClassVar = "headwater-api-proxy"
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))

    @classmethod
    def setUpClass(cls) -> None:
        cls.backend.require()
        cls.options = {
            "DEFAULT": {
                "transport_url": brokers.fresh_transport(cls),
                "api_workers": 2,
                "workers": 2,
            },
            # As far apart as allowed: what arrives sooner was announced by a message.
            "engine": {"poll_interval": 60},
        }
        super().setUpClass()

    def start(self, program: str) -> Process:
        process = Process(program, self.system.config, self.system.directory / f"{program}.log")
        self.addCleanup(process.stop)
        return process

    def test_a_change_is_announced_replayed_and_all_end_cleanly(self) -> None:
        worker, engine = self.start("headwater-engine-worker"), self.start("headwater-engine")
        worker.wait_for("Listening for calls")
        engine.wait_for(r"Worker process \d+ is ready")
        name = self.unique("group")
        body = {"group": {"name": name, "domain_id": "default"}}
        self.system.change("POST", "/v3/groups", body)
        self.one(self.system.subclouds["subcloud1"], "group", name=name)
        for process in (worker, engine, self.system.process):
            self.assertEqual(process.stop(), 0, process.log())

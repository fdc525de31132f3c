# SPDX-License-Identifier: Apache-2.0
"""Calls to several engine worker processes over a real broker, on PostgreSQL."""

# isort: off
import tests.support.oslo_first  # noqa: F401
# isort: on

import pathlib
import tempfile
from typing import ClassVar

from oslo_config import cfg

from headwater.common import conf as configuration
from headwater.common import messaging
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Management
from headwater.db.records import NewSubcloud
from headwater.engine.rpc import EngineWorkerClient
from tests.functional.system import Process, SystemTest
from tests.support import brokers, builders
from tests.support.databases import POSTGRESQL
from tests.support.waiting import eventually


class CallsToWorkers(SystemTest):
    """What a queue in front of the workers is for."""

    regions: ClassVar = ("subcloud1", "subcloud2")
    program: ClassVar = "headwater-api-proxy"
    prepare: ClassVar = (("secrets", "create"),)
    backend: ClassVar = POSTGRESQL
    client: ClassVar[EngineWorkerClient]

    @classmethod
    def setUpClass(cls) -> None:
        transport_url = brokers.fresh_transport(cls)
        cls.options = {
            "DEFAULT": {"transport_url": transport_url, "api_workers": 1, "workers": 2},
            # One lane per worker and no poll: what two lanes need comes from calls and wake-ups.
            "engine": {"poll_interval": 60, "green_threads": 1, "lease": 15},
        }
        super().setUpClass()
        cls.worker = Process(
            "headwater-engine-worker", cls.system.config, cls.system.directory / "worker.log"
        )
        cls.addClassCleanup(cls.worker.stop)
        eventually(lambda: cls.worker.log().count("Listening for calls") == 2, "both workers")
        cls.client = cls.connect(transport_url)

    @classmethod
    def connect(cls, transport_url: str) -> EngineWorkerClient:
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        file = directory / "headwater.conf"
        file.write_text(f"[DEFAULT]\ntransport_url = {transport_url}\n")
        cls.addClassCleanup(cfg.CONF.reset)
        configuration.load(
            ["--config-file", str(file)], description="", conf=cfg.CONF, set_up_logging=False
        )
        transport = messaging.transport(cfg.CONF)
        cls.addClassCleanup(transport.cleanup)
        return EngineWorkerClient(transport)

    def new(self, name: str) -> NewSubcloud:
        cloud = self.system.subclouds["subcloud1"]
        credentials = self.system.key_ring.encrypt({"password": cloud.admin_password})
        return builders.new_subcloud(
            name, auth_url=cloud.auth_url, username="admin", credentials=credentials
        )

    def test_a_subcloud_is_added_changed_and_deleted_and_errors_come_back(self) -> None:
        name = self.unique("edge")
        added = self.client.add_subcloud(self.new(name))
        self.assertEqual(("unmanaged", None), (added["management_state"], added["description"]))
        self.assertNotIn("credentials", added)
        with self.assertRaisesRegex(Conflict, name):
            self.client.add_subcloud(self.new(name))
        changed = self.client.update_subcloud(name, {"description": "north"})
        self.assertEqual("north", changed["description"])
        self.client.update_subcloud_states(name, Management.MANAGED)
        with self.assertRaises(Conflict):
            self.client.delete_subcloud(name)
        self.client.update_subcloud_states(name, Management.UNMANAGED)
        self.client.delete_subcloud(name)
        with self.assertRaisesRegex(NotFound, name):
            self.client.sync_subclouds([name])

    def test_a_change_for_more_lanes_than_a_worker_takes_reaches_them_all_at_once(self) -> None:
        # Two workers with a green thread each; nobody polls.
        name = self.unique("group")
        body = {"group": {"name": name, "domain_id": "default"}}
        self.system.change("POST", "/v3/groups", body)
        for cloud in self.system.subclouds.values():
            self.one(cloud, "group", name=name)
        self.assertEqual(0, self.client.sync_subclouds(self.regions), "nothing waits")

# SPDX-License-Identifier: Apache-2.0
"""Calls between processes, over the messaging library's own in-memory transport."""

# isort: off
import tests.support.oslo_first  # noqa: F401
# isort: on

import pathlib
import tempfile
from collections.abc import Collection

from oslo_config import cfg

from headwater.common import conf as configuration
from headwater.common import messaging
from headwater.common.errors import Conflict, InvalidInput, NotFound
from headwater.common.states import AuditStatus, Availability, InitialSync, Management, SyncRequest
from headwater.db import audits, subclouds
from headwater.engine import rpc
from headwater.engine.fleet import Fleet
from headwater.engine.rpc import EngineWorkerClient
from tests.support import builders, databases
from tests.support.waiting import PATIENCE, eventually


class Worker:
    """Notes how it was woken."""

    def __init__(self) -> None:
        self.woken: list[Collection[str]] = []
        self.looks = 0

    def wake(self, endpoint_types: Collection[str]) -> None:
        self.woken.append(list(endpoint_types))

    def look(self) -> None:
        self.looks += 1


class RpcTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        # The library registers some of its options with the global object only.
        self.addCleanup(cfg.CONF.reset)
        directory = self.enterContext(tempfile.TemporaryDirectory())
        file = pathlib.Path(directory, "headwater.conf")
        file.write_text("[DEFAULT]\ntransport_url = fake://\n")
        configuration.load(
            ["--config-file", str(file)], description="", conf=cfg.CONF, set_up_logging=False
        )
        transport = messaging.transport(cfg.CONF)
        self.addCleanup(transport.cleanup)
        self.workers = [Worker(), Worker()]
        for number, worker in enumerate(self.workers):
            # The in-memory transport tells servers of one name apart by nothing else.
            fleet = Fleet(self.database, ["identity"])
            server = rpc.server(transport, f"host{number}", worker, fleet)
            server.start()
            self.addCleanup(server.stop, PATIENCE)
            eventually(server.listening, "a server that listens")
        self.client = EngineWorkerClient(transport)

    def woken(self) -> list[Collection[str]]:
        return [types for worker in self.workers for types in worker.woken]

    def test_a_change_wakes_one_worker(self) -> None:
        self.client.sync_request("identity")
        eventually(self.woken, "the wake-up")
        self.assertEqual([["identity"]], self.woken())

    def test_waiting_lanes_are_told_to_all_workers(self) -> None:
        self.client.lanes_waiting()
        eventually(lambda: all(worker.looks for worker in self.workers), "both workers")

    def test_a_subcloud_is_added_changed_managed_and_deleted(self) -> None:
        added = self.client.add_subcloud(builders.new_subcloud("one"))
        self.assertEqual(("one", "unmanaged"), (added["name"], added["management_state"]))
        self.assertNotIn(builders.CIPHER, str(added))
        changed = self.client.update_subcloud("one", {"description": "north"})
        self.assertEqual("north", changed["description"])
        changed = self.client.update_subcloud_states("one", Management.MANAGED, Availability.ONLINE)
        self.assertEqual(
            ("managed", "online"), (changed["management_state"], changed["availability_status"])
        )
        self.client.update_subcloud_states("one", Management.UNMANAGED)
        self.client.delete_subcloud("one")
        with self.assertRaises(NotFound):
            subclouds.get(self.database, "one")

    def test_a_managed_subcloud_is_synced_at_once(self) -> None:
        subcloud = builders.add_subcloud(self.database)
        builders.accepted_job(self.database)
        self.assertEqual(1, self.client.sync_subclouds(["one"]))
        lane = builders.lane_of(self.database, subcloud)
        self.assertIs(SyncRequest.REQUESTED, lane.sync_request)
        self.assertEqual(1, sum(worker.looks for worker in self.workers))
        self.assertEqual(0, self.client.sync_subclouds(["one"], ["compute"]))

    def test_a_managed_subcloud_is_audited_and_aligned_at_once(self) -> None:
        subcloud = builders.add_subcloud(self.database)
        lane = builders.lane_of(self.database, subcloud)
        self.assertEqual(1, self.client.run_sync_audit(["one"]))
        audit = audits.of_lanes(self.database, [lane.id])[lane.id]
        self.assertEqual(
            (AuditStatus.REQUESTED, InitialSync.NONE), (audit.status, audit.initial_sync)
        )
        self.assertEqual(1, self.client.initial_sync_subclouds(["one"]))
        audit = audits.of_lanes(self.database, [lane.id])[lane.id]
        self.assertIs(InitialSync.REQUESTED, audit.initial_sync)
        self.assertEqual(2, sum(worker.looks for worker in self.workers))
        self.assertEqual(0, self.client.run_sync_audit(["one"], ["compute"]))

    def test_the_callers_own_errors_come_back_as_what_they_are(self) -> None:
        builders.add_subcloud(self.database)
        with self.assertRaisesRegex(Conflict, "already a subcloud 'one'"):
            self.client.add_subcloud(builders.new_subcloud("one"))
        with self.assertRaises(Conflict):
            self.client.delete_subcloud("one")
        for call in (
            lambda: self.client.sync_subclouds(["nowhere"]),
            lambda: self.client.run_sync_audit(["nowhere"]),
            lambda: self.client.initial_sync_subclouds(["nowhere"]),
            lambda: self.client.update_subcloud("nowhere", {"description": "x"}),
            lambda: self.client.update_subcloud_states("nowhere", Management.MANAGED),
        ):
            with self.assertRaisesRegex(NotFound, "no subcloud 'nowhere'"):
                call()

    def test_what_cannot_be_changed_is_refused(self) -> None:
        builders.add_subcloud(self.database)
        for values in ({"region_name": "two"}, {"failures": "0"}):
            with self.assertRaisesRegex(InvalidInput, "Cannot be changed"):
                self.client.update_subcloud("one", values)
        with self.assertRaises(InvalidInput):
            self.client._shown("add_subcloud", subcloud={"name": "two"})
        with self.assertRaises(InvalidInput):
            self.client._shown(
                "update_subcloud_states", region_name="one", management_state="maybe"
            )

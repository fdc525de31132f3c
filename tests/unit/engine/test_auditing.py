# SPDX-License-Identifier: Apache-2.0
"""A lane is audited while the world goes on: what comes meanwhile does not wait for the end."""

from collections.abc import Callable
from unittest import mock

from headwater.common.states import (
    AuditMode,
    AuditStatus,
    DriftAction,
    DriftKind,
    Management,
    RequestState,
)
from headwater.db import audits, drift, lanes, subclouds
from headwater.engine import execution
from headwater.engine.audit import Audit, Difference
from headwater.engine.lease import Lease, ticks
from headwater.engine.outcome import Retry
from headwater.engine.task import LaneWork
from tests.support import builders
from tests.unit.engine.test_execution import AWAY, ExecutionTestCase


def difference(master_id: str) -> Difference:
    return Difference(DriftKind.DIFFERENT, "user", master_id, f"there-{master_id}", master_id)


class AuditingTest(ExecutionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.object(execution, "_LOOK", 0.0))
        #: What happens between the calls of a comparison; its last word is the comparison's.
        self.between: list[Callable[[], object]] = []
        self.compared = 0
        self.handler.compare = self.compare  # type: ignore[attr-defined]
        audits.request(self.database, ["identity"], [self.subcloud.id])

    def compare(self, batch: LaneWork, *, fresh: bool) -> Audit:
        self.compared += 1
        steps, self.between = self.between, []
        for step in steps:
            step()
            batch.guard()
        found = [difference("u1"), difference("u2")] if self.compared == 1 else []
        return Audit(None, found, (), {"user": 2}, AuditMode.OBSERVE)

    def change(self, master_id: str) -> None:
        self.accept(master_id)
        lanes.request(self.database, ["identity"])

    def status(self) -> AuditStatus:
        lane = self.lane()
        return audits.of_lanes(self.database, [lane.id])[lane.id].status

    def open_drift(self) -> list[tuple[str, DriftAction]]:
        return [(each.drift_key, each.action) for each in drift.list_page(self.database, limit=9)]

    def test_a_change_that_comes_meanwhile_runs_at_once_and_is_no_finding(self) -> None:
        seen: list[list[str]] = []
        self.between = [lambda: self.change("u1"), lambda: seen.append(list(self.handler.executed))]
        self.run_once()
        self.assertEqual([["u1"]], seen, "before the comparison went on")
        self.assertEqual([("u2", DriftAction.OBSERVE)], self.open_drift())
        self.assertIs(AuditStatus.COMPLETED, self.status())
        self.assertEqual([RequestState.COMPLETED], self.states("u1"))

    def test_without_news_all_that_differs_is_found(self) -> None:
        self.between = [lambda: None]
        self.run_once()
        self.assertEqual(["u1", "u2"], [key for key, _ in self.open_drift()])

    def test_a_subcloud_that_falls_silent_meanwhile_ends_the_audit_for_now(self) -> None:
        self.handler.script = {"u1": [AWAY]}
        self.between = [lambda: self.change("u1")]
        self.run_once()
        self.assertEqual((1, []), (self.compared, self.open_drift()))
        self.assertIs(AuditStatus.IN_PROGRESS, self.status())
        lane = self.lane()
        self.assertEqual((1, "No answer"), (lane.pending, lane.last_error))
        self.assertIsNotNone(lane.next_try_at)
        self.run_once()
        self.assertEqual(2, self.compared)
        self.assertIs(AuditStatus.COMPLETED, self.status())

    def test_a_worker_that_stops_leaves_the_audit_to_another(self) -> None:
        stopping: list[bool] = []
        self.between = [lambda: stopping.append(True), lambda: self.fail("it went on")]
        lanes.request(self.database, ["identity"], at_once=True)
        (lane,) = builders.claim(self.database)
        self.runner.run(Lease(lane, builders.LEASE, ticks()), lambda: bool(stopping))
        self.assertIs(AuditStatus.IN_PROGRESS, self.status())
        self.assertEqual(1, len(builders.claim(self.database, "other")))

    def test_an_audit_of_a_subcloud_that_is_unmanaged_meanwhile_ends(self) -> None:
        self.between = [
            lambda: subclouds.set_management(self.database, "one", Management.UNMANAGED),
            lambda: self.fail("it went on"),
        ]
        self.run_once()
        self.assertEqual((1, []), (self.compared, self.open_drift()))
        self.assertIsNone(self.lane().lease_owner)

    def test_a_subcloud_that_cannot_be_asked_is_asked_again_after_a_rest(self) -> None:
        with mock.patch.object(self.handler, "compare", return_value=AWAY):
            self.run_once()
        self.assertEqual("Audit: No answer", self.lane().last_error)
        self.assertIs(AuditStatus.IN_PROGRESS, self.status())

    def test_a_central_cloud_that_cannot_be_asked_keeps_no_change_waiting(self) -> None:
        away = Retry("The central cloud refuses the login", counts=False)
        with (
            mock.patch.object(self.handler, "compare", return_value=away),
            self.assertLogs("headwater.engine.auditor", "WARNING") as logged,
        ):
            self.run_once()
        self.assertIn("The central cloud refuses the login", logged.output[0])
        self.assertIs(AuditStatus.FAILED, self.status())
        self.assertEqual((None, None), (self.lane().last_error, self.lane().next_try_at))
        self.change("u1")
        self.run_once()
        self.assertEqual(["u1"], self.handler.executed)
        self.assertEqual(0, self.compared)

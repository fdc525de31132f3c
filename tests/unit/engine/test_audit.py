# SPDX-License-Identifier: Apache-2.0
"""What follows from an audit's differences."""

import unittest
from dataclasses import replace
from datetime import timedelta

from headwater.common import clock
from headwater.common.states import AuditMode, DriftAction, DriftKind
from headwater.db.records import Drift
from headwater.engine import audit
from headwater.engine.audit import Audit, AuditPolicy, Difference, Verdict, judge

NOW = clock.now()
POLICY = AuditPolicy(interval=100, most_repairs=2, window=3600)
MISSING = Difference(DriftKind.MISSING, "user", "u1", None, "alice")
FOREIGN = Difference(DriftKind.EXTRA, "user", None, "there", "bob")
BEFORE = Drift(
    id=1,
    region_name="one",
    endpoint_type="identity",
    resource_type="user",
    drift_key="u1",
    name="alice",
    kind=DriftKind.MISSING,
    fields=(),
    action=DriftAction.REPAIR,
    first_seen_at=NOW - timedelta(seconds=60),
    last_seen_at=NOW - timedelta(seconds=60),
    times_seen=2,
    repairs=2,
    resolved_at=None,
)


class JudgeTest(unittest.TestCase):
    def judge(
        self,
        *differences: Difference,
        mode: AuditMode = AuditMode.ENFORCE,
        busy: tuple[audit.Key, ...] = (),
        before: Drift | None = None,
        initial: bool = False,
        unmanaged: tuple[audit.Key, ...] = (),
        remove_extra: bool = False,
    ) -> Verdict:
        return judge(
            Audit(None, differences, (), {}, mode, remove_extra),
            unmanaged=unmanaged,
            busy=busy,
            before={} if before is None else {(before.resource_type, before.drift_key): before},
            initial=initial,
            policy=POLICY,
            now=NOW,
        )

    def actions(self, verdict: Verdict) -> list[DriftAction]:
        return [each.action for each in verdict.findings]

    def test_what_differs_is_repaired_or_observed_as_the_mode_says(self) -> None:
        for mode, action in (
            (AuditMode.ENFORCE, DriftAction.REPAIR),
            (AuditMode.OBSERVE, DriftAction.OBSERVE),
            (AuditMode.OFF, DriftAction.OBSERVE),
        ):
            with self.subTest(mode):
                self.assertEqual([action], self.actions(self.judge(MISSING, mode=mode)))

    def test_an_initial_sync_repairs_in_every_mode(self) -> None:
        for mode in AuditMode:
            with self.subTest(mode):
                verdict = self.judge(MISSING, mode=mode, initial=True)
                self.assertEqual([DriftAction.REPAIR], self.actions(verdict))

    def test_what_headwater_did_not_bring_is_left_alone(self) -> None:
        verdict = self.judge(FOREIGN, initial=True)
        self.assertEqual([DriftAction.LEFT_ALONE], self.actions(verdict))
        self.assertEqual("/there", verdict.findings[0].drift_key)

    def test_what_is_on_its_way_is_no_finding(self) -> None:
        self.assertEqual((), tuple(self.judge(MISSING, busy=(("user", "u1"),)).findings))

    def test_what_was_repaired_too_often_is_quarantined_within_the_window(self) -> None:
        for before, action in (
            (BEFORE, DriftAction.QUARANTINE),
            (replace(BEFORE, repairs=1), DriftAction.REPAIR),
            # By the same clock as the verdict's: the module may have been imported long ago.
            (replace(BEFORE, last_seen_at=NOW - timedelta(seconds=4000)), DriftAction.REPAIR),
            (replace(BEFORE, resource_type="group"), DriftAction.REPAIR),
        ):
            with self.subTest(before):
                self.assertEqual([action], self.actions(self.judge(MISSING, before=before)))

    def test_one_audit_repairs_so_many_and_the_next_one_the_rest(self) -> None:
        many = [
            replace(MISSING, master_id=f"u{number}") for number in range(audit.MOST_REPAIRS + 1)
        ]
        verdict = self.judge(*many)
        self.assertEqual((audit.MOST_REPAIRS, True), (len(verdict.findings), verdict.again))
        self.assertFalse(self.judge(*many[:-1], before=replace(BEFORE, repairs=1)).again)

    def test_first_repairs_are_looked_at_at_once_and_repeated_ones_later(self) -> None:
        before = replace(BEFORE, repairs=1)
        for known, again in (
            (None, True),
            (before, False),
            (replace(before, resolved_at=NOW), True),
            (replace(before, action=DriftAction.OBSERVE), True),
        ):
            with self.subTest(known):
                self.assertIs(again, self.judge(MISSING, before=known).again)
        self.assertFalse(self.judge(MISSING, mode=AuditMode.OBSERVE).again)

    def test_what_is_on_its_way_is_neither_found_nor_resolved(self) -> None:
        way = (("user", "u1"),)
        self.assertEqual([1], list(self.judge(busy=way, before=BEFORE).undecided))
        self.assertEqual([], list(self.judge(before=BEFORE).undecided))
        former = replace(BEFORE, resolved_at=NOW)
        self.assertEqual([], list(self.judge(busy=way, before=former).undecided))

    def test_what_is_a_subclouds_own_affair_is_only_said(self) -> None:
        for difference in (MISSING, FOREIGN):
            key = (difference.resource_type, difference.drift_key)
            verdict = self.judge(difference, unmanaged=(key,), remove_extra=True, initial=True)
            self.assertEqual([DriftAction.UNMANAGED], self.actions(verdict))

    def test_what_headwater_did_not_bring_is_removed_only_as_the_option_says(self) -> None:
        for mode, action in (
            (AuditMode.ENFORCE, DriftAction.REPAIR),
            (AuditMode.OBSERVE, DriftAction.LEFT_ALONE),
        ):
            verdict = self.judge(FOREIGN, mode=mode, remove_extra=True, initial=True)
            self.assertEqual([action], self.actions(verdict))
        verdict = self.judge(FOREIGN, remove_extra=True, busy=(("user", "/there"),))
        self.assertEqual([], self.actions(verdict))

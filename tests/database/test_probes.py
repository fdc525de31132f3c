# SPDX-License-Identifier: Apache-2.0
"""Probes of subclouds: taken by one engine each, and what an answer changes."""

from headwater.common.states import Availability, SyncRequest
from headwater.db import lanes, subclouds
from headwater.db.records import Subcloud
from tests.support import builders, databases
from tests.support.lanes_case import LATER, LanesTestCase


@databases.on_every_backend
class ProbesTest(LanesTestCase):
    def take(self, limit: int = 10, interval: float = 100, offline_interval: float = 100) -> int:
        return len(
            subclouds.take_probes(
                self.database, limit=limit, interval=interval, offline_interval=offline_interval
            )
        )

    def silent(self, times: int = 2) -> Subcloud:
        for _ in range(times):
            subclouds.note_silence(
                self.database, self.subcloud.id, offline_after=2, breaker_after=2, rest=LATER
            )
        return self.now()

    def now(self) -> Subcloud:
        return subclouds.by_id(self.database, self.subcloud.id)

    def test_each_managed_subcloud_is_taken_once_until_it_is_due_again(self) -> None:
        builders.add_subclouds(self.database, 4)
        builders.add_subcloud(self.database, "unmanaged", managed=False)
        self.assertEqual([3, 2, 0], [self.take(limit=3) for _ in range(3)])

    def test_one_that_does_not_answer_is_due_sooner(self) -> None:
        subclouds.note_answer(self.database, self.subcloud.id)
        self.assertEqual([1, 0], [self.take(offline_interval=-1) for _ in range(2)])
        builders.add_subcloud(self.database, "unknown")
        self.assertEqual([1, 1], [self.take(offline_interval=-1) for _ in range(2)])

    def test_an_answer_makes_one_online_for_which_nothing_waits(self) -> None:
        self.assertIs(Availability.OFFLINE, self.silent().availability_status)
        subclouds.note_probe(self.database, self.subcloud.id)
        found = self.now()
        self.assertEqual(
            (Availability.ONLINE, 0, None),
            (found.availability_status, found.failures, found.breaker_until),
        )

    def test_where_something_waits_an_answer_lets_one_lane_try(self) -> None:
        builders.accepted_job(self.database)
        lane = builders.claimed_lane(self.database)
        self.silent()
        self.assertIs(SyncRequest.REQUESTED, self.release(lane, pause=LATER, error="No answer"))
        self.assertEqual([], builders.claim(self.database))
        subclouds.note_probe(self.database, self.subcloud.id)
        self.assertIs(Availability.OFFLINE, self.now().availability_status)
        (probing,) = builders.claim(self.database)
        self.assertEqual(lane.id, probing.id)
        lanes.release(self.database, probing, seen_wakeups=0)

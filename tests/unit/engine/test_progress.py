# SPDX-License-Identifier: Apache-2.0
"""Results are written in groups, and none waits for long."""

from headwater.common.errors import LeaseLost
from headwater.common.states import RequestState
from headwater.db import jobs, lanes, requests
from headwater.engine import progress
from headwater.engine.lease import Lease, ticks
from headwater.engine.progress import Progress
from tests.support import builders, databases


class ProgressTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        builders.add_subcloud(self.database)
        self.uuids = [
            builders.accepted_job(self.database, master_id=f"u{index}").uuid for index in range(45)
        ]
        self.lane = builders.claimed_lane(self.database)
        self.batch = requests.next_batch(self.database, self.lane, 100).requests
        lease = Lease(self.lane, builders.LEASE, ticks())
        self.progress = Progress(self.database, lease)

    def written(self) -> int:
        return sum(
            summary.counts.get(RequestState.COMPLETED, 0)
            for summary in jobs.list_page(self.database, limit=100)
        )

    def test_a_result_waits_for_others(self) -> None:
        self.progress.add(builders.result(self.batch[0]))
        self.assertEqual(0, self.written())
        self.progress.flush()
        self.assertEqual(1, self.written())

    def test_many_results_are_written_in_few_transactions(self) -> None:
        with self.statements() as sent:
            for request in self.batch:
                self.progress.add(builders.result(request))
            self.progress.flush()
        self.assertEqual(45, self.written())
        begun = [text for text in sent if text.startswith("BEGIN")]
        self.assertEqual(3, len(begun))

    def test_a_result_that_has_waited_is_written_with_the_next(self) -> None:
        self.addCleanup(setattr, progress, "_SECONDS", progress._SECONDS)
        progress._SECONDS = 0.0
        for number in (1, 2):
            self.progress.add(builders.result(self.batch[number]))
            self.assertEqual(number, self.written())

    def test_nothing_to_write_writes_nothing(self) -> None:
        with self.statements() as sent:
            self.progress.flush()
            self.progress.add(builders.result(self.batch[0]))
            self.progress.flush()
            before = len(sent)
            self.progress.flush()
        self.assertEqual(before, len(sent))
        self.assertGreater(before, 0)

    def test_a_lost_lease_is_told(self) -> None:
        lanes.release(self.database, self.lane, seen_wakeups=0)
        self.progress.add(builders.result(self.batch[0]))
        with self.assertRaises(LeaseLost):
            self.progress.flush()
        self.assertEqual(0, self.written())

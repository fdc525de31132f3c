# SPDX-License-Identifier: Apache-2.0
"""A lease as its holder knows it: never longer than the database's."""

import unittest

from headwater.common.errors import LeaseLost
from headwater.db.records import ClaimedLane
from headwater.engine.lease import Lease, ticks

LANE = ClaimedLane(id=7, subcloud_id=1, endpoint_type="identity", generation=3, failures=0)


class LeaseTest(unittest.TestCase):
    def test_it_holds_from_the_moment_at_which_it_was_asked_for(self) -> None:
        Lease(LANE, 60, ticks()).check()
        Lease(LANE, 60, ticks() - 30).check()
        with self.assertRaisesRegex(LeaseLost, "Lane 7: its lease of 60 s has ended"):
            Lease(LANE, 60, ticks() - 61).check()

    def test_a_renewal_prolongs_it_and_a_late_one_does_not_shorten_it(self) -> None:
        lease = Lease(LANE, 60, ticks() - 50)
        lease.renewed(ticks())
        lease.renewed(ticks() - 59)
        lease.check()

    def test_a_lost_one_is_not_brought_back(self) -> None:
        lease = Lease(LANE, 60, ticks())
        lease.lose()
        lease.renewed(ticks())
        with self.assertRaises(LeaseLost):
            lease.check()

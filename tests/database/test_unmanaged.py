# SPDX-License-Identifier: Apache-2.0
"""Resources that audits leave alone in one subcloud."""

from headwater.common.errors import NotFound
from headwater.common.states import Management
from headwater.db import subclouds, unmanaged
from headwater.db.records import Subcloud
from tests.support import builders, databases


@databases.on_every_backend
class UnmanagedTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.one = builders.add_subcloud(self.database, "one")
        self.two = builders.add_subcloud(self.database, "two")

    def mark(self, of: Subcloud, *keys: str) -> None:
        for key in keys:
            unmanaged.mark(self.database, of.id, "identity", "user", key)

    def marked(self, of: Subcloud) -> list[str]:
        found = unmanaged.of_subcloud(self.database, of.id)
        lane = unmanaged.of_lane(self.database, builders.lane_of(self.database, of).id)
        self.assertEqual({(each.resource_type, each.drift_key) for each in found}, lane)
        return [each.drift_key for each in found]

    def test_a_mark_holds_in_one_subcloud_and_the_second_is_the_first(self) -> None:
        for _ in range(2):
            self.mark(self.one, "u1", "/there", "U1")
        self.assertEqual({"/there", "U1", "u1"}, set(self.marked(self.one)))
        self.assertEqual([], self.marked(self.two))

    def test_a_mark_is_taken_away_once(self) -> None:
        self.mark(self.one, "u1")
        self.mark(self.two, "u1")
        unmanaged.unmark(self.database, self.one.id, "identity", "user", "u1")
        self.assertEqual(([], ["u1"]), (self.marked(self.one), self.marked(self.two)))
        with self.assertRaisesRegex(NotFound, "No user 'u1' of the subcloud is marked"):
            unmanaged.unmark(self.database, self.one.id, "identity", "user", "u1")

    def test_a_lane_that_is_not_there_has_no_marks(self) -> None:
        with self.assertRaisesRegex(NotFound, "no lane for endpoint type 'compute'"):
            unmanaged.mark(self.database, self.one.id, "compute", "flavor", "f1")

    def test_marks_go_with_their_subcloud(self) -> None:
        self.mark(self.one, "u1")
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        self.assertEqual([], unmanaged.of_subcloud(self.database, self.one.id))

# SPDX-License-Identifier: Apache-2.0
"""Periodic work is done by one engine at a time, and by another one when that is killed."""

from headwater.common.errors import LeaseLost
from headwater.db import periodic
from headwater.db.models import periodic_work
from tests.support import builders, databases


@databases.on_every_backend
class PeriodicWorkTest(databases.DatabaseTestCase):
    def claim(self, owner: str = "one", lease: float = 60) -> periodic.Turn:
        return periodic.claim(self.database, "audit", owner, lease)

    def held(self) -> int:
        generation = self.claim().generation
        assert generation is not None
        return generation

    def end_lease(self) -> None:
        with self.database.write() as connection:
            connection.execute(periodic_work.update().values(lease_until=builders.PAST))

    def test_what_nobody_ever_did_is_due_for_one(self) -> None:
        self.assertEqual(1, self.claim().generation)
        turn = self.claim("two")
        self.assertIsNone(turn.generation)
        self.assertTrue(30 < turn.due_in <= 60, turn)

    def test_it_is_due_again_after_its_interval(self) -> None:
        periodic.finish(self.database, "audit", self.held(), 100, None)
        turn = self.claim("two")
        self.assertIsNone(turn.generation)
        self.assertTrue(60 < turn.due_in <= 100, turn)
        (found,) = periodic.list_all(self.database)
        self.assertIsNotNone(found.last_finished_at)
        self.assertIsNone(found.lease_owner)

    def test_another_takes_over_when_the_lease_has_ended(self) -> None:
        lost = self.held()
        self.end_lease()
        taken = self.claim("two").generation
        assert taken is not None
        self.assertGreater(taken, lost)
        # The one that stood still meanwhile changes nothing.
        with self.assertRaises(LeaseLost):
            periodic.renew(self.database, "audit", lost, 60)
        periodic.finish(self.database, "audit", lost, 0, None)
        (found,) = periodic.list_all(self.database)
        self.assertEqual("two", found.lease_owner)

    def test_a_heartbeat_keeps_it_and_does_not_revive_it(self) -> None:
        generation = self.held()
        periodic.renew(self.database, "audit", generation, 600)
        self.assertGreater(self.claim("two").due_in, 60)
        self.end_lease()
        with self.assertRaises(LeaseLost):
            periodic.renew(self.database, "audit", generation, 60)

    def test_an_error_is_kept_until_a_run_goes_well(self) -> None:
        periodic.finish(self.database, "audit", self.held(), -1, "x" * 5000)
        (found,) = periodic.list_all(self.database)
        self.assertEqual("x" * 1000, found.last_error)
        periodic.finish(self.database, "audit", self.held(), -1, None)
        (found,) = periodic.list_all(self.database)
        self.assertIsNone(found.last_error)

# SPDX-License-Identifier: Apache-2.0
"""The mappings of one subcloud as one batch sees them."""

from dataclasses import replace

from headwater.common.states import Operation
from headwater.db import jobs, requests
from headwater.db.records import MappingChange
from headwater.orchestrator.sync.mapping import MappingView
from tests.support import builders, databases


class MappingViewTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subcloud = builders.add_subcloud(self.database)
        self.view = self.fresh_view()

    def fresh_view(self) -> MappingView:
        return MappingView(self.database, self.subcloud.id, "identity")

    def known(self, *master_ids: str) -> None:
        """Let the database know users with these ids, mapped to there-<id>."""
        for master_id in master_ids:
            builders.accepted_job(
                self.database, Operation.CREATE, master_id, natural_key={"name": master_id}
            )
        lane = builders.claimed_lane(self.database)
        for request in requests.next_batch(self.database, lane, 100).requests:
            there = MappingChange(
                "identity", "user", request.master_id, None, f"there-{request.master_id}"
            )
            done = builders.result(request, mappings=(there,))
            requests.save_results(self.database, lane, [done], builders.LEASE)

    def test_what_the_database_knows_is_found(self) -> None:
        self.known("u1")
        self.assertEqual("there-u1", self.view.find("user", "u1"))
        self.assertEqual({"name": "u1"}, self.view.natural_key("user", "u1"))
        self.assertEqual((), self.view.take_changes())

    def test_what_nobody_knows_is_none(self) -> None:
        self.assertIsNone(self.view.find("user", "u1"))
        self.assertIsNone(self.view.natural_key("user", "u1"))

    def test_an_id_of_another_type_is_another_resource(self) -> None:
        self.known("u1")
        self.assertIsNone(self.view.find("group", "u1"))

    def test_many_ids_are_read_once_and_in_one_statement(self) -> None:
        self.known("u1", "u2", "u3")
        with self.statements() as sent:
            self.view.prefetch(["u1", "u2", "u3", "u4"])
            for master_id in ("u1", "u2", "u3", "u4"):
                self.view.find("user", master_id)
            self.view.prefetch(["u1", "u4"])
        self.assertEqual(1, len([text for text in sent if not text.startswith("BEGIN")]))

    def test_what_was_learnt_is_found_and_told_once(self) -> None:
        self.view.learn("user", "u1", "there", {"name": "a"})
        self.assertEqual("there", self.view.find("user", "u1"))
        fact = MappingChange("identity", "user", "u1", {"name": "a"}, "there")
        self.assertEqual((fact,), self.view.take_changes())
        self.assertEqual((), self.view.take_changes())

    def test_what_was_forgotten_is_not_found_and_told_once(self) -> None:
        self.known("u1")
        for _ in range(2):
            self.view.forget("user", "u1")
            self.assertIsNone(self.view.find("user", "u1"))
        fact = MappingChange("identity", "user", "u1", {"name": "u1"}, None)
        self.assertEqual((fact,), self.view.take_changes())

    def test_forgetting_what_was_never_known_tells_nothing(self) -> None:
        self.view.forget("user", "u1")
        self.assertEqual((), self.view.take_changes())

    def test_a_name_that_is_known_stays_when_only_the_id_is_learnt(self) -> None:
        self.known("u1")
        self.view.forget("user", "u1")
        self.view.learn("user", "u1", "again", None)
        self.assertEqual({"name": "u1"}, self.view.take_changes()[-1].natural_key)

    def test_a_name_that_was_learnt_is_known_from_then_on(self) -> None:
        self.view.learn("user", "u1", "there", {"name": "a"})
        self.assertEqual({"name": "a"}, self.view.natural_key("user", "u1"))

    def test_what_is_learnt_is_the_batchs_own_until_it_is_written(self) -> None:
        self.view.learn("user", "u1", "there", None)
        self.assertIsNone(self.fresh_view().find("user", "u1"))

    def test_what_was_learnt_for_one_is_no_counterpart_of_another_any_more(self) -> None:
        self.known("u1")
        self.assertEqual("u1", self.view.other_owner("user", "there-u1", "u2"))
        self.view.learn("user", "u2", "there-u1", None)
        self.assertIsNone(self.view.find("user", "u1"))
        self.assertEqual("u2", self.view.other_owner("user", "there-u1", "u1"))
        self.assertIsNone(self.view.other_owner("user", "there-u1", "u2"))

    def test_a_resource_that_is_deleted_owns_nothing_any_more(self) -> None:
        self.known("u1")
        builders.accepted_job(self.database, Operation.DELETE, "u1")
        self.assertIsNone(self.fresh_view().other_owner("user", "there-u1", "u2"))

    def test_what_nobody_mapped_is_free(self) -> None:
        self.assertIsNone(self.view.other_owner("user", "there", "u1"))

    def test_the_present_name_is_the_one_before_a_rename_that_waits(self) -> None:
        builders.accepted_job(self.database, Operation.CREATE, "u1", natural_key={"name": "old"})
        builders.run_lane(self.database)
        intent = replace(builders.intent(), key_before={"name": "old"})
        job = jobs.open_intent(self.database, intent)
        jobs.accept(self.database, job, builders.change(natural_key={"name": "new"}))
        lane = builders.claimed_lane(self.database)
        view = MappingView(self.database, self.subcloud.id, "identity", lane.id)
        self.assertEqual({"name": "old"}, view.present_key("user", "u1"))
        self.assertEqual({"name": "new"}, view.natural_key("user", "u1"))
        builders.finish_requests(self.database, lane)
        self.assertEqual({"name": "new"}, view.present_key("user", "u1"))

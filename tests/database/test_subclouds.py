# SPDX-License-Identifier: Apache-2.0
"""Subclouds: added, shown, changed, managed, measured, deleted."""

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.common.states import Availability, Management, Operation, SyncRequest, SyncStatus
from headwater.db import audits, claims, lanes, resources, subclouds
from headwater.db import requests as orch_requests
from headwater.db.models import metadata, subcloud
from headwater.db.records import MappingChange, Subcloud
from tests.support import builders, databases


@databases.on_every_backend
class SubcloudsTest(databases.DatabaseTestCase):
    def names(self, *, limit: int = 100, marker: str = "") -> list[str]:
        page = subclouds.list_page(self.database, limit=limit, marker=marker)
        return [found.region_name for found in page]

    def rows(self, table: str) -> int:
        with self.database.read() as connection:
            return int(
                connection.execute(
                    sa.select(sa.func.count()).select_from(metadata.tables[table])
                ).scalar_one()
            )

    def test_an_added_subcloud_is_unmanaged_and_has_what_it_was_given(self) -> None:
        new = builders.new_subcloud(
            "one",
            auth_url="https://one.example/v3",
            username="hw",
            user_domain_name="D1",
            project_name="P1",
            project_domain_name="D2",
            description="Première",
            credentials="cipher",
        )
        before = clock.now()
        added = subclouds.add(self.database, new, ["identity"])
        for field in (
            "region_name",
            "auth_url",
            "username",
            "user_domain_name",
            "project_name",
            "project_domain_name",
            "description",
            "credentials",
        ):
            self.assertEqual(getattr(new, field), getattr(added, field), field)
        self.assertIs(Management.UNMANAGED, added.management_state)
        self.assertIs(Availability.UNKNOWN, added.availability_status)
        self.assertLessEqual(before, added.created_at)
        self.assertLessEqual(added.created_at, clock.now())
        self.assertEqual(added, subclouds.get(self.database, "one"))
        self.assertEqual(added, subclouds.by_id(self.database, added.id))

    def test_an_added_subcloud_has_an_idle_lane_per_endpoint_type(self) -> None:
        added = subclouds.add(self.database, builders.new_subcloud(), ["identity", "compute"])
        found = lanes.of_subclouds(self.database, [added.id])
        self.assertEqual(["compute", "identity"], [lane.endpoint_type for lane in found])
        for lane in found:
            self.assertIs(SyncRequest.NONE, lane.sync_request)
            self.assertIs(SyncStatus.UNKNOWN, lane.sync_status)
            self.assertEqual((0, 0, None), (lane.pending, lane.failed, lane.lease_owner))

    def test_a_name_in_use_is_a_conflict_and_changes_nothing(self) -> None:
        first = builders.add_subcloud(self.database, "one")
        again = builders.new_subcloud("one", auth_url="http://other.example/v3")
        with self.assertRaisesRegex(Conflict, "already a subcloud 'one'"):
            subclouds.add(self.database, again, ["identity"])
        self.assertEqual(first, subclouds.get(self.database, "one"))
        self.assertEqual(1, self.rows("subcloud_sync"))

    def test_a_name_in_use_is_refused_before_anything_is_asked_for(self) -> None:
        subclouds.refuse_known(self.database, "one")
        builders.add_subcloud(self.database, "one")
        subclouds.refuse_known(self.database, "One")
        with self.assertRaisesRegex(Conflict, "already a subcloud 'one'"):
            subclouds.refuse_known(self.database, "one")

    def test_names_that_differ_only_in_case_accents_or_spaces_are_different_subclouds(self) -> None:
        different = [
            "cloud",
            "Cloud",
            "CLOUD",
            "clóud",
            "cloud\u0301",
            "cloud\N{SNOWMAN}",
            "クラウド",
        ]
        for name in different:
            builders.add_subcloud(self.database, name)
        self.assertEqual(sorted(different), sorted(self.names()))
        for name in different:
            self.assertEqual(name, subclouds.get(self.database, name).region_name)

    def test_names_that_differ_only_in_a_space_at_the_end_are_different_subclouds(self) -> None:
        builders.add_subcloud(self.database, "cloud")
        with self.assertRaises(NotFound):
            subclouds.get(self.database, "cloud ")

    def test_emoji_and_quotes_survive_in_every_text(self) -> None:
        text = "\U0001f30d 'quoted' \"twice\" \\ % ; -- {}"
        added = builders.add_subcloud(self.database, text, description=text, username=text)
        self.assertEqual(added, subclouds.get(self.database, text))
        self.assertEqual((text, text), (added.description, added.username))

    def test_an_unknown_subcloud_is_not_found(self) -> None:
        with self.assertRaisesRegex(NotFound, "no subcloud 'nowhere'"):
            subclouds.get(self.database, "nowhere")
        with self.assertRaisesRegex(NotFound, "no subcloud with id 0"):
            subclouds.by_id(self.database, databases.NO_ID)
        with self.assertRaises(NotFound):
            subclouds.update(self.database, "nowhere", {"username": "x"})
        with self.assertRaises(NotFound):
            subclouds.set_management(self.database, "nowhere", Management.MANAGED)
        with self.assertRaises(NotFound):
            subclouds.delete(self.database, "nowhere")

    def test_pages_follow_each_other_without_gap_or_repetition(self) -> None:
        names = [f"cloud{index}" for index in range(7)]
        for name in reversed(names):
            builders.add_subcloud(self.database, name)
        seen: list[str] = []
        while page := self.names(limit=3, marker=seen[-1] if seen else ""):
            self.assertLessEqual(len(page), 3)
            seen += page
        self.assertEqual(names, seen)

    def test_a_marker_need_not_exist_any_more(self) -> None:
        for name in ("a", "c"):
            builders.add_subcloud(self.database, name)
        self.assertEqual(["c"], self.names(marker="b"))

    def test_an_update_changes_what_it_names_and_the_time_of_the_access_data(self) -> None:
        before = builders.add_subcloud(self.database)
        changed = subclouds.update(self.database, "one", {"username": "new", "description": "d"})
        self.assertEqual(("new", "d"), (changed.username, changed.description))
        self.assertEqual(before.auth_url, changed.auth_url)
        self.assertEqual(before.created_at, changed.created_at)
        self.assertGreater(changed.updated_at, before.updated_at)

    def test_managing_is_the_operators_and_not_a_change_of_the_access_data(self) -> None:
        added = builders.add_subcloud(self.database, managed=False)
        for _ in range(2):
            managed = subclouds.set_management(self.database, "one", Management.MANAGED)
            self.assertIs(Management.MANAGED, managed.management_state)
            self.assertEqual(added.updated_at, managed.updated_at)
        unmanaged = subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertIs(Management.UNMANAGED, unmanaged.management_state)

    def available(self, of: Subcloud) -> tuple[Availability, Availability | None]:
        found = subclouds.by_id(self.database, of.id)
        return found.availability_status, found.availability_override

    def silence(self, of: Subcloud) -> None:
        subclouds.note_silence(self.database, of.id, offline_after=1, breaker_after=1, rest=99)

    def test_measuring_does_not_undo_what_the_operator_said(self) -> None:
        added, other = (builders.add_subcloud(self.database, name) for name in ("one", "two"))
        subclouds.override_availability(self.database, added.id, Availability.OFFLINE)
        subclouds.note_answer(self.database, added.id)
        subclouds.note_probe(self.database, added.id)
        self.assertEqual((Availability.OFFLINE, Availability.OFFLINE), self.available(added))
        subclouds.override_availability(self.database, added.id, Availability.ONLINE)
        self.silence(added)
        self.assertEqual((Availability.ONLINE, Availability.ONLINE), self.available(added))
        self.assertIsNone(subclouds.by_id(self.database, added.id).breaker_until)
        self.assertEqual(other, subclouds.by_id(self.database, other.id))

    def test_it_is_measured_again_once_the_operator_says_so(self) -> None:
        added = builders.add_subcloud(self.database)
        subclouds.override_availability(self.database, added.id, Availability.ONLINE)
        subclouds.override_availability(self.database, added.id, Availability.UNKNOWN)
        self.assertEqual((Availability.UNKNOWN, None), self.available(added))
        self.silence(added)
        self.assertEqual((Availability.OFFLINE, None), self.available(added))

    def test_nothing_is_sent_to_one_that_is_offline_by_the_operators_word(self) -> None:
        added = builders.add_subcloud(self.database)
        builders.accepted_job(self.database)
        held = builders.claimed_lane(self.database)
        subclouds.override_availability(self.database, added.id, Availability.OFFLINE)
        self.assertEqual((), orch_requests.next_batch(self.database, held, 9).requests)
        lanes.release(self.database, held, seen_wakeups=0, more=True)
        self.assertEqual(1, lanes.request(self.database, ["identity"], at_once=True))
        self.assertEqual([], builders.claim(self.database))
        self.assertIsNone(claims.next_due(self.database, ["identity"]))
        taken = subclouds.take_probes(self.database, limit=9, interval=1, offline_interval=1)
        self.assertEqual([], taken)
        audits.request(self.database, ["identity"], [added.id])
        self.assertEqual([], builders.claim(self.database))
        self.assertFalse(subclouds.is_served(self.database, added.id))
        subclouds.override_availability(self.database, added.id, Availability.UNKNOWN)
        self.assertTrue(subclouds.is_served(self.database, added.id))
        self.assertEqual(1, len(builders.claim(self.database)))

    def test_a_word_about_a_deleted_subcloud_does_nothing(self) -> None:
        subclouds.override_availability(self.database, databases.NO_ID, Availability.ONLINE)
        self.assertEqual([], self.names())

    def test_nothing_is_known_of_an_unmanaged_subcloud(self) -> None:
        added = builders.add_subcloud(self.database)
        builders.audited(self.database)
        builders.accepted_job(self.database)
        builders.run_lane(self.database)
        self.assertIs(SyncStatus.IN_SYNC, builders.lane_of(self.database, added).sync_status)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        lane = builders.lane_of(self.database, added)
        self.assertIs(SyncStatus.UNKNOWN, lane.sync_status)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual(lane, builders.lane_of(self.database, added))

    def test_a_managed_subcloud_is_not_deleted(self) -> None:
        added = builders.add_subcloud(self.database)
        with self.assertRaisesRegex(Conflict, "'one' is managed; run 'subcloud unmanage one'"):
            subclouds.delete(self.database, "one")
        self.assertEqual(added, subclouds.get(self.database, "one"))

    def test_a_deleted_subcloud_takes_its_lanes_requests_and_mappings_along(self) -> None:
        builders.add_subcloud(self.database, "one")
        builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database, Operation.CREATE, "u1", natural_key={"name": "a"})
        lanes.request(self.database, ["identity"])
        for lane in builders.claim(self.database):
            (request,) = orch_requests.next_batch(self.database, lane, 10).requests
            learned = MappingChange("identity", "user", "u1", None, f"there-{lane.id}")
            done = builders.result(request, mappings=(learned,))
            orch_requests.save_results(self.database, lane, [done], builders.LEASE)
        tables = ("subcloud", "subcloud_sync", "orch_request", "subcloud_resource")
        self.assertEqual([2, 2, 2, 2], [self.rows(table) for table in tables])
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        self.assertEqual([1, 1, 1, 1], [self.rows(table) for table in tables])
        self.assertEqual(["two"], self.names())
        kept = subclouds.get(self.database, "two")
        (mapping,) = resources.mapped(self.database, kept.id, "identity", ["u1"])
        self.assertIsNotNone(mapping.subcloud_resource_id)
        self.assertEqual((1, 1), (self.rows("orch_job"), self.rows("resource")))

    def test_a_deleted_name_can_be_added_again(self) -> None:
        first = builders.add_subcloud(self.database, managed=False)
        subclouds.delete(self.database, "one")
        second = builders.add_subcloud(self.database, managed=False)
        self.assertEqual("one", second.region_name)
        with self.database.read() as connection:
            self.assertEqual(
                1,
                connection.execute(sa.select(sa.func.count()).select_from(subcloud)).scalar_one(),
            )
        self.assertGreater(second.created_at, first.created_at)

    def test_times_keep_their_microseconds_and_are_utc(self) -> None:
        added = builders.add_subcloud(self.database)
        moment = clock.now().replace(microsecond=123457)
        with self.database.write() as connection:
            connection.execute(subcloud.update().values(updated_at=moment))
        self.assertEqual(moment, subclouds.by_id(self.database, added.id).updated_at)
        self.assertEqual(moment.utcoffset(), added.updated_at.utcoffset())

    def test_a_backlog_is_dropped_of_an_unmanaged_subcloud_only(self) -> None:
        one = builders.add_subcloud(self.database)
        two = builders.add_subcloud(self.database, "two")
        builders.accepted_job(self.database)
        self.assertEqual(0, subclouds.drop_backlog(self.database, one.id))
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        self.assertEqual(1, subclouds.drop_backlog(self.database, one.id))
        self.assertEqual(0, subclouds.drop_backlog(self.database, one.id))
        self.assertEqual(0, builders.lane_of(self.database, one).pending)
        self.assertEqual(1, builders.lane_of(self.database, two).pending)

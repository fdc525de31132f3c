# SPDX-License-Identifier: Apache-2.0
"""Jobs: an intent before the change, its acceptance in one transaction, its end."""

import threading

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.errors import NotFound
from headwater.common.states import IntentState, JobState, Management, Operation, RequestState
from headwater.db import jobs, lanes, resources, subclouds
from headwater.db import requests as orch_requests
from headwater.db.models import orch_job, orch_request, resource, subcloud
from headwater.db.records import Job, JobFilter, JobSummary
from tests.support import builders, databases

COUNT = sa.func.count()


class JobsTestCase(databases.DatabaseTestCase):
    def summary(self, job: Job) -> JobSummary:
        return jobs.get(self.database, job.uuid)

    def operation(self, job: Job) -> Operation:
        """What becomes of the job on the subclouds."""
        return self.summary(job).job.operation

    def open(
        self,
        operation: Operation = Operation.UPDATE,
        master_id: str | None = "u1",
        resource_type: str = "user",
    ) -> Job:
        return jobs.open_intent(
            self.database, builders.intent(operation, master_id, resource_type=resource_type)
        )

    def accept(
        self,
        job: Job,
        operation: Operation = Operation.UPDATE,
        master_id: str = "u1",
        natural_key: dict[str, str] | None = None,
    ) -> int:
        return jobs.accept(self.database, job, builders.change(operation, master_id, natural_key))

    def count(self, table: sa.Table) -> int:
        with self.database.read() as connection:
            return int(connection.execute(sa.select(COUNT).select_from(table)).scalar_one())

    def stored_info(self, job: Job) -> str | None:
        with self.database.read() as connection:
            return connection.execute(
                sa.select(orch_job.c.resource_info).where(orch_job.c.id == job.id)
            ).scalar_one()


@databases.on_every_backend
class IntentTest(JobsTestCase):
    def test_an_intent_is_written_as_an_open_job_with_its_caller(self) -> None:
        caller = Caller(user_id="c1", user_name="Zoë", project_id="p1", request_id="req-1")
        job = jobs.open_intent(
            self.database, builders.intent(Operation.CREATE, None, caller=caller)
        )
        stored = self.summary(job)
        self.assertIs(IntentState.OPEN, stored.job.intent_state)
        self.assertIs(Operation.CREATE, stored.job.operation)
        self.assertEqual(("identity", "user"), (stored.job.endpoint_type, stored.job.resource_type))
        self.assertEqual(
            caller,
            Caller(
                stored.job.user_id,
                stored.job.user_name,
                stored.job.project_id,
                stored.job.request_id,
            ),
        )
        self.assertIsNone(stored.job.master_id)
        self.assertIsNone(stored.job.accepted_at)
        self.assertEqual({}, stored.counts)
        self.assertEqual(builders.CIPHER, self.stored_info(job))

    def test_the_job_that_comes_back_is_the_one_that_was_written(self) -> None:
        job = self.open()
        self.assertEqual(self.summary(job).job, job)

    def test_a_dropped_intent_is_gone_and_dropping_it_again_does_nothing(self) -> None:
        job, other = self.open(), self.open()
        for _ in range(2):
            jobs.drop_intent(self.database, job.id)
            with self.assertRaisesRegex(NotFound, job.uuid):
                self.summary(job)
        self.assertEqual(other.uuid, self.summary(other).job.uuid)

    def test_an_accepted_job_cannot_be_dropped(self) -> None:
        job = self.open()
        self.accept(job)
        jobs.drop_intent(self.database, job.id)
        self.assertIs(IntentState.ACCEPTED, self.summary(job).job.intent_state)

    def test_a_dropped_intent_cannot_be_accepted(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        jobs.drop_intent(self.database, job.id)
        with self.assertRaisesRegex(NotFound, f"Job {job.uuid} is not open"):
            self.accept(job)
        self.assertEqual(0, self.count(orch_request))
        self.assertEqual(0, self.count(resource))


@databases.on_every_backend
class OpenIntentsTest(JobsTestCase):
    """Intents whose fate is not known are found again, and can be written again."""

    def set_age(self, job: Job, seconds: float) -> None:
        with self.database.write() as connection:
            connection.execute(
                orch_job.update()
                .where(orch_job.c.id == job.id)
                .values(created_at=clock.after(-seconds))
            )

    def test_open_jobs_of_some_age_are_found_oldest_first_with_their_info(self) -> None:
        old, older, young, accepted = (self.open(master_id=name) for name in "abcd")
        for job in (old, older, accepted):
            self.set_age(job, 100)
        self.accept(accepted, master_id="d")
        found = jobs.open_since(self.database, 50, limit=10)
        self.assertEqual([old.uuid, older.uuid], [job.uuid for job, _ in found])
        self.assertEqual({builders.CIPHER}, {info for _, info in found})
        self.assertNotIn(young.uuid, [job.uuid for job, _ in found])
        ((first, _),) = jobs.open_since(self.database, 50, limit=1)
        ((second, _),) = jobs.open_since(self.database, 50, limit=10, after=first.id)
        self.assertEqual([old.uuid, older.uuid], [first.uuid, second.uuid])

    def test_only_an_open_job_has_info_to_settle_it_by(self) -> None:
        job = self.open()
        self.assertEqual(builders.CIPHER, jobs.open_info(self.database, job.id))
        self.accept(job)
        for job_id in (job.id, databases.NO_ID):
            with self.assertRaises(NotFound):
                jobs.open_info(self.database, job_id)

    def test_a_dropped_intent_is_written_again_under_its_uuid(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        jobs.drop_intent(self.database, job.id)
        again = jobs.reopen_intent(self.database, job, "cipher-2")
        self.assertEqual(job.uuid, again.uuid)
        self.assertEqual(again, self.summary(job).job)
        self.assertEqual("cipher-2", self.stored_info(again))
        self.assertEqual(1, self.accept(again))


@databases.on_every_backend
class AcceptTest(JobsTestCase):
    def test_every_managed_subcloud_gets_one_request_and_no_other_does(self) -> None:
        builders.add_subcloud(self.database, "managed1")
        builders.add_subcloud(self.database, "managed2")
        builders.add_subcloud(self.database, "unmanaged", managed=False)
        builders.add_subcloud(self.database, "other-type", endpoint_types=("compute",))
        job = self.open()
        self.assertEqual(2, self.accept(job))
        found = orch_requests.of_job(self.database, job.id, limit=10)
        self.assertEqual(["managed1", "managed2"], [request.region_name for request in found])
        for request in found:
            self.assertIs(RequestState.QUEUED, request.state)
            self.assertEqual(
                (0, None, None), (request.try_count, request.error, request.started_at)
            )
        self.assertEqual({RequestState.QUEUED: 2}, self.summary(job).counts)

    def test_acceptance_says_what_really_happened(self) -> None:
        before = clock.now()
        job = self.open(Operation.CREATE, None)
        change = builders.change(
            Operation.CREATE,
            "u1",
            {"name": "Alice", "domain_id": "default"},
            resource_name="Alice",
            resource_info="cipher-2",
            request_id="req-of-central",
        )
        builders.add_subcloud(self.database)
        jobs.accept(self.database, job, change)
        summary = self.summary(job)
        self.assertIs(IntentState.ACCEPTED, summary.job.intent_state)
        self.assertEqual(("u1", "Alice"), (summary.job.master_id, summary.job.resource_name))
        self.assertEqual("req-of-central", summary.job.request_id)
        self.assertEqual(
            {"name": "Alice", "domain_id": "default"},
            resources.natural_key(self.database, "identity", "user", "u1"),
        )
        self.assertEqual("cipher-2", self.stored_info(job))
        assert summary.job.accepted_at is not None
        self.assertLessEqual(before, summary.job.accepted_at)

    def test_the_clients_own_request_id_is_kept(self) -> None:
        caller = Caller(request_id="req-of-client")
        job = jobs.open_intent(self.database, builders.intent(caller=caller))
        jobs.accept(self.database, job, builders.change(request_id="req-of-central"))
        self.assertEqual("req-of-client", self.summary(job).job.request_id)

    def test_the_number_of_statements_does_not_grow_with_the_number_of_subclouds(self) -> None:
        numbers = []
        for wanted in (1, 10, 200):
            with self.database.write() as connection:
                connection.execute(subcloud.delete())
            builders.add_subclouds(self.database, wanted)
            job = self.open()
            with self.statements() as sent:
                self.assertEqual(wanted, self.accept(job))
            numbers.append(len([text for text in sent if not text.startswith("BEGIN")]))
        self.assertEqual(1, len(set(numbers)), numbers)
        self.assertLessEqual(numbers[0], 6)

    def test_accepting_a_job_twice_is_refused_and_changes_nothing(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        self.accept(job, natural_key={"name": "first"})
        with self.assertRaisesRegex(NotFound, f"Job {job.uuid} is not open"):
            self.accept(job, natural_key={"name": "second"})
        self.assertEqual({RequestState.QUEUED: 1}, self.summary(job).counts)
        self.assertEqual(
            {"name": "first"}, resources.natural_key(self.database, "identity", "user", "u1")
        )

    def test_an_error_in_the_middle_leaves_the_job_open_and_nothing_else(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open(Operation.CREATE, None)

        def fail(connection: object, cursor: object, statement: str, *rest: object) -> None:
            if statement.startswith("INSERT INTO orch_request"):
                raise _Broken

        sa.event.listen(self.database.engine, "before_cursor_execute", fail)
        with self.assertRaises(_Broken):
            self.accept(job, Operation.CREATE, natural_key={"name": "a"})
        sa.event.remove(self.database.engine, "before_cursor_execute", fail)
        self.assertIs(IntentState.OPEN, self.summary(job).job.intent_state)
        self.assertEqual((0, 0), (self.count(orch_request), self.count(resource)))
        self.assertEqual(1, self.accept(job, Operation.CREATE, natural_key={"name": "a"}))

    def test_of_many_threads_that_accept_one_job_one_wins(self) -> None:
        builders.add_subclouds(self.database, 3)
        job = self.open()
        outcomes: list[object] = []
        ready = threading.Barrier(8)

        def accept() -> None:
            ready.wait()
            try:
                outcomes.append(self.accept(job))
            except Exception as error:  # noqa: BLE001 - compared below
                outcomes.append(type(error))

        threads = [threading.Thread(target=accept) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([3] + 7 * [NotFound], sorted(outcomes, key=str))
        self.assertEqual(3, self.count(orch_request))


class _Broken(Exception):
    """Ends a transaction from within."""


@databases.on_every_backend
class OverlapTest(JobsTestCase):
    """Two changes of one resource at a time: nobody knows which the central cloud did last."""

    def test_changes_one_after_the_other_are_replayed_as_they_are(self) -> None:
        for _ in range(2):
            job = self.open()
            self.accept(job)
            self.assertIs(Operation.UPDATE, self.operation(job))

    def test_the_last_accepted_of_two_overlapping_changes_becomes_an_align(self) -> None:
        first, second = self.open(), self.open()
        self.accept(second)
        self.accept(first)
        self.assertIs(Operation.UPDATE, self.operation(second))
        self.assertIs(Operation.ALIGN, self.operation(first))

    def test_of_three_overlapping_changes_all_but_the_first_accepted_become_aligns(self) -> None:
        three = [self.open() for _ in range(3)]
        for job in three:
            self.accept(job)
        self.assertEqual(
            [Operation.UPDATE, Operation.ALIGN, Operation.ALIGN],
            [self.operation(job) for job in three],
        )

    def test_a_delete_that_overlaps_an_update_becomes_an_align_too(self) -> None:
        update, delete = self.open(), self.open(Operation.DELETE)
        self.accept(update)
        self.accept(delete, Operation.DELETE)
        self.assertIs(Operation.ALIGN, self.operation(delete))

    def test_a_refused_change_overlaps_nothing(self) -> None:
        refused, done = self.open(), self.open()
        jobs.drop_intent(self.database, refused.id)
        self.accept(done)
        self.assertIs(Operation.UPDATE, self.operation(done))

    def test_changes_of_different_resources_do_not_overlap(self) -> None:
        user, other = self.open(), self.open(master_id="u2")
        same_id = self.open(resource_type="group")
        differs_in_case = self.open(master_id="U1")
        self.accept(user)
        self.accept(other, master_id="u2")
        self.accept(same_id)
        self.accept(differs_in_case, master_id="U1")
        for job in (user, other, same_id, differs_in_case):
            self.assertIs(Operation.UPDATE, self.operation(job))

    def test_a_create_whose_resource_was_changed_already_becomes_an_align(self) -> None:
        create = self.open(Operation.CREATE, None)
        update = self.open(Operation.UPDATE, "u1")
        self.accept(update, natural_key={"name": "a"})
        self.accept(create, Operation.CREATE, natural_key={"name": "a"})
        self.assertIs(Operation.ALIGN, self.operation(create))

    def test_a_create_is_a_create_whatever_else_was_created(self) -> None:
        for master_id in ("u1", "u2"):
            job = self.open(Operation.CREATE, None)
            self.accept(job, Operation.CREATE, master_id, natural_key={"name": master_id})
            self.assertIs(Operation.CREATE, self.operation(job))

    def test_a_link_is_created_and_deleted_many_times(self) -> None:
        for operation in 2 * [Operation.CREATE, Operation.DELETE]:
            job = self.open(operation, "g1/u1", "group_member")
            self.accept(job, operation, "g1/u1")
            self.assertIs(operation, self.operation(job))

    def test_overlapping_changes_of_a_link_become_an_align(self) -> None:
        make = self.open(Operation.CREATE, "g1/u1", "group_member")
        remove = self.open(Operation.DELETE, "g1/u1", "group_member")
        self.accept(remove, Operation.DELETE, "g1/u1")
        self.accept(make, Operation.CREATE, "g1/u1")
        self.assertIs(Operation.ALIGN, self.operation(make))


@databases.on_every_backend
class ResourceOfJobTest(JobsTestCase):
    def deleted(self) -> bool:
        with self.database.read() as connection:
            return bool(connection.execute(sa.select(resource.c.deleted)).scalar_one())

    def key(self) -> object:
        return resources.natural_key(self.database, "identity", "user", "u1")

    def test_a_name_for_people_is_cut_to_its_column(self) -> None:
        job = jobs.open_intent(self.database, builders.intent(resource_name="é" * 300))
        self.assertEqual("é" * 255, self.summary(job).job.resource_name)
        jobs.accept(self.database, job, builders.change(resource_name="ü" * 300))
        self.assertEqual("ü" * 255, self.summary(job).job.resource_name)

    def test_the_names_of_several_resources_are_read_at_once(self) -> None:
        for master_id, key in (("u1", {"name": "a"}), ("u2", {"name": "b"}), ("u3", None)):
            self.accept(self.open(master_id=master_id), master_id=master_id, natural_key=key)
        self.assertEqual(
            {"u1": {"name": "a"}, "u2": {"name": "b"}},
            resources.natural_keys(self.database, "identity", ["u1", "u2", "u3", "u4"]),
        )

    def test_an_accepted_change_tells_the_name_of_its_resource(self) -> None:
        self.assertIsNone(self.key())
        self.accept(self.open(), natural_key={"name": "Ålice\n\U0001f600", "domain_id": None})
        self.assertEqual({"name": "Ålice\n\U0001f600", "domain_id": None}, self.key())
        self.accept(self.open(), natural_key={"name": "renamed", "domain_id": None})
        self.assertEqual({"name": "renamed", "domain_id": None}, self.key())

    def test_a_change_that_tells_no_name_keeps_the_one_that_is_known(self) -> None:
        self.accept(self.open(), natural_key={"name": "a"})
        self.accept(self.open(), natural_key=None)
        self.assertEqual({"name": "a"}, self.key())

    def test_a_deleted_resource_keeps_its_name_for_those_who_still_have_it(self) -> None:
        self.accept(self.open(), natural_key={"name": "a"})
        self.assertFalse(self.deleted())
        self.accept(self.open(Operation.DELETE), Operation.DELETE)
        self.assertTrue(self.deleted())
        self.assertEqual({"name": "a"}, self.key())

    def test_an_id_that_comes_back_is_not_deleted_any_more(self) -> None:
        for operation, deleted in (
            (Operation.CREATE, False),
            (Operation.DELETE, True),
            (Operation.CREATE, False),
        ):
            job = self.open(operation, "g1/u1", "group_member")
            self.accept(job, operation, "g1/u1")
            self.assertEqual(deleted, self.deleted())
        self.assertEqual(1, self.count(resource))

    def test_ids_that_differ_only_in_case_are_different_resources(self) -> None:
        for master_id in ("abc", "ABC", "äbc"):
            self.accept(
                self.open(master_id=master_id),
                master_id=master_id,
                natural_key={"name": master_id},
            )
        self.assertEqual(3, self.count(resource))
        self.assertEqual(
            {"name": "ABC"}, resources.natural_key(self.database, "identity", "user", "ABC")
        )


@databases.on_every_backend
class FinishTest(JobsTestCase):
    def test_secrets_go_when_the_last_request_is_completed(self) -> None:
        builders.add_subclouds(self.database, 2)
        job = self.open()
        self.accept(job)
        lanes.request(self.database, ["identity"])
        for lane in builders.claim(self.database):
            self.assertEqual(0, jobs.finish(self.database, [job.id]))
            self.assertEqual(builders.CIPHER, self.stored_info(job))
            builders.finish_requests(self.database, lane)
        self.assertEqual(1, jobs.finish(self.database, [job.id]))
        self.assertIsNone(self.stored_info(job))
        finished = self.summary(job).job.finished_at
        self.assertIsNotNone(finished)
        self.assertEqual(0, jobs.finish(self.database, [job.id]))
        self.assertEqual(finished, self.summary(job).job.finished_at)

    def test_a_failed_request_keeps_what_its_retry_will_need(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        self.accept(job)
        builders.run_lane(self.database, RequestState.FAILED)
        self.assertEqual(0, jobs.finish(self.database, [job.id]))
        self.assertEqual(builders.CIPHER, self.stored_info(job))
        orch_requests.retry(self.database, job.id)
        builders.run_lane(self.database)
        self.assertEqual(1, jobs.finish(self.database, [job.id]))
        self.assertIsNone(self.stored_info(job))

    def test_a_retried_request_keeps_the_job_unfinished(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        self.accept(job)
        builders.run_lane(self.database, RequestState.FAILED)
        orch_requests.retry(self.database, job.id)
        self.assertEqual(0, jobs.finish(self.database))
        self.assertEqual(builders.CIPHER, self.stored_info(job))

    def test_only_the_named_jobs_are_looked_at_or_all(self) -> None:
        builders.add_subcloud(self.database)
        three = [self.open(master_id=f"u{index}") for index in range(3)]
        for job in three:
            self.accept(job, master_id=str(job.master_id))
        builders.run_lane(self.database)
        self.assertEqual(0, jobs.finish(self.database, []))
        self.assertEqual(1, jobs.finish(self.database, [three[1].id]))
        self.assertEqual([False, True, False], [self.stored_info(job) is None for job in three])
        self.assertEqual(2, jobs.finish(self.database))

    def test_an_open_job_is_never_finished(self) -> None:
        job = self.open()
        self.assertEqual(0, jobs.finish(self.database))
        self.assertEqual(builders.CIPHER, self.stored_info(job))

    def test_a_job_without_any_subcloud_is_finished_at_once(self) -> None:
        job = self.open()
        self.assertEqual(0, self.accept(job))
        self.assertIsNone(self.stored_info(job))
        self.assertIsNotNone(self.summary(job).job.finished_at)
        self.assertEqual(0, jobs.finish(self.database))

    def test_a_deleted_subcloud_keeps_no_job_unfinished(self) -> None:
        builders.add_subcloud(self.database)
        job = self.open()
        self.accept(job)
        subclouds.set_management(self.database, "one", Management.UNMANAGED)
        subclouds.delete(self.database, "one")
        self.assertEqual(1, jobs.finish(self.database))


@databases.on_every_backend
class ListTest(JobsTestCase):
    def test_pages_lead_from_the_newest_to_the_oldest(self) -> None:
        opened = [self.open(master_id=f"u{index}") for index in range(7)]
        seen: list[str] = []
        while page := jobs.list_page(self.database, limit=3, marker=seen[-1] if seen else None):
            self.assertLessEqual(len(page), 3)
            seen += [summary.job.uuid for summary in page]
        self.assertEqual([job.uuid for job in reversed(opened)], seen)

    def test_a_list_can_be_cut_to_one_state(self) -> None:
        accepted, still_open = self.open(), self.open(master_id="u2")
        self.accept(accepted)
        for state, job in (
            (JobState.COMPLETED, accepted),
            (JobState.OPEN, still_open),
        ):
            page = jobs.list_page(self.database, limit=10, only=JobFilter(state=state))
            self.assertEqual([job.uuid], [summary.job.uuid for summary in page])

    def test_a_list_counts_the_requests_of_each_job_by_state(self) -> None:
        builders.add_subclouds(self.database, 2)
        first = self.open()
        self.accept(first, natural_key={"name": "a"})
        lanes.request(self.database, ["identity"])
        done, failed = builders.claim(self.database)
        builders.finish_requests(self.database, done)
        builders.finish_requests(self.database, failed, RequestState.FAILED)
        second = self.open(master_id="u2")
        self.accept(second, master_id="u2")
        newest, oldest = jobs.list_page(self.database, limit=10)
        self.assertEqual({RequestState.QUEUED: 2}, newest.counts)
        self.assertEqual({RequestState.COMPLETED: 1, RequestState.FAILED: 1}, oldest.counts)

    def test_an_unknown_marker_or_job_is_not_found(self) -> None:
        with self.assertRaisesRegex(NotFound, "no job nowhere"):
            jobs.list_page(self.database, limit=1, marker="nowhere")
        with self.assertRaisesRegex(NotFound, "no job nowhere"):
            jobs.get(self.database, "nowhere")

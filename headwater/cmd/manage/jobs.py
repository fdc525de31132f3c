# SPDX-License-Identifier: Apache-2.0
"""headwater-manage job ..."""

import argparse
import time
from collections.abc import Iterable

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from headwater.cmd import build
from headwater.cmd.manage.columns import Columns, limit, record_columns
from headwater.common.clock import isoformat
from headwater.common.errors import DeadlineExceeded, InvalidInput
from headwater.common.states import IntentState, JobState, Operation, RequestState
from headwater.db import jobs, lanes, requests
from headwater.db.connection import Database
from headwater.db.records import JobFilter, JobSummary
from headwater.engine.submission import enqueue_work
from headwater.engine.task import ResourceInfo

#: Seconds between two looks while waiting: one indexed statement each.
_LOOK = 0.1


class ListJobs(Lister):  # type: ignore[misc]
    """List jobs, newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page and filter."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=limit, default=50, help="Most rows (default 50).")
        parser.add_argument("--marker", metavar="ID", help="List those older than this job.")
        parser.add_argument(
            "--state",
            choices=[state.value for state in JobState],
            help="'open' lists changes whose fate in the central cloud is not known, 'failed' "
            "those that were given up for some subclouds.",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[object, ...]]]:
        """One row per job."""
        state = JobState(parsed_args.state) if parsed_args.state else None
        page = jobs.list_page(
            self.app.database,
            limit=parsed_args.limit,
            marker=parsed_args.marker,
            only=JobFilter(state=state),
        )
        rows = [
            (
                summary.job.uuid,
                isoformat(summary.job.created_at),
                summary.job.resource_type,
                summary.job.operation.value,
                summary.job.resource_name,
                summary.job.user_name,
                summary.state.value,
                *_counts(summary).values(),
            )
            for summary in page
        ]
        header = (
            "ID",
            "Created at",
            "Resource",
            "Operation",
            "Name",
            "User",
            "State",
            "Completed",
            "Pending",
            "Failed",
        )
        return header, rows


class _OneJob(Command):  # type: ignore[misc]
    """A command on one job."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "id", metavar="ID", help="Id of the job, as in the answer's header X-Headwater-Job."
        )
        return parser


class Show(_OneJob, ShowOne):  # type: ignore[misc]
    """Show a job: what changed, who asked, how far it has come."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        return record_columns(_view(jobs.get(self.app.database, parsed_args.id)))


class ListRequests(_OneJob, Lister):  # type: ignore[misc]
    """List a job's requests, one per subcloud.

    Milliseconds run from the central cloud's answer to the end of the replay. Tries count a
    subcloud's answers: waiting for one that does not answer uses none up.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Page."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=limit, default=1000, help="Most rows (default 1000).")
        parser.add_argument("--marker", default="", help="List those behind this subcloud.")
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[object, ...]]]:
        """One row per subcloud."""
        job = jobs.get(self.app.database, parsed_args.id).job
        rows = []
        for request in requests.of_job(
            self.app.database, job.id, limit=parsed_args.limit, after=parsed_args.marker
        ):
            elapsed = None
            if job.accepted_at is not None and request.finished_at is not None:
                elapsed = round((request.finished_at - job.accepted_at).total_seconds() * 1000)
            rows.append(
                (
                    request.region_name,
                    request.state.value,
                    request.try_count,
                    elapsed,
                    request.error,
                )
            )
        return ("Subcloud", "State", "Tries", "Milliseconds", "Note"), rows


class Wait(_OneJob, ShowOne):  # type: ignore[misc]
    """Wait until every request of a job has run, then show it. Fails when one failed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Bound the wait."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--timeout",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="Longest wait (default 60).",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Look until nothing is pending."""
        summary = wait(self.app.database, parsed_args.id, parsed_args.timeout)
        if _counts(summary)["failed"]:
            raise InvalidInput(
                f"{_counts(summary)['failed']} requests failed; "
                f"'job requests {parsed_args.id}' says why, 'job retry' tries again."
            )
        return record_columns(_view(summary))


class Retry(_OneJob):
    """Try the failed requests of a job again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Queue them and let their lanes run."""
        number = self.app.fleet.retry(jobs.get(self.app.database, parsed_args.id).job)
        self.app.stdout.write(f"{number} requests are queued again.\n")


class Cancel(_OneJob):
    """Give up what a job has not brought to subclouds yet, and what failed.

    What a subcloud lacks by that, its next audit finds: it runs at once.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Cancel, and say what cannot be stopped any more."""
        number, running = self.app.fleet.cancel(jobs.get(self.app.database, parsed_args.id).job)
        self.app.stdout.write(f"{number} requests are cancelled, {running} run and will end.\n")


class Settle(_OneJob):
    """Decide about an open job that headwater cannot decide about itself.

    A job is open while nobody knows whether the central cloud did it. Most are settled by reading
    the central cloud; a change of a password cannot be read.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the decision."""
        parser = super().get_parser(prog_name)
        decision = parser.add_mutually_exclusive_group(required=True)
        decision.add_argument(
            "--accept", action="store_true", help="The central cloud did it: replay it."
        )
        decision.add_argument(
            "--drop", action="store_true", help="The central cloud did not do it: forget it."
        )
        parser.add_argument(
            "--resource-id",
            metavar="ID",
            help="The id in the central cloud; needed to accept a create.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Accept or drop."""
        opened = self.app.database
        job = jobs.get(opened, parsed_args.id).job
        encrypted = jobs.open_info(opened, job.id)
        if parsed_args.drop:
            jobs.drop_intent(opened, job.id)
            return
        master_id = job.master_id or parsed_args.resource_id
        if master_id is None:
            raise InvalidInput("--resource-id: is needed, the job does not know what it created.")
        info = ResourceInfo.from_json(self.app.key_ring.decrypt(encrypted))
        endpoint_type = self.app.registry.endpoint_type(job.endpoint_type)
        resource = self.app.registry.resource(job.endpoint_type, job.resource_type)
        reader = build.central_reader(self.app.conf, endpoint_type)
        there = reader.state(resource, master_id) is not None
        if there is (job.operation is Operation.DELETE):
            state = "still has" if there else "has no"
            raise InvalidInput(f"The central cloud {state} {resource.name} {master_id}.")
        number = enqueue_work(
            opened,
            self.app.key_ring,
            job,
            # A create is brought to what the central cloud has, with the secrets of its body.
            operation=Operation.ALIGN if job.operation is Operation.CREATE else job.operation,
            master_id=master_id,
            natural_key=info.key_before,
            resource_name=job.resource_name,
            has_secrets=bool(resource.secrets & set(info.fields or ())),
            info=info,
        )
        lanes.request(opened, [job.endpoint_type])
        self.app.stdout.write(f"{number} requests are queued.\n")


def wait(database: Database, job_uuid: str, timeout: float) -> JobSummary:
    """The job once nothing of it is pending; raises DeadlineExceeded after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        summary = jobs.get(database, job_uuid)
        counts = _counts(summary)
        if summary.job.intent_state is IntentState.ACCEPTED and not counts["pending"]:
            return summary
        if time.monotonic() >= deadline:
            raise DeadlineExceeded(
                f"After {timeout:g} s, {counts['pending']} requests of job {job_uuid} are pending."
            )
        time.sleep(_LOOK)


def _counts(summary: JobSummary) -> dict[str, int]:
    return {
        "completed": summary.counts.get(RequestState.COMPLETED, 0),
        "pending": summary.pending,
        "failed": summary.counts.get(RequestState.FAILED, 0),
    }


def _view(summary: JobSummary) -> dict[str, object]:
    job = summary.job
    return {
        "id": job.uuid,
        "endpoint_type": job.endpoint_type,
        "resource_type": job.resource_type,
        "operation": job.operation.value,
        "resource_id": job.master_id,
        "resource_name": job.resource_name,
        "state": summary.state.value,
        **_counts(summary),
        "user_id": job.user_id,
        "user_name": job.user_name,
        "project_id": job.project_id,
        "request_id": job.request_id,
        "created_at": isoformat(job.created_at),
        "accepted_at": isoformat(job.accepted_at),
        "finished_at": isoformat(job.finished_at),
    }

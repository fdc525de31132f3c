# SPDX-License-Identifier: Apache-2.0
"""openstack orchestration job ..."""

import argparse
import itertools

from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import events, options, waiting
from headwater.client.columns import Columns, Rows
from headwater.client.progress import Progress
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne

#: Failed subclouds that 'job wait' names.
_MOST_NAMED = 20

_STATES = ["queued", "in-progress", "completed", "failed", "cancelled"]


class ListJobs(command.Lister):  # type: ignore[misc]
    """List jobs, the newest first: one per change that went through the gateway, or per repair."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        for name, metavar, text in (
            ("endpoint-type", "name", "Only changes of this endpoint type, such as identity."),
            ("resource-type", "type", "Only changes of such resources, such as user."),
            ("resource", "id", "Only changes of the resource with this id in the central cloud."),
            ("subcloud", "subcloud", "Only those that are for this subcloud."),
            ("user", "user", "Only those of the user with this id or name."),
            ("project", "project-id", "Only those made in this project."),
            ("request-id", "id", "Only those with this request id of the client's."),
        ):
            parser.add_argument(f"--{name}", metavar=f"<{metavar}>", help=text)
        parser.add_argument(
            "--state",
            choices=["open", "in-progress", "failed", "completed"],
            help="'open': whether the central cloud did it is not known yet.",
        )
        parser.add_argument(
            "--since",
            type=options.moment,
            metavar="<time>",
            help="Only those made then or later: 2026-03-01T12:00, or 30m, 2h, 1d ago.",
        )
        options.add_paging(parser, "job", 50)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per job."""
        found = self.app.client_manager.headwater.pages(
            "/v1/jobs",
            "jobs",
            parsed_args.limit,
            marker=parsed_args.marker,
            endpoint_type=parsed_args.endpoint_type,
            resource_type=parsed_args.resource_type,
            resource_id=parsed_args.resource,
            state=parsed_args.state,
            subcloud=parsed_args.subcloud,
            user=parsed_args.user,
            project_id=parsed_args.project,
            request_id=parsed_args.request_id,
            since=parsed_args.since,
        )
        header = (
            "ID",
            "Created at",
            "Operation",
            "Resource",
            "Name",
            "User",
            "State",
            "Completed",
            "Pending",
            "Failed",
        )
        return header, (
            (
                each["id"],
                each["created_at"],
                each["operation"],
                each["resource_type"],
                each["resource_name"],
                each["user_name"],
                each["state"],
                each["requests"]["completed"],
                each["requests"]["queued"] + each["requests"]["in-progress"],
                each["requests"]["failed"],
            )
            for each in found
        )


class _OneJob(OnOne):
    """A command on one job."""

    argument = (
        "job",
        "job",
        "Id of the job, as in the answer's header X-Headwater-Job, or the client's own request id.",
    )


class Show(_OneJob, command.ShowOne):  # type: ignore[misc]
    """Show a job: what changed, who asked, how far it has come."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        job = self.api.get(path_of("jobs", parsed_args.job))["job"]
        shown = {**job, "requests": format_columns.DictColumn(job["requests"])}
        return tuple(shown), tuple(shown.values())


class ListRequests(_OneJob, command.Lister):  # type: ignore[misc]
    """List what becomes of a job on each subcloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--state", choices=_STATES, help="Only those in this state.")
        options.add_paging(parser, "subcloud")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per subcloud."""
        found = self.api.pages(
            path_of("jobs", parsed_args.job, "requests"),
            "requests",
            parsed_args.limit,
            marker=parsed_args.marker,
            state=parsed_args.state,
        )
        names = ("subcloud", "state", "try_count", "started_at", "finished_at", "error")
        header = ("Subcloud", "State", "Tries", "Started at", "Finished at", "Note")
        return header, (tuple(each[name] for name in names) for each in found)


class Retry(_OneJob):
    """Let the failed requests of a job run again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Queue them."""
        number = self.api.send("POST", path_of("jobs", parsed_args.job, "retry"), {})["requests"]
        self.app.stdout.write(f"{number} requests are queued again.\n")


class Cancel(_OneJob):
    """Give up what a job has not brought to subclouds yet, and what failed.

    What a subcloud lacks by that, its next audit finds: it runs at once.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Cancel, and say what cannot be stopped any more."""
        done = self.api.send("POST", path_of("jobs", parsed_args.job, "cancel"), {})
        self.app.stdout.write(
            f"{done['cancelled']} requests are cancelled, {done['running']} run and will end.\n"
        )


class Wait(_OneJob):
    """Wait until a job has run on every subcloud, and watch it.

    Exit code 0: everywhere; 1: it failed or was cancelled somewhere; 3: after --timeout.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the patience."""
        parser = super().get_parser(prog_name)
        waiting.add_timeout(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Follow it to its end, or to that of the patience."""
        progress = Progress(self.app.stdout)
        job = waiting.to_its_end(
            self.app, events.JOB, parsed_args.job, progress, parsed_args.timeout
        )
        return job if isinstance(job, int) else self._outcome(job)

    def _outcome(self, job: Json) -> int:
        counts = job["requests"]
        if not counts["failed"] and not counts["cancelled"]:
            return 0
        path = path_of("jobs", job["id"], "requests")
        if counts["failed"]:
            failed = self.api.pages(path, "requests", state="failed")
            for each in itertools.islice(failed, _MOST_NAMED):
                self.app.stderr.write(f"{each['subcloud']}: {each['error']}\n")
            if counts["failed"] > _MOST_NAMED:
                self.app.stderr.write(f"... and {counts['failed'] - _MOST_NAMED} more\n")
            self.app.stderr.write(
                f"When the cause is mended: openstack orchestration job retry {job['id']}\n"
            )
        return waiting.FAILED

# SPDX-License-Identifier: Apache-2.0
"""The cloud admin of the demo: what they type, and what became of it on every subcloud."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from headwater.common.states import PENDING, RequestState
from headwater.db import jobs
from headwater.db import requests as orch_requests
from headwater.db.connection import connect
from headwater.db.records import Job, JobFilter, JobSummary
from tools.demo_installation import DemoFailed, Installation, openstack
from tools.demo_screen import paint

REPLAY_PATIENCE = 20.0
"""Seconds for a replay, which takes well under one."""


def _password() -> str:
    # Hexadecimal: it never begins with a dash, which would make it an option.
    return secrets.token_hex(10)


@dataclass(frozen=True)
class Story:
    """The names and passwords that commands and checks share."""

    user: str = "alice"
    email: str = "alice@example.org"
    first_password: str = field(default_factory=_password)
    new_password: str = field(default_factory=_password)
    project: str = "shop"
    new_project: str = "hat-shop"
    project_description: str = "Sells hats"
    role: str = "operator"
    group: str = "night-shift"
    leaver: str = "bob"
    leaver_password: str = field(default_factory=_password)

    @property
    def passwords(self) -> tuple[str, ...]:
        """What must not be printed."""
        return (self.first_password, self.new_password, self.leaver_password)

    def commands(self) -> list[tuple[str, ...]]:
        """Return the arguments of openstack, in the order in which they build on each other."""
        described = ("--description", self.project_description)
        return [
            (
                *("user", "create", "--password", self.first_password),
                *("--email", self.email, self.user),
            ),
            ("project", "create", *described, self.project),
            ("role", "create", self.role),
            ("group", "create", self.group),
            ("group", "add", "user", self.group, self.user),
            ("role", "add", "--user", self.user, "--project", self.project, self.role),
            ("user", "set", "--password", self.new_password, self.user),
            ("project", "set", "--name", self.new_project, self.project),
            ("user", "create", "--password", self.leaver_password, self.leaver),
            ("user", "delete", self.leaver),
        ]


@dataclass(frozen=True)
class Replay:
    """One job on one subcloud."""

    subcloud: str
    state: RequestState
    tries: int
    #: From the central cloud's answer to the end of the replay.
    milliseconds: int | None
    error: str | None


@dataclass(frozen=True)
class Report:
    """What became of one command."""

    requests: Sequence[Replay]

    @property
    def completed(self) -> bool:
        """Whether every subcloud has it."""
        return all(request.state is RequestState.COMPLETED for request in self.requests)


class Admin:
    """Types commands, and reads from headwater's database what they caused.

    `openstack orchestration job list` and `job request list` print the same, and would take a
    second each.
    """

    def __init__(self, installation: Installation):
        self.story = Story()
        self._installation = installation
        self._database = connect(installation.database_url)
        #: The id of the newest job.
        self.last_job = ""
        self._last_row = 0

    def close(self) -> None:
        """Close the database."""
        self._database.dispose()

    def run(self, arguments: tuple[str, ...]) -> Report:
        """Run one command, wait for its replays and print what happened."""
        print()
        openstack(self._installation, *arguments, secrets=self.story.passwords)
        summary = self._new_job()
        job = summary.job
        # Memberships and role assignments have no name, only ids.
        name = job.resource_name or ""
        print(f"  job {job.uuid}: {job.operation.value} {job.resource_type} {name}".rstrip())
        replays = self._wait(job)
        for replay in replays:
            _print_replay(replay)
        return Report(replays)

    def _new_job(self) -> JobSummary:
        """Return the job of the command that has just ended; it was stored before the answer."""
        # Audits make jobs of their own.
        newest = jobs.list_page(self._database, limit=10, only=JobFilter(user="admin"))
        new = [summary for summary in newest if summary.job.id > self._last_row]
        if len(new) != 1:
            raise DemoFailed(f"the command caused {len(new)} jobs instead of one")
        self._last_row, self.last_job = new[0].job.id, new[0].job.uuid
        return new[0]

    def _wait(self, job: Job) -> list[Replay]:
        """Return the job's requests once all have ended, or as they are when patience ends."""
        limit = time.monotonic() + REPLAY_PATIENCE
        while True:
            found = orch_requests.of_job(self._database, job.id, limit=100)
            if time.monotonic() > limit or not any(one.state in PENDING for one in found):
                break
            time.sleep(0.02)
        if len(found) != len(self._installation.subclouds):
            raise DemoFailed(f"job {job.uuid} has {len(found)} requests, not one per subcloud")
        return [
            Replay(
                subcloud=one.region_name,
                state=one.state,
                tries=one.try_count,
                milliseconds=(
                    round((one.finished_at - job.accepted_at).total_seconds() * 1000)
                    if one.finished_at and job.accepted_at
                    else None
                ),
                error=one.error,
            )
            for one in found
        ]


def _print_replay(replay: Replay) -> None:
    good = replay.state is RequestState.COMPLETED
    tries = f"{replay.tries} try" if replay.tries == 1 else f"{replay.tries} tries"
    elapsed = "" if replay.milliseconds is None else f"{replay.milliseconds} ms after the answer"
    state = paint(replay.state.value.ljust(11), "good" if good else "bad")
    print(f"    {replay.subcloud}  {state}  {tries}  {elapsed}".rstrip())
    if not good and replay.error:
        print(f"      {replay.error}")

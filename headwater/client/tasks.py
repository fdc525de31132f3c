# SPDX-License-Identifier: Apache-2.0
"""openstack pod task ..., and what commands that order something have in common."""

import argparse
from collections.abc import Sequence
from typing import Any

from osc_lib import exceptions
from osc_lib.cli import format_columns
from osc_lib.command import command

from headwater.client import events, options, waiting
from headwater.client.columns import Columns, Rows
from headwater.client.progress import TaskProgress
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne

#: Seconds that a command waits for one answer; then it watches.
_PATIENCE = 20


def add_wait(parser: argparse.ArgumentParser) -> None:
    """--wait and --deadline."""
    parser.add_argument(
        "--wait", action="store_true", help="Watch it to its end (exit code 1 where it failed)."
    )
    parser.add_argument(
        "--deadline",
        type=options.positive,
        metavar="<seconds>",
        help="Give it up after so long (default: 10 minutes; an hour for firmware and batches).",
    )


def with_deadline(parsed_args: argparse.Namespace, body: Json) -> Json:
    """A body with the deadline, where one is given."""
    if parsed_args.deadline is None:
        return body
    return {**body, "deadline": parsed_args.deadline}


def add_power(parser: argparse.ArgumentParser, noun: str, text: str) -> None:
    """A power action, one or more of NOUN, and --wait."""
    parser.add_argument(
        "action",
        choices=["on", "off", "shutdown", "reset"],
        help="'off' does not ask the operating system; 'shutdown' does.",
    )
    parser.add_argument(f"{noun}s", metavar=f"<{noun}>", nargs="+", help=text)
    add_wait(parser)


def ordered(app: Any, tasks: Sequence[Json], *, wait: bool) -> int:
    """Name the tasks that were ordered, or watch them; the exit code."""
    if not wait:
        for task in tasks:
            app.stdout.write(f"Task {task['id']}\n")
        return 0
    codes = [_watch(app, task["id"], None) for task in tasks]
    return max(codes, default=0)


def add_refresh(parser: argparse.ArgumentParser) -> None:
    """--refresh."""
    parser.add_argument("--refresh", action="store_true", help="Read it anew before it is shown.")


def refresh(app: Any, path: str, **query: object) -> None:
    """Let what a path shows be read anew. CommandError where that fails."""
    answer = app.client_manager.headwater.get(path, refresh=_PATIENCE, **query)
    if "task" in answer:
        _result(app, answer["task"]["id"])


def read(app: Any, path: str, noun: str) -> Json:
    """What a pod is asked when it is asked for. CommandError where that fails."""
    answer = app.client_manager.headwater.get(path)
    found: Json = _result(app, answer["task"]["id"]) if "task" in answer else answer[noun]
    return found


def made(app: Any, task: Json) -> bool:
    """Watch a task on stderr, for commands whose output is a document; whether it completed."""
    return _watch(app, task["id"], None, app.stderr) == 0


def _result(app: Any, task_id: str) -> Json:
    if _watch(app, task_id, None, app.stderr):
        raise exceptions.CommandError("It could not be read.")
    task = app.client_manager.headwater.get(path_of("tasks", task_id))["task"]
    found: Json = task["result"]
    return found


def _watch(app: Any, task_id: str, timeout: int | None, stream: Any = None) -> int:
    progress = TaskProgress(stream or app.stdout)
    task = waiting.to_its_end(app, events.TASK, task_id, progress, timeout)
    if isinstance(task, int):
        return task
    if task["state"] == "completed":
        return 0
    said = task["error"] or task["message"] or task["state"]
    app.stderr.write(f"{task['action']} of {task['machine'] or task['pod']}: {said}\n")
    return waiting.FAILED


class ListAll(command.Lister):  # type: ignore[misc]
    """List tasks, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Filter and page."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--pod", metavar="<pod>", help="Only those of this pod.")
        parser.add_argument("--machine", metavar="<id>", help="Only those of this machine.")
        parser.add_argument("--batch", metavar="<id>", help="Only those of this batch.")
        parser.add_argument(
            "--state",
            choices=["pending", "running", "waiting", "unknown", *events.TASK.ends],
            help="'unknown': an order's answer was lost, and the pod is read.",
        )
        options.add_paging(parser, "task", 50)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """One row per task."""
        found = self.app.client_manager.headwater.pages(
            "/v1/tasks",
            "tasks",
            parsed_args.limit,
            marker=parsed_args.marker,
            pod=parsed_args.pod,
            machine=parsed_args.machine,
            batch=parsed_args.batch,
            state=parsed_args.state,
        )
        names = ("id", "created_at", "action", "pod", "machine", "state", "percent")
        header = ("ID", "Created at", "Action", "Pod", "Machine", "State", "Percent", "Note")
        return header, (
            (*(each[name] for name in names), each["error"] or each["message"]) for each in found
        )


class _OneTask(OnOne):
    """A command on one task."""

    argument = ("task", "task", "Id of the task.")


class Show(_OneTask, command.ShowOne):  # type: ignore[misc]
    """Show a task: what was asked for, how far it has come, what came of it."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per property."""
        task = self.api.get(path_of("tasks", parsed_args.task))["task"]
        shown = {**task, "result": format_columns.DictColumn(task["result"] or {})}
        return tuple(shown), tuple(shown.values())


class Wait(_OneTask):
    """Wait until a task has ended, and watch it.

    Exit code 0: completed; 1: failed, cancelled or timed out; 3: after --timeout.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the patience."""
        parser = super().get_parser(prog_name)
        waiting.add_timeout(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Follow it."""
        return _watch(self.app, parsed_args.task, parsed_args.timeout)


class Cancel(_OneTask):
    """Ask a task to end: at once where it has not begun, else at its next step."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Cancel, and say how it is."""
        task = self.api.send("POST", path_of("tasks", parsed_args.task, "cancel"), {})["task"]
        self.app.stdout.write(f"The task is {task['state']}.\n")

# SPDX-License-Identifier: Apache-2.0
"""openstack pod batch ...: one action for all machines of the pods that have some labels."""

import argparse
import time

from osc_lib.command import command

from headwater.client import options, tasks, waiting
from headwater.client.columns import Columns
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne

#: Seconds between two looks.
_LOOK = 1.0


class Create(command.Command):  # type: ignore[misc]
    """Do something to all machines of the pods that have some labels, a few at a time."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what and where."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "action",
            choices=["on", "off", "shutdown", "reset", "sync", "read-storage", "read-ports"],
            help="A power action, or what is read anew.",
        )
        options.add_labels(parser, "That a pod has to have; of several all.", required=True)
        parser.add_argument(
            "--budget",
            type=options.positive,
            metavar="<number>",
            help="Most of it that is open at a time on one pod (default: 5).",
        )
        parser.add_argument(
            "--nodes", action="store_true", help="Also machines that somebody has to himself."
        )
        tasks.add_wait(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        batch: Json = {
            "action": parsed_args.action.replace("-", "_"),
            "labels": dict(parsed_args.label),
            "nodes": parsed_args.nodes,
        }
        if parsed_args.budget is not None:
            batch["budget"] = parsed_args.budget
        api = self.app.client_manager.headwater
        body = tasks.with_deadline(parsed_args, {"batch": batch})
        made = api.send("POST", "/v1/batches", body)["batch"]
        self.app.stdout.write(f"Batch {made['id']} of {made['total']} tasks\n")
        while parsed_args.wait and _open(made):
            time.sleep(_LOOK)
            made = api.get(path_of("batches", made["id"]))["batch"]
            self.app.stdout.write(f"{made['total'] - _open(made)} of {made['total']} ended\n")
        failed = made["total"] - made["states"]["completed"] - _open(made)
        if failed:
            self.app.stderr.write(f"{failed} did not succeed; 'pod task list --batch' says why.\n")
        return waiting.FAILED if failed else 0


class Show(OnOne, command.ShowOne):  # type: ignore[misc]
    """Show how many tasks of a batch are in which state."""

    argument = ("batch", "batch", "Id of the batch.")

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """One field per state."""
        batch = self.api.get(path_of("batches", parsed_args.batch))["batch"]
        shown = {"id": batch["id"], "total": batch["total"], **batch["states"]}
        return tuple(shown), tuple(shown.values())


def _open(batch: Json) -> int:
    states: dict[str, int] = batch["states"]
    return sum(states[name] for name in ("pending", "running", "waiting", "unknown"))

# SPDX-License-Identifier: Apache-2.0
"""openstack pod batch ...: one action for all machines of the pods that have some labels."""

import argparse
import time

from osc_lib.command import command

from headwater.client import options, waiting
from headwater.client.columns import Columns
from headwater.client.rest import Json, path_of
from headwater.client.single import OnOne

#: Seconds between two looks.
_LOOK = 1.0

_ACTIONS = {"sync": "sync", "read-storage": "read_storage", "read-ports": "read_ports"}
_POWER = ("on", "off", "shutdown", "reset")


class Create(command.Command):  # type: ignore[misc]
    """Do something to all machines of the pods that have some labels, a few at a time."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what and where."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "action",
            choices=[*_POWER, *_ACTIONS],
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
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Watch it to its end (exit code 1 where some of it failed).",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Order it."""
        batch: Json = {"labels": dict(parsed_args.label), "nodes": parsed_args.nodes}
        if parsed_args.action in _POWER:
            batch.update(action="power", power=parsed_args.action)
        else:
            batch["action"] = _ACTIONS[parsed_args.action]
        if parsed_args.budget is not None:
            batch["budget"] = parsed_args.budget
        api = self.app.client_manager.headwater
        made = api.send("POST", "/v1/batches", {"batch": batch})["batch"]
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

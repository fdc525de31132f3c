# SPDX-License-Identifier: Apache-2.0
"""headwater-manage endpoints ..."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from cliff.command import Command
from cliff.lister import Lister

from headwater.common.endpoints import loader
from headwater.common.endpoints.registry import load_registry


class ListTypes(Lister):  # type: ignore[misc]
    """List what the gateway fronts: every resource of every enabled endpoint type."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[str, ...]]]:
        """One row per resource."""
        rows = [
            (endpoint_type.name, resource.name, call.method, call.path.text, call.operation.value)
            for endpoint_type in self.app.registry
            for resource in endpoint_type.resources.values()
            for call in resource.calls
        ]
        return ("Endpoint type", "Resource", "Method", "Path", "Operation"), rows


class Validate(Command):  # type: ignore[misc]
    """Check an endpoint file, or all that the configuration names."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take an optional file."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="File to check.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Say that it is right, or fail with file, key and reason."""
        if parsed_args.file is not None:
            checked = [loader.load_file(parsed_args.file)]
        else:
            checked = list(load_registry(self.app.conf.endpoints.directory))
        for endpoint_type in checked:
            self.app.stdout.write(
                f"{endpoint_type.source}: {endpoint_type.name} is valid, "
                f"{len(endpoint_type.resources)} resources.\n"
            )

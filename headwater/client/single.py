# SPDX-License-Identifier: Apache-2.0
"""Commands on one thing, which their first argument names."""

import argparse
from typing import ClassVar

from osc_lib.command import command

from headwater.client.rest import Api


class OnOne(command.Command):  # type: ignore[misc]
    """A command on one thing."""

    #: Where the argument stands among the parsed ones, how help calls it, and what it is.
    argument: ClassVar[tuple[str, str, str]]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take its name or id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        name, metavar, text = self.argument
        parser.add_argument(name, metavar=f"<{metavar}>", help=text)
        return parser

    @property
    def api(self) -> Api:
        """Headwater's API."""
        found: Api = self.app.client_manager.headwater
        return found

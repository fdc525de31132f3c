# SPDX-License-Identifier: Apache-2.0
"""headwater-manage secrets ..."""

import argparse

from cliff.command import Command

from headwater.cmd import build
from headwater.common.errors import Conflict
from headwater.common.secrets import KeyRing
from headwater.db import encrypted


class Create(Command):  # type: ignore[misc]
    """Create the first encryption key. Copy the key directory to every host."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write a key where there is none."""
        directory = build.key_directory(self.app.conf)
        if KeyRing.exists(directory):
            raise Conflict(f"{directory} holds keys already; 'secrets rotate' adds one.")
        self.app.stdout.write(f"Wrote {KeyRing.add_key(directory)}.\n")


class Rotate(Command):  # type: ignore[misc]
    """Add an encryption key and encrypt everything stored with it.

    With several hosts: run with --only-add on one, copy the new key file to all others, then run
    with --only-encrypt. Older key files can be removed after that.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the two halves as options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        half = parser.add_mutually_exclusive_group()
        half.add_argument("--only-add", action="store_true", help="Add the key, encrypt nothing.")
        half.add_argument(
            "--only-encrypt", action="store_true", help="Encrypt with the newest key, add none."
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Rotate."""
        directory = build.key_directory(self.app.conf)
        if not parsed_args.only_encrypt:
            self.app.key_ring  # noqa: B018 - an unreadable directory must not get a new first key
            self.app.stdout.write(f"Wrote {KeyRing.add_key(directory)}.\n")
        if not parsed_args.only_add:
            ring = KeyRing(directory)
            number = encrypted.rewrite(self.app.database, ring.renew)
            self.app.stdout.write(f"Encrypted {number} values with the newest key.\n")

# SPDX-License-Identifier: Apache-2.0
"""Passwords of subclouds and pods: never an argument, which anybody on the machine could read."""

import getpass
import os
import sys
from pathlib import Path

from osc_lib import exceptions

#: Names of the environment variables.
VARIABLE = "HEADWATER_SUBCLOUD_PASSWORD"
POD_VARIABLE = "HEADWATER_POD_PASSWORD"


def read(file: Path | None, variable: str = VARIABLE) -> str:
    """The password from the first line of a file, the environment, or a prompt. CommandError."""
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            raise exceptions.CommandError(f"--password-file {file}: {error}") from error
        password = lines[0] if lines else ""
    elif variable in os.environ:
        password = os.environ[variable]
    elif sys.stdin.isatty():
        password = getpass.getpass("Password of the user there: ")
        if getpass.getpass("The same again: ") != password:
            raise exceptions.CommandError("The two passwords differ.")
    else:
        raise exceptions.CommandError(
            f"No password: set {variable}, give --password-file, or run it on a terminal."
        )
    if not password:
        raise exceptions.CommandError("The password is empty.")
    return password

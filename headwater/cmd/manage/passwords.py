# SPDX-License-Identifier: Apache-2.0
"""Where passwords come from: a file, the environment or a prompt, never an argument."""

import getpass
import os
import sys
from pathlib import Path

from headwater.common.errors import InvalidInput

VARIABLE = "HEADWATER_SUBCLOUD_PASSWORD"


def read(file: Path | None) -> str:
    """The password in the first line of a file, in the environment, or typed twice.

    Raises InvalidInput when there is none and nobody to ask.
    """
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"--password-file {file}: cannot be read: {error}") from error
        password = text.partition("\n")[0]
    elif VARIABLE in os.environ:
        password = os.environ[VARIABLE]
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Repeat the password: "):
            raise InvalidInput("The two passwords differ.")
    else:
        raise InvalidInput(
            f"No password: use --password-file, set {VARIABLE}, or run at a terminal."
        )
    if not password:
        raise InvalidInput("The password is empty.")
    return password

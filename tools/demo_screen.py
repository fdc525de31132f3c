# SPDX-License-Identifier: Apache-2.0
"""What the demo's output looks like: colour on terminals, steps with their duration, tables."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Collection, Iterator, Sequence

COLOURS = {"good": "32", "bad": "1;31", "command": "1", "faint": "2"}


def paint(text: str, colour: str) -> str:
    """Return the text in a colour of COLOURS, where colour can be seen and is wanted."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Print the text at once and, when the block ends, the seconds that it took."""
    print(f"{text} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print()
        raise
    print(f"{time.monotonic() - started:.1f} s")


def print_command(words: Sequence[str], secrets: Collection[str] = ()) -> None:
    """Print a command as one would type it, with *** in the place of each secret."""
    line = shlex.join(words)
    for secret in secrets:
        line = line.replace(secret, "***")
    print(paint(f"$ {line}", "command"))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; "ok" is good, "MISSING" is bad."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(cells).rstrip()
        for word, colour in (("ok", "good"), ("MISSING", "bad")):
            if word in row[1:]:
                line = line.replace(f"  {word}", f"  {paint(word, colour)}")
        print(f"  {line}")

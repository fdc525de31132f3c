# SPDX-License-Identifier: Apache-2.0
"""Commands that watch something to its end."""

import argparse
import time
from typing import Any

from headwater.client import events, options
from headwater.client.events import Kind
from headwater.client.progress import Progress
from headwater.client.rest import Api, Json, path_of

#: Exit codes: not successful; after the patience; interrupted.
FAILED, _TIMEOUT, _INTERRUPTED = 1, 3, 130


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """--timeout."""
    parser.add_argument(
        "--timeout",
        type=options.positive,
        metavar="<seconds>",
        help="Wait no longer (default: as long as it takes).",
    )


def to_its_end(
    app: Any, kind: Kind, name: str, progress: Progress, timeout: int | None
) -> Json | int:
    """The document at its end, or the exit code when the patience or the user ended first."""
    try:
        found = _follow(app.client_manager.headwater, kind, name, progress, timeout)
    except KeyboardInterrupt:
        progress.end()
        app.stderr.write(f"The {kind.one} goes on without you.\n")
        return _INTERRUPTED
    progress.end()
    if found is None:
        app.stderr.write(f"Not done after {timeout} s; the {kind.one} goes on.\n")
        return _TIMEOUT
    return found


def _follow(
    api: Api, kind: Kind, name: str, progress: Progress, timeout: int | None
) -> Json | None:
    if timeout is None:
        found: Json = {}
        for found in events.follow(api, kind, name):
            progress.show(found)
        return found
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        wait = round(max(0.0, min(left, 1.0)), 3)
        found = api.get(path_of(kind.noun, name), wait=wait)[kind.one]
        progress.show(found)
        if found["state"] in kind.ends:
            return found
        if left <= 0:
            return None

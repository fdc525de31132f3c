# SPDX-License-Identifier: Apache-2.0
"""The openstack command, without the second that it takes to import it.

Each call is a process of its own, forked from one that has imported openstackclient and runs
nothing else. What the command does from there on is what it does in a shell.
"""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tests.support.waiting import PATIENCE

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.openstack_imports"])


def run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `openstack ARGUMENTS` to its end; standard input is empty."""
    with tempfile.TemporaryDirectory() as directory:
        output, errors = pathlib.Path(directory, "output"), pathlib.Path(directory, "errors")
        child = _FORKS.Process(
            target=_command, args=(list(arguments), dict(environment), str(output), str(errors))
        )
        child.start()
        child.join(PATIENCE)
        if child.exitcode is None:
            child.kill()
            child.join()
        texts = [file.read_text() if file.exists() else "" for file in (output, errors)]
        code = child.exitcode
        child.close()
    if code is None or code < 0:
        raise AssertionError(f"openstack {arguments} did not end by itself ({code}): {texts}")
    return subprocess.CompletedProcess(list(arguments), code, *texts)


def _command(arguments: list[str], environment: dict[str, str], output: str, errors: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, file, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, output, os.O_WRONLY | os.O_CREAT),
        (2, errors, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(file, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    # Not at the top: it looks at this process's environment, and whoever calls `run` needs it not.
    import openstackclient.shell  # noqa: PLC0415

    sys.exit(openstackclient.shell.main(arguments))

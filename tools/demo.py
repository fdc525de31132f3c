# SPDX-License-Identifier: Apache-2.0
"""The demo's course: start all parts, act as a cloud admin, look at every subcloud, end it all.

tools/demo installs and then runs this. What the demo is made of is in the modules beside it.
"""
# ruff: noqa: E402

import signal

# Nothing runs yet: Ctrl-C during the imports just ends this process.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import types
import typing

from headwater.common.states import RequestState
from tests.services.keystone import KeystoneFailed
from tools.demo_admin import Admin, Report
from tools.demo_checks import print_checks
from tools.demo_hints import print_hints
from tools.demo_installation import (
    SUBCLOUDS,
    DemoFailed,
    Installation,
    log_tail,
    openstack,
    start,
)
from tools.demo_pods import play_pods
from tools.demo_screen import paint

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked for the end."""


def _stop(number: int, _frame: types.FrameType | None) -> typing.NoReturn:
    _leave_in_peace()
    os.write(sys.stderr.fileno(), b"\nStopping everything ...\n")
    raise Stopped(number)


def _stop_on_signals() -> None:
    for number in SIGNALS:
        # nohup has SIGHUP ignored, and means it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def _leave_in_peace() -> None:
    """Have no signal interrupt the cleaning up, whose every step has an end of its own."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    _stop_on_signals()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    started = time.monotonic()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="headwater-demo-"))
    status = 1
    try:
        with contextlib.ExitStack() as running:
            try:
                if "--pods" in sys.argv[1:]:
                    installation = start(directory, running, ())
                    status = play_pods(installation, running)
                else:
                    installation = start(directory, running, SUBCLOUDS)
                    status = _play(installation, started)
                if "--keep" in sys.argv[1:]:
                    print_hints(installation)
                    installation.gateway.wait()
            finally:
                _leave_in_peace()
    except Stopped as stopped:
        status = 128 + int(stopped.args[0])
    except (DemoFailed, KeystoneFailed) as error:
        print(f"\n{paint('The demo failed:', 'bad')} {error}", file=sys.stderr)
        print(log_tail(directory), file=sys.stderr)
        status = 1
    except BrokenPipeError:
        # Nobody reads any more, so Python must not try to write what is left either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    finally:
        if status == 1:
            print(f"Logs and databases are kept in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory)
    return status


def _play(installation: Installation, started: float) -> int:
    """Run the commands, check, and sum up; returns the exit code."""
    with contextlib.closing(Admin(installation)) as admin:
        reports = [admin.run(command) for command in admin.story.commands()]
        print()
        print(openstack(installation, "orchestration", "job", "wait", admin.last_job), end="")
    print()
    print(openstack(installation, "orchestration", "status"), end="")
    print("\nWhat the subclouds' own Keystones say:")
    complete = print_checks(installation.subclouds, admin.story)
    print(_totals(reports, time.monotonic() - started))
    return 0 if complete and all(report.completed for report in reports) else 1


def _totals(reports: list[Report], seconds: float) -> str:
    requests = [request for report in reports for request in report.requests]
    late = sum(request.state is not RequestState.COMPLETED for request in requests)
    times = [request.milliseconds for request in requests if request.milliseconds is not None]
    replay = "nothing was replayed"
    if times:
        replay = f"replayed after {statistics.median(times):.0f} ms (median), {max(times)} ms (max)"
    return (
        f"\n{len(reports)} commands, {len(requests)} requests, "
        + (f"{late} of them not completed in time, " if late else "")
        + f"{replay}, {seconds:.1f} s in all"
    )


if __name__ == "__main__":
    sys.exit(main())

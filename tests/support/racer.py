# SPDX-License-Identifier: Apache-2.0
"""A worker process whose replays do nothing but note when they ran, for `test_race`.

python -m tests.support.racer DATABASE_URL OUTPUT; ends at the end of its standard input. Each line
of OUTPUT is a lane's id, and the beginning and end of a run by this host's monotonic clock.
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - as the service runs
# isort: on

import select
import sys
import time
from collections.abc import Callable
from typing import TextIO

from headwater.db.connection import connect
from headwater.engine.execution import LaneRunner
from headwater.engine.lane_source import LaneSource
from headwater.engine.outcome import Done, Outcome
from headwater.engine.retry import Policy
from headwater.engine.task import LaneWork, Work
from headwater.engine.worker import Worker, WorkerSettings


class NoKeys:
    """Stands in for the key ring where no job has a body."""

    def decrypt(self, text: str) -> dict[str, object]:
        return {}


class Noting:
    """Notes the time from the opening of a batch to its last replay."""

    def __init__(self, output: TextIO):
        self._output = output

    def open(self, batch: LaneWork) -> "_Run":
        return _Run(self._output, batch.lane.id, batch.guard)


class _Run:
    def __init__(self, output: TextIO, lane_id: int, guard: Callable[[], None]):
        self._output, self._lane_id, self._guard = output, lane_id, guard
        self._began = time.monotonic()

    def execute(self, work: Work) -> Outcome:
        # Lets all other lanes of this process go on in between, as a call to a cloud would.
        time.sleep(0.001)
        self._guard()
        self._output.write(f"{self._lane_id} {self._began!r} {time.monotonic()!r}\n")
        return Done()


def main(url: str, output: TextIO) -> None:
    """Run lanes until standard input ends."""
    database = connect(url)
    runner = LaneRunner(
        database,
        NoKeys(),  # type: ignore[arg-type]
        Noting(output),
        policy=Policy(max_tries=3, retry_delay=1, max_retry_delay=10),
        batch=50,
        breaker_after=3,
    )
    settings = WorkerSettings(20, lease=15, poll_interval=0.5)
    worker = Worker(LaneSource(database, runner, ("identity",), 4), settings)
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # Reading would stop all green threads; this waits for the end of input without.
    select.select([sys.stdin], [], [])
    worker.stop(30)


if __name__ == "__main__":
    with open(sys.argv[2], "w") as opened:
        main(sys.argv[1], opened)

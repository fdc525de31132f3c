# SPDX-License-Identifier: Apache-2.0
"""Two worker processes race for ten thousand lanes, and no lane is run by both at a time."""

import itertools
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict

import sqlalchemy as sa

from headwater.common.states import RequestState
from headwater.db import lanes
from headwater.db.models import orch_request
from tests.support import builders, databases
from tests.support.waiting import eventually

LANES = 10_000
WORKERS = 2
#: Seconds for all lanes; two quiet cores need about 30.
PATIENCE = 300.0


@databases.on_servers
class RaceTest(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        builders.add_subclouds(self.database, LANES)

    def start(self, number: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.racer", self.url, self.output(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.enterContext((self.directory / f"log{number}").open("wb")),
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def output(self, number: int) -> pathlib.Path:
        return self.directory / f"runs{number}"

    def left(self) -> int:
        with self.database.read() as connection:
            number: int = connection.execute(
                sa.select(sa.func.count()).where(orch_request.c.state != RequestState.COMPLETED)
            ).scalar_one()
        return number

    def test_every_lane_is_run_and_none_by_two_at_a_time(self) -> None:
        workers = [self.start(number) for number in range(WORKERS)]
        for worker in workers:
            assert worker.stdout is not None
            self.assertEqual(b"ready\n", worker.stdout.readline(), self.logs())
        builders.accepted_job(self.database)
        asking = threading.Thread(target=lanes.request, args=(self.database, ["identity"]))
        asking.start()
        eventually(lambda: self.left() < LANES / 2, "half of the lanes", PATIENCE, every=0.2)
        # The other half runs while those that have something to do are asked for again.
        lanes.request(self.database, ["identity"])
        asking.join()
        eventually(lambda: not self.left(), "all of the lanes", PATIENCE, every=0.2)
        for worker in workers:
            worker.communicate(timeout=60)
            self.assertEqual(0, worker.returncode, self.logs())
        self.check_runs()

    def check_runs(self) -> None:
        """The checker of overlaps: all runs of a lane, whoever ran it, in the order of time."""
        runs: dict[str, list[tuple[float, float]]] = defaultdict(list)
        shares = []
        for number in range(WORKERS):
            lines = self.output(number).read_text().splitlines()
            shares.append(len(lines))
            for lane, began, ended in map(str.split, lines):
                runs[lane].append((float(began), float(ended)))
        self.assertEqual(LANES, len(runs))
        self.assertEqual(LANES, sum(shares), "each request exactly once")
        self.assertGreater(min(shares), LANES / 10, "both took part")
        for lane, found in runs.items():
            for (_, ended), (began, _) in itertools.pairwise(sorted(found)):
                self.assertGreaterEqual(began, ended, f"lane {lane} overlaps: {found}")

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in self.directory.glob("log*"))

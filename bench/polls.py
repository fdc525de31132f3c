# SPDX-License-Identifier: Apache-2.0
"""A power and health poll of many machines by one worker: python -m bench.polls [MACHINES].

The BMCs (default 1,000) have an address each and are played by one process that answers at once;
the last of them never does. Measured are seconds and processor time of the worker, on SQLite; and,
while polls follow each other without a pause, how long power-offs wait for the compute service.
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - as the service runs
# isort: on

import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

from headwater.common import clock
from headwater.common.context import Caller
from headwater.common.secrets import KeyRing
from headwater.common.states import PodService
from headwater.db import inventory, metrics, pods, tasks, telemetry
from headwater.db.connection import Database, connect
from headwater.db.pod_records import NewPod, NewTask, Pod, SeenMachine, Task
from headwater.db.telemetry_records import TelemetryPolicy
from headwater.engine.retry import Policy
from headwater.engine.task_execution import TaskRunner
from headwater.engine.task_source import TaskSource
from headwater.engine.worker import Worker, WorkerSettings
from headwater.orchestrator.podm.access import PodAccess, PodAccessSettings
from headwater.orchestrator.podm.handler import PodHandler
from tests.support import databases
from tests.support.redfish import SYSTEM
from tests.support.waiting import eventually

#: Seconds after which the silent one is given up; as soon as it is left alone, none.
_TIMEOUT = 3.0

#: Power-offs that are ordered during the flood, and seconds between two.
_ORDERS, _PAUSE = 40, 0.25


@contextlib.contextmanager
def played(number: int) -> Iterator[tuple[str, ...]]:
    """BMCs by their addresses, in a process without eventlet."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "bench.bmcs", str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        if server.stdin is None or server.stdout is None:
            raise AssertionError("pipes were asked for")
        ports = json.loads(server.stdout.readline())
        yield tuple(f"http://127.0.0.1:{port}" for port in ports)
        server.stdin.close()


class Bench:
    """One process as `headwater-pod-worker` is: a worker per service."""

    def __init__(self, database: Database, keys: KeyRing, addresses: tuple[str, ...]):
        self.database, self.keys, self.number = database, keys, len(addresses)
        credentials = keys.encrypt({"password": "word"})
        new = NewPod("fleet", "bmc_fleet", addresses, "admin", credentials)
        self.pod: Pod = pods.add(database, new)
        access = PodAccess(keys, PodAccessSettings(_TIMEOUT, _TIMEOUT))
        policy = Policy(max_tries=3, retry_delay=1, max_retry_delay=30)
        runner = TaskRunner(database, keys, PodHandler(database, access, keys), policy)
        self.workers = {
            service: Worker(
                TaskSource(database, runner, (service,), 50),
                WorkerSettings(100, lease=15, poll_interval=5),
            )
            for service in (PodService.COMPUTE, PodService.TELEMETRY)
        }

    def order(self, service: PodService, name: str, target: str = "", /, **parameters: str) -> Task:
        """Write a task, and wake the worker as the API does."""
        new = NewTask(
            service,
            name,
            self.pod.id,
            target,
            self.keys.encrypt({"history_interval": 300, **parameters}),
            600,
            Caller(),
        )
        task = tasks.submit(self.database, new)
        self.workers[service].look()
        return task

    def ended(self, task: Task) -> Task:
        """A task once it has ended."""

        def look() -> Task | None:
            found = tasks.get(self.database, task.uuid)
            return None if found.finished_at is None else found

        return eventually(look, "the end of a task", 600, every=0.02)

    def poll(self) -> Task:
        """Order one."""
        return self.order(PodService.TELEMETRY, telemetry.POLL_POD, telemetry.POLLS)

    def measure(self, what: str) -> None:
        """Poll once, and print what it took."""
        began, ticks = time.monotonic(), time.process_time()
        found = self.ended(self.poll())
        seconds, cpu = time.monotonic() - began, time.process_time() - ticks
        result = found.result or {}
        print(
            f"{what}: {found.error or found.state}, {result.get('machines')} machines, "
            f"{result.get('silent')} silent, {result.get('events')} events, {seconds:.2f} s, "
            f"{cpu / self.number * 1000:.2f} ms of processor time per machine"
        )

    def flood(self) -> None:
        """Polls without a pause, and power-offs between them."""
        machines = metrics.watched(self.database, self.pod.id)
        poll, polls = self.poll(), 0
        waits: list[float] = []
        for number in range(_ORDERS):
            task = self.order(
                PodService.COMPUTE, "power-machine", machines[number].uuid, action="off"
            )
            due = time.monotonic() + _PAUSE
            found = self.ended(task)
            if found.started_at is None:
                raise AssertionError(f"{found.state}: {found.error}")
            waits.append((found.started_at - found.created_at).total_seconds() * 1000)
            # Orders come at a pace, whatever becomes of the one before.
            time.sleep(max(0.0, due - time.monotonic()))
            if tasks.get(self.database, poll.uuid).finished_at is not None:
                poll, polls = self.poll(), polls + 1
        self.ended(poll)
        waits.sort()
        print(
            f"power-offs while {polls + 1} polls follow each other: claimed after "
            f"{statistics.median(waits):.0f} ms (median), {waits[-1]:.0f} ms (longest of {_ORDERS})"
        )

    def due(self) -> None:
        """What the engine's look for due pods costs."""
        policy = TelemetryPolicy("all", None, {}, 3600, (), clock.now())
        telemetry.add(self.database, policy)
        began = time.monotonic()
        written = telemetry.submit_polls(self.database, self.keys.encrypt({}), limit=500)
        print(f"a look for due pods, {written} written: {(time.monotonic() - began) * 1000:.1f} ms")


def main() -> None:
    """Measure and print."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = connect(databases.SQLITE.fresh(stack.callback, migrated=True))
        stack.callback(database.dispose)
        addresses = stack.enter_context(played(number))
        bench = Bench(database, KeyRing.ensure(directory / "keys"), addresses)
        for worker in bench.workers.values():
            worker.start()
            stack.callback(worker.stop, 10)
        bench.ended(bench.order(PodService.COMPUTE, "sync-pod"))
        with database.write() as connection:
            # As if the silent one had answered before.
            silent = SeenMachine(addresses[-1] + SYSTEM, "silent", "On", "OK", None, None, {})
            inventory.add_machine(connection, bench.pod.id, silent, str(uuid.uuid4()))
        bench.measure("first poll")
        bench.measure("second poll")
        bench.measure("third poll")
        bench.flood()
        bench.due()


if __name__ == "__main__":
    main()

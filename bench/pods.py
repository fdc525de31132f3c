# SPDX-License-Identifier: Apache-2.0
"""The inventory of a pod of many BMCs by one worker: .venv/bin/python -m bench.pods [MACHINES].

The BMCs (default 1,000) have an address each and are played by one process that answers at once;
the last of them never does. Measured are seconds and CPU of the worker, on SQLite.
"""

# isort: off
import headwater.cmd.eventlet_first  # noqa: F401 - as the service runs
# isort: on

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from headwater.common.context import Caller
from headwater.common.secrets import KeyRing
from headwater.common.states import PodService
from headwater.db import pods, tasks
from headwater.db.connection import Database, connect
from headwater.db.pod_records import NewPod, NewTask, Task
from headwater.engine.retry import Policy
from headwater.engine.task_execution import TaskRunner
from headwater.engine.task_source import TaskSource
from headwater.engine.worker import Worker, WorkerSettings
from headwater.orchestrator.podm.access import PodAccess, PodAccessSettings
from headwater.orchestrator.podm.handler import PodHandler
from tests.support import databases
from tests.support.waiting import eventually

#: Seconds after which the silent one is given up.
_TIMEOUT = 3.0


def inventory(database: Database, directory: pathlib.Path, number: int) -> None:
    """One worker reads all of a pod twice: its first time, and when it knows every BMC."""
    # A process of its own, without eventlet.
    server = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "bench.bmcs", str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if server.stdin is None or server.stdout is None:
        raise AssertionError("pipes were asked for")
    ports = json.loads(server.stdout.readline())
    addresses = tuple(f"http://127.0.0.1:{port}" for port in ports)
    keys = KeyRing.ensure(directory / "keys")
    credentials = keys.encrypt({"password": "word"})
    pod = pods.add(database, NewPod("fleet", "bmc_fleet", addresses, "admin", credentials))
    access = PodAccess(keys, PodAccessSettings(_TIMEOUT, _TIMEOUT))
    policy = Policy(max_tries=3, retry_delay=1, max_retry_delay=30)
    runner = TaskRunner(database, keys, PodHandler(database, access, keys), policy)
    worker = Worker(
        TaskSource(database, runner, (PodService.COMPUTE,), 50),
        WorkerSettings(100, lease=15, poll_interval=5),
    )
    worker.start()
    for what in ("first inventory", "inventory again"):
        began, ticks = time.monotonic(), time.process_time()
        new = NewTask(PodService.COMPUTE, "sync-pod", pod.id, "", keys.encrypt({}), 600, Caller())
        task = tasks.submit(database, new)
        worker.look()
        found = eventually(lambda task=task: _ended(database, task), what, 600, every=0.02)  # type: ignore[misc]
        seconds, cpu = time.monotonic() - began, time.process_time() - ticks
        result = found.result or {}
        print(
            f"{what}: {found.error or found.state}, {result.get('machines')} machines, "
            f"{result.get('silent')} silent, {seconds:.2f} s, "
            f"{cpu / number * 1000:.2f} ms of processor time per machine"
        )
    worker.stop(10)
    server.stdin.close()
    server.wait()


def _ended(database: Database, task: Task) -> Task | None:
    found = tasks.get(database, task.uuid)
    return None if found.finished_at is None else found


def main() -> None:
    """Measure and print."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = connect(databases.SQLITE.fresh(stack.callback, migrated=True))
        stack.callback(database.dispose)
        inventory(database, directory, number)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Tasks of some functional services, as what a worker works on."""

from collections.abc import Callable, Collection, Sequence

from headwater.common.states import PodService
from headwater.db import tasks
from headwater.db.connection import Database
from headwater.db.pod_records import ClaimedTask
from headwater.engine.lease import Lease
from headwater.engine.task_execution import TaskRunner


class TaskSource:
    """Tasks are due as soon as they are written: a wake-up only makes the worker look."""

    def __init__(
        self,
        database: Database,
        runner: TaskRunner,
        services: tuple[PodService, ...],
        per_pod: int,
    ):
        self.what = f"{'-'.join(services)}-tasks"
        self._database, self._runner = database, runner
        self._services, self._per_pod = services, per_pod

    def ask(self, names: Collection[str]) -> int:
        """Nothing has to be asked for."""
        return 0

    def poll(self) -> None:
        """Nothing has to be asked for."""

    def rescue(self) -> int:
        """Ask again for the tasks of lost workers."""
        return tasks.rescue(self._database, self._services)

    def claim(self, limit: int, owner: str, lease: float) -> Sequence[ClaimedTask]:
        """Take tasks that are due, the longest waiting first."""
        wanted = tasks.Wanted(self._services, limit, self._per_pod)
        return tasks.claim(self._database, wanted, owner, lease)

    def renew(self, owner: str, ids: Collection[int], lease: float) -> set[tuple[int, int]]:
        """Keep tasks."""
        return tasks.renew(self._database, owner, ids, lease)

    def next_due(self) -> float | None:
        """Seconds until a task leaves its back-off or a worker's lease ends."""
        return tasks.next_due(self._database, self._services)

    def run(self, lease: Lease[ClaimedTask], stopping: Callable[[], bool]) -> float | None:
        """Run a task for one step: none takes long."""
        return self._runner.run(lease)

    def tidy(self) -> float | None:
        """Nothing follows from runs."""
        return None

# SPDX-License-Identifier: Apache-2.0
"""Lanes, as what a worker works on."""

import threading
import time
from collections.abc import Callable, Collection, Sequence

from headwater.db import claims, jobs, lanes
from headwater.db.connection import Database
from headwater.db.records import ClaimedLane
from headwater.engine.execution import LaneRunner
from headwater.engine.lease import Lease

#: Shortest wait in seconds between two looks for finished jobs.
_FINISH_INTERVAL = 1.0


class LaneSource:
    """Lanes of some endpoint types; those of others are left to workers that know them.

    At most `per_subcloud` lanes of one subcloud run at a time, whoever runs them.
    """

    what = "lanes"

    def __init__(
        self,
        database: Database,
        runner: LaneRunner,
        endpoint_types: tuple[str, ...],
        per_subcloud: int,
    ):
        self._database, self._runner = database, runner
        self._endpoint_types, self._per_subcloud = endpoint_types, per_subcloud
        self._lock = threading.Lock()
        self._touched: set[int] = set()
        self._next_finish = 0.0

    def ask(self, names: Collection[str]) -> int:
        """Ask for the lanes of endpoint types that have queued requests."""
        return lanes.request(self._database, names)

    def poll(self) -> None:
        """Ask for lanes whose wake-up was lost."""
        lanes.request(self._database, self._endpoint_types, forgotten=True)

    def rescue(self) -> int:
        """Ask again for the lanes of lost workers."""
        return claims.rescue(self._database, self._endpoint_types)

    def claim(self, limit: int, owner: str, lease: float) -> Sequence[ClaimedLane]:
        """Take lanes that are due, the longest waiting first."""
        wanted = claims.Wanted(self._endpoint_types, limit, self._per_subcloud)
        return claims.claim(self._database, wanted, owner, lease)

    def renew(self, owner: str, ids: Collection[int], lease: float) -> set[tuple[int, int]]:
        """Keep lanes."""
        return claims.renew(self._database, owner, ids, lease)

    def next_due(self) -> float | None:
        """Seconds until a lane leaves its back-off or a worker's lease ends."""
        return claims.next_due(self._database, self._endpoint_types)

    def run(self, lease: Lease[ClaimedLane], stopping: Callable[[], bool]) -> float | None:
        """Run a lane until it is empty, has to wait or had its share."""
        done = self._runner.run(lease, stopping)
        with self._lock:
            self._touched.update(done.touched)
        return done.pause

    def tidy(self) -> float | None:
        """Drop the bodies of finished jobs, at most once a second: it reads many requests."""
        with self._lock:
            wait = self._next_finish - time.monotonic()
            if not self._touched or wait > 0:
                return wait if self._touched else None
            touched, self._touched = self._touched, set()
        self._next_finish = time.monotonic() + _FINISH_INTERVAL
        try:
            jobs.finish(self._database, touched)
        except Exception:
            with self._lock:
                self._touched.update(touched)
            raise
        return None

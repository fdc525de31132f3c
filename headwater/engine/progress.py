# SPDX-License-Identifier: Apache-2.0
"""Results are written in groups: few transactions for many requests, none older than a moment."""

import time

from headwater.db import requests
from headwater.db.connection import Database
from headwater.db.records import ClaimedLane, RequestResult
from headwater.engine.lease import Lease, ticks

_MOST = 20
_SECONDS = 0.5


class Progress:
    """Collects results of one lane. What a crash loses is replayed, which is safe."""

    def __init__(self, database: Database, lease: Lease[ClaimedLane]):
        self._database, self._lease = database, lease
        self._results: list[RequestResult] = []
        self._oldest = 0.0

    def add(self, result: RequestResult) -> None:
        """Keep a result; writes all when there are many or the oldest has waited. LeaseLost."""
        if not self._results:
            self._oldest = time.monotonic()
        self._results.append(result)
        if len(self._results) >= _MOST or time.monotonic() - self._oldest >= _SECONDS:
            self.flush()

    def take(self) -> list[RequestResult]:
        """What is not written yet; the caller writes it."""
        results, self._results = self._results, []
        return results

    def flush(self) -> None:
        """Write all results in one transaction and renew the lease. Raises LeaseLost."""
        if self._results:
            began = ticks()
            requests.save_results(
                self._database, self._lease.row, self._results, self._lease.seconds
            )
            self._lease.renewed(began)
            self._results = []

# SPDX-License-Identifier: Apache-2.0
"""Results are written in groups: few transactions for many requests, none older than a moment."""

import time

from headwater.db import requests
from headwater.db.connection import Database
from headwater.db.records import ClaimedLane, RequestResult

_MOST = 20
_SECONDS = 0.5


class Progress:
    """Collects results of one lane. What a crash loses is replayed, which is safe."""

    def __init__(self, database: Database, lane: ClaimedLane, lease: float):
        self._database, self._lane, self._lease = database, lane, lease
        self._results: list[RequestResult] = []
        self._oldest = 0.0

    def add(self, result: RequestResult) -> None:
        """Keep a result; writes all when there are many or the oldest has waited. LeaseLost."""
        if not self._results:
            self._oldest = time.monotonic()
        self._results.append(result)
        if len(self._results) >= _MOST or time.monotonic() - self._oldest >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all results in one transaction and renew the lease. Raises LeaseLost."""
        if self._results:
            requests.save_results(self._database, self._lane, self._results, self._lease)
            self._results = []

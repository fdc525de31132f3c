# SPDX-License-Identifier: Apache-2.0
"""What the central cloud has, listed once for the audits of many subclouds."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.common import clock
from headwater.common.endpoints.model import EndpointType
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.listing import CloudState


@dataclass(frozen=True)
class Snapshot:
    """A listing of the central cloud, and the moment before it began."""

    began: datetime
    state: CloudState


class CentralSnapshot:
    """The newest listing of one endpoint type. Of many threads one lists, the others wait."""

    def __init__(self, endpoint_type: EndpointType, reader: CentralReader):
        self._endpoint_type, self._reader = endpoint_type, reader
        self._lock = threading.Lock()
        self._newest: Snapshot | None = None

    def get(self, age: float) -> Snapshot:
        """One that began at most `age` seconds before this call; 0 for one that begins later.

        Raises CentralUnreadable and Unlistable.
        """
        oldest = clock.now() - timedelta(seconds=age)
        with self._lock:
            if self._newest is None or self._newest.began < oldest:
                began = clock.now()
                self._newest = Snapshot(began, self._reader.list_all(self._endpoint_type))
            return self._newest

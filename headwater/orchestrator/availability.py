# SPDX-License-Identifier: Apache-2.0
"""Probes: whether subclouds answer, also those to which nothing is sent."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from headwater.common.concurrency import BoundedPool
from headwater.common.states import Availability
from headwater.db import subclouds
from headwater.db.connection import Database
from headwater.db.records import Subcloud

LOG = logging.getLogger(__name__)

#: Probes that run at a time; each mostly waits.
_THREADS = 50

#: Unanswered probes, or tries of lanes, in a row after which a subcloud is offline, as in the peer.
_OFFLINE_AFTER = 2


@dataclass(frozen=True)
class ProbeSettings:
    """The values of [subclouds] about probes; times in seconds."""

    interval: float
    offline_interval: float
    #: Of one probe.
    timeout: float


class Prober:
    """Probes what is due. Several engines may do so: each subcloud is taken by one of them.

    `answers` is asked for the subcloud's auth_url and must return within the timeout; `wake` is
    called when one answers again.
    """

    def __init__(
        self,
        database: Database,
        answers: Callable[[str], bool],
        settings: ProbeSettings,
        wake: Callable[[], None],
    ):
        self._database, self._answers = database, answers
        self._settings, self._wake = settings, wake

    def run(self) -> int:
        """Probe all that are due now; returns how many. What is sound costs no write."""
        settings, number = self._settings, 0
        while True:
            # Each group a little earlier or later, so that they do not stay together.
            spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
            due = subclouds.take_probes(
                self._database,
                limit=_THREADS,
                interval=settings.interval * spread,
                offline_interval=settings.offline_interval * spread,
            )
            pool = BoundedPool(_THREADS, "probe")
            for each in due:
                pool.submit(lambda each=each: self._probe(each))  # type: ignore[misc]
            number += len(due)
            if not pool.drain(2 * settings.timeout + 10):
                LOG.warning("Some probes do not end; they are left")
            if len(due) < _THREADS:
                return number

    def _probe(self, subcloud: Subcloud) -> None:
        sound = subcloud.availability_status is Availability.ONLINE and not subcloud.failures
        if self._answers(subcloud.auth_url):
            if not sound:
                LOG.info("%s answers a probe", subcloud.region_name)
                subclouds.note_probe(self._database, subcloud.id)
                self._wake()
            return
        LOG.info("%s does not answer a probe", subcloud.region_name)
        subclouds.note_silence(
            self._database,
            subcloud.id,
            offline_after=_OFFLINE_AFTER,
            # Tries of lanes trip it, and end it.
            breaker_after=_NEVER,
            rest=0.0,
        )


#: More failures in a row than any subcloud lives to see.
_NEVER = 2**31 - 1

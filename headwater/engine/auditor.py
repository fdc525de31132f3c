# SPDX-License-Identifier: Apache-2.0
"""Audits the lane that a worker holds: has it compared, decides, writes, queues the repairs."""

import logging
import random
from dataclasses import replace
from typing import Protocol

from headwater.common import clock
from headwater.common.errors import HeadwaterError, SecretUnreadable
from headwater.common.states import DriftAction
from headwater.db import audits, drift, moments, unmanaged
from headwater.db.connection import Database
from headwater.db.records import Batch, ClaimedLane
from headwater.engine import audit
from headwater.engine.audit import Audit, AuditFailed, AuditPolicy
from headwater.engine.lease import Lease, ticks
from headwater.engine.outcome import Done, Retry
from headwater.engine.task import LaneHandler, LaneWork

LOG = logging.getLogger(__name__)


class Guard(Protocol):
    """What an audit calls before each call to the subcloud."""

    #: Whether it has let requests run.
    ran: bool

    def __call__(self) -> None:
        """Raise LeaseLost, or what else ends the audit."""


#: Seconds after which an audit is tried again that failed by somebody else than the subcloud.
_SOON = 15.0


class Auditor:
    """Shared by all threads of a worker and free of per-lane state."""

    def __init__(self, database: Database, handler: LaneHandler, policy: AuditPolicy):
        self._database, self._handler, self._policy = database, handler, policy

    def run(self, lease: Lease[ClaimedLane], batch: Batch, guard: Guard) -> Done | Retry | None:
        """Audit the lane of a batch whose requests have all run.

        `guard` is called between the calls to the subcloud, and may let further requests run.
        Retry: the subcloud cannot be asked now, and the audit stays wanted. Done: it answered,
        what came of it is written, and repairs are the lane's next requests. None: the same, but
        nobody asked the subcloud. Raises LeaseLost, and what `guard` raises.
        """
        audits.begin(self._database, lease.row, lease.seconds)
        started_at = clock.now()
        found = self._compare(lease, batch, guard)
        if isinstance(found, Audit) and guard.ran:
            # What ran meanwhile is in neither list, or in one of them.
            found = replace(found, listed_at=min(found.listed_at or started_at, started_at))
        again = self._policy.again
        if isinstance(found, Retry):
            if found.counts or found.unreachable:
                return found
            # Another party's trouble, such as the central cloud's: only the audit waits for its
            # end. A lane that rested would keep changes waiting, which need the subcloud alone.
            found, again = AuditFailed(found.reason, answered=False), min(again, _SOON)
        began = ticks()
        if isinstance(found, AuditFailed):
            LOG.warning("%s cannot be audited: %s", batch.subcloud.region_name, found.reason)
            audits.fail(
                self._database,
                lease.row,
                found.reason,
                next_in=min(again, self._policy.interval),
                lease=lease.seconds,
            )
        else:
            self._save(lease, batch, found)
        lease.renewed(began)
        return None if isinstance(found, AuditFailed) and not found.answered else Done()

    def _compare(
        self, lease: Lease[ClaimedLane], batch: Batch, guard: Guard
    ) -> Audit | AuditFailed | Retry:
        work = LaneWork(lease.row, batch.subcloud, (), guard)
        try:
            return self._handler.compare(work, fresh=batch.audit_fresh or batch.initial_sync)
        except SecretUnreadable as error:
            return Retry(str(error), counts=False)
        except HeadwaterError:
            raise
        except Exception as error:
            # Left to its lease the lane would run into the same error without any back-off.
            LOG.exception("%s: the audit broke", batch.subcloud.region_name)
            return AuditFailed(f"Internal error: {type(error).__name__}; see the log.", False)

    def _save(self, lease: Lease[ClaimedLane], batch: Batch, found: Audit) -> None:
        lane, policy = lease.row, self._policy
        verdict = audit.judge(
            found,
            busy=audits.busy(self._database, lane, found.listed_at),
            before=drift.of_lane(self._database, lane.id),
            unmanaged=unmanaged.of_lane(self._database, lane.id),
            initial=batch.initial_sync,
            policy=policy,
            # By the clock that wrote when each was seen.
            now=moments.read(self._database),
        )
        repairing = bool(verdict.undecided) or any(
            each.action is DriftAction.REPAIR for each in verdict.findings
        )
        # Rounds of many lanes drift apart, however they began.
        spread = policy.interval * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        repairs = audits.save(
            self._database,
            lane,
            findings=verdict.findings,
            mappings=found.mappings,
            totals=found.totals,
            next_in=min(policy.again, spread) if repairing else spread,
            keep=policy.window,
            again=verdict.again,
            undecided=verdict.undecided,
            lease=lease.seconds,
        )
        LOG.info(
            "%s, %s: audited %d resources, %d differ, %d are being repaired",
            batch.subcloud.region_name,
            lane.endpoint_type,
            sum(found.totals.values()),
            len(verdict.findings),
            repairs,
        )

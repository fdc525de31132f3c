# SPDX-License-Identifier: Apache-2.0
"""What an audit is to the engine: differences come in, repairs and a report go out.

How two clouds are compared is the handler's business (`engine.task.LaneHandler`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headwater.common.states import AuditMode, DriftAction, DriftKind
from headwater.db.records import Drift, Finding, MappingChange

#: (resource type, id in the central cloud)
Key = tuple[str, str]


def foreign_id(key: str) -> str | None:
    """The id in a subcloud within the drift key of what the central cloud never had, or None."""
    return key[1:] if key.startswith("/") else None


@dataclass(frozen=True)
class Difference:
    """One resource in which a subcloud is not as the central cloud."""

    kind: DriftKind
    resource_type: str
    #: The id in the central cloud; None for what headwater did not bring to the subcloud.
    master_id: str | None
    subcloud_id: str | None
    #: For people: a name, or what a link joins.
    name: str
    #: The fields that differ. Values are not kept.
    fields: tuple[str, ...] = ()

    @property
    def drift_key(self) -> str:
        """What the same difference has at the next audit."""
        return f"/{self.subcloud_id}" if self.master_id is None else self.master_id


@dataclass(frozen=True)
class Audit:
    """Both sides were listed and compared."""

    #: Before the older list was asked for; None where both are newer than the hold on the lane.
    listed_at: datetime | None
    #: In the order in which they can be repaired.
    differences: Sequence[Difference]
    #: Counterparts that were found, and mappings of what neither cloud has any more.
    mappings: Sequence[MappingChange]
    #: Resources that the subcloud should have, by type.
    totals: Mapping[str, int]
    mode: AuditMode
    #: Also what headwater did not bring is removed, where the mode is to enforce.
    remove_extra: bool = False


@dataclass(frozen=True)
class AuditFailed:
    """One side could not be listed: nothing is known and nothing is changed.

    A subcloud or central cloud that does not answer is a `Retry` instead.
    """

    reason: str
    #: It was the subcloud that answered something unusable.
    answered: bool = True


@dataclass(frozen=True)
class AuditPolicy:
    """The values of [engine] that shape audits, with its defaults; times in seconds."""

    interval: float = 1200.0
    #: Repairs of one resource within `window` after which it is left alone and reported.
    most_repairs: int = 5
    window: float = 86400.0
    #: Seconds after which repairs are verified, and failed audits repeated.
    again: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """What follows from an audit."""

    findings: Sequence[Finding] = field(default_factory=tuple)
    #: Another audit follows as soon as these are repaired: to see that they are, or because there
    #: are more than one audit repairs.
    again: bool = False
    #: Earlier findings, by their ids, of which this audit cannot tell whether they are repaired.
    undecided: Sequence[int] = ()


#: Repairs that one audit queues, so that its transaction stays short.
MOST_REPAIRS = 2000


def judge(
    audit: Audit,
    *,
    busy: Collection[Key],
    before: Mapping[tuple[str, str], Drift],
    unmanaged: Collection[tuple[str, str]] = (),
    initial: bool,
    policy: AuditPolicy,
    now: datetime,
) -> Verdict:
    """Decide about every difference. Pure.

    `busy` are resources whose changes are on their way, so that nothing can be said about them yet.
    `before` is what earlier audits found, and `unmanaged` what is the subcloud's own affair, both
    by type and drift key. An `initial` sync repairs in every mode.
    """
    findings = []
    repairs, more = 0, False
    for difference in audit.differences:
        known_as = (difference.resource_type, difference.drift_key)
        if known_as in busy:
            continue
        if known_as in unmanaged:
            action = DriftAction.UNMANAGED
        else:
            action = _action(difference, before.get(known_as), audit, initial, policy, now)
        if action is DriftAction.REPAIR:
            repairs += 1
            if repairs > MOST_REPAIRS:
                more = True
                continue
        findings.append(_finding(difference, action))
    unseen = [
        each.id
        for (resource_type, _), each in before.items()
        if each.resolved_at is None and (resource_type, each.drift_key) in busy
    ]
    # What is not repaired by the first repair is looked at again in peace.
    first = repairs > 0 and not any(
        each.action is DriftAction.REPAIR and each.resolved_at is None for each in before.values()
    )
    return Verdict(findings, more or first, unseen)


def _action(
    difference: Difference,
    previous: Drift | None,
    audit: Audit,
    initial: bool,
    policy: AuditPolicy,
    now: datetime,
) -> DriftAction:
    enforce = audit.mode is AuditMode.ENFORCE
    if difference.master_id is None and not (enforce and audit.remove_extra):
        return DriftAction.LEFT_ALONE
    if not enforce and not initial:
        return DriftAction.OBSERVE
    recent = previous is not None and now - previous.last_seen_at < timedelta(seconds=policy.window)
    if previous is not None and recent and previous.repairs >= policy.most_repairs:
        return DriftAction.QUARANTINE
    return DriftAction.REPAIR


def _finding(difference: Difference, action: DriftAction) -> Finding:
    values: dict[str, Any] = {
        name: getattr(difference, name)
        for name in ("kind", "resource_type", "master_id", "drift_key", "name", "fields")
    }
    return Finding(action=action, **values)

# SPDX-License-Identifier: Apache-2.0
"""What the engine hands to the code that knows what work means, and what it expects of it.

The engine knows neither HTTP nor any endpoint type; the orchestrator registers itself in `cmd`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from headwater.db.records import ClaimedLane, QueuedRequest, Subcloud
from headwater.engine.audit import Audit, AuditFailed
from headwater.engine.outcome import Outcome, Retry


@dataclass(frozen=True)
class ResourceInfo:
    """What a replay needs to know beyond the ids; encrypted at rest because it holds secrets."""

    #: The fields of the change, with the central cloud's ids; None when the body was not readable,
    #: then the resource is aligned with the central cloud.
    fields: Mapping[str, Any] | None = None
    #: The natural key before the change: how the subcloud knows the resource until it is replayed.
    key_before: Mapping[str, Any] | None = None
    #: Headers that change the meaning of the call, such as a microversion.
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ResourceInfo":
        """The inverse of `to_json`."""
        return cls(**value)


@dataclass(frozen=True)
class Work:
    """One request, decrypted."""

    request: QueuedRequest
    info: ResourceInfo
    #: Why the content cannot be used, such as a later version's; then it is not executed.
    unusable: str | None = None


@dataclass(frozen=True)
class LaneWork:
    """The next works of a lane, in order, and what is needed to replay them."""

    lane: ClaimedLane
    subcloud: Subcloud
    works: Sequence[Work]
    #: Has to be called before each call to the subcloud: it raises LeaseLost when another worker
    #: may be at work there, and then nothing more may be sent.
    guard: Callable[[], None]


class Replay(Protocol):
    """Executes the works of one batch of one lane, in order."""

    def execute(self, work: Work) -> Outcome:
        """Bring one change to the subcloud. Safe to repeat; errors become outcomes."""


class LaneHandler(Protocol):
    """Knows what the requests of a lane mean."""

    def open(self, batch: LaneWork) -> Replay:
        """Prepare for a batch; may read the database, must not touch the subcloud.

        Raises SecretUnreadable for the subcloud's credentials.
        """

    def compare(self, batch: LaneWork, *, fresh: bool) -> Audit | AuditFailed | Retry:
        """List both clouds and compare; changes nothing. `fresh` takes no older list.

        Raises SecretUnreadable for the subcloud's credentials.
        """

# SPDX-License-Identifier: Apache-2.0
"""What one try of one request came to."""

from dataclasses import dataclass

from headwater.db.records import MappingChange


@dataclass(frozen=True)
class Done:
    """The subcloud has the change. A note says what was special, such as an adoption."""

    note: str | None = None
    mappings: tuple[MappingChange, ...] = ()


@dataclass(frozen=True)
class Gone:
    """What the change is about exists no more in the central cloud; nothing is left to do."""

    note: str
    mappings: tuple[MappingChange, ...] = ()


@dataclass(frozen=True)
class Retry:
    """Not yet. The lane waits, because the order within it must hold."""

    reason: str
    #: True when the subcloud answered: such tries are limited.
    counts: bool
    #: The subcloud did not answer at all.
    unreachable: bool = False
    #: Wait in seconds that the subcloud asked for.
    after: float | None = None
    mappings: tuple[MappingChange, ...] = ()


@dataclass(frozen=True)
class Failed:
    """It cannot work, however often it is tried."""

    reason: str
    mappings: tuple[MappingChange, ...] = ()


Outcome = Done | Gone | Retry | Failed

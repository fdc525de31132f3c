# SPDX-License-Identifier: Apache-2.0
"""Which machine, or which resource blocks, a new node gets: what fits, then what fits best."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.common.context import Caller
from headwater.common.errors import Conflict
from headwater.common.secrets import KeyRing
from headwater.common.states import PodService
from headwater.db import nodes
from headwater.db.connection import Database
from headwater.db.pod_records import Candidate, NewNode, NewTask, Node, Requirements

#: Candidates of each kind that are weighed; the database gives the smallest that fit.
_WEIGHED = 50

#: Times that all candidates may have been taken by others meanwhile. Each time some of these got
#: what they wanted.
_TRIES = 100


@dataclass(frozen=True)
class Weights:
    """How much each weigher counts."""

    #: For little that is left unused.
    fit: float = 1.0
    #: For pods with few nodes; below zero: for those with many.
    spread: float = 0.01
    #: For machines that are there, over those that have to be composed.
    ready: float = 0.1


class Scheduler:
    """Finds and reserves. Safe for many threads."""

    def __init__(self, database: Database, key_ring: KeyRing, weights: Weights):
        self._database, self._key_ring, self._weights = database, key_ring, weights

    def compose(
        self, name: str, requirements: Requirements, caller: Caller, deadline: float
    ) -> Node:
        """Make a node of what fits best and is still free.

        Raises Conflict, which says what everything lacks, and for a name in use.
        """
        new = NewNode(name, requirements, caller)
        for _ in range(_TRIES):
            candidates = self._candidates(requirements)
            for candidate in rank(candidates, requirements, self._weights):
                made = nodes.reserve(
                    self._database, new, candidate, self._task(new, candidate, deadline)
                )
                if made is not None:
                    return made
            if not candidates:
                break
        raise Conflict(nodes.why_not(self._database, requirements))

    def _candidates(self, requirements: Requirements) -> Sequence[Candidate]:
        return [
            *nodes.free_machines(self._database, requirements, limit=_WEIGHED),
            *nodes.free_blocks(self._database, requirements, limit=_WEIGHED),
        ]

    def _task(self, new: NewNode, candidate: Candidate, deadline: float) -> NewTask | None:
        if candidate.machine_id is not None:
            return None
        parameters = {"name": new.name, "blocks": list(candidate.uris)}
        return NewTask(
            PodService.COMPUTE,
            "compose-node",
            candidate.pod_id,
            "",
            self._key_ring.encrypt(parameters),
            deadline,
            new.caller,
        )


def rank(
    candidates: Sequence[Candidate], requirements: Requirements, weights: Weights
) -> Sequence[Candidate]:
    """The best first; equal ones in any order, so that those who ask at once try different ones."""

    def score(candidate: Candidate) -> float:
        return sum(
            factor * weigh(candidate, requirements)
            for weigh, factor in (
                (fit, weights.fit),
                (spread, weights.spread),
                (ready, weights.ready),
            )
        )

    shuffled = random.sample(list(candidates), len(candidates))
    return sorted(shuffled, key=score, reverse=True)


def fit(candidate: Candidate, requirements: Requirements) -> float:
    """From 1, where nothing is left unused, down to 0; sizes that nobody knows count as huge."""
    return 1 / (1 + _size(candidate) / max(_wanted(requirements), 1.0))


def spread(candidate: Candidate, requirements: Requirements) -> float:
    """Below zero by the nodes that the pod has already."""
    return -float(candidate.pod_nodes)


def ready(candidate: Candidate, requirements: Requirements) -> float:
    """1 for a machine that is there."""
    return float(candidate.machine_id is not None)


def _size(candidate: Candidate) -> float:
    """Processors, and memory in units of 4 GiB: about what goes with one of them."""
    if candidate.cpus is None and candidate.memory_mib is None:
        return float("inf")
    return (candidate.cpus or 0) + (candidate.memory_mib or 0) / 4096


def _wanted(requirements: Requirements) -> float:
    return (requirements.cpus or 0) + (requirements.memory_mib or 0) / 4096

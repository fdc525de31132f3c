# SPDX-License-Identifier: Apache-2.0
"""Ends nodes that are neither ready nor worked on: nothing reserved is left over."""

from headwater.common.secrets import KeyRing
from headwater.common.states import PodService
from headwater.db import nodes, tasks
from headwater.db.connection import Database
from headwater.orchestrator.podm.actions import follow_up

#: Nodes that one look takes care of.
_AT_A_TIME = 100


#: Seconds between two releases of a node of which the first failed.
_AGE = 60.0


def mend(database: Database, key_ring: KeyRing, age: float = _AGE) -> int:
    """Write a task that ends each node whose own task failed or passed its deadline; how many.

    A composition that came to no end leaves its resource blocks reserved until then, a release that
    failed leaves its machine switched on or unreachable: it is tried until it succeeds. A block of
    which nobody knows whether it was attached is taken back.
    """
    written = 0
    for known in nodes.left_alone(database, age, limit=_AT_A_TIME):
        target = known.uuid if known.machine is None else known.machine.uuid
        new = follow_up(known.pod_id, target, "release-node", key_ring.encrypt({}))
        error = known.error or "Its task ended without it, such as by its deadline."
        written += nodes.begin_release(database, known, new, error=error) is not None
    for known, block in nodes.half_attached(database, age, limit=_AT_A_TIME):
        if known.machine is not None:
            parameters = key_ring.encrypt({"block": block, "half_attached": True})
            tasks.submit(
                database,
                follow_up(
                    known.pod_id,
                    known.machine.uuid,
                    "detach-node",
                    parameters,
                    service=PodService.STORAGE,
                ),
            )
            written += 1
    return written

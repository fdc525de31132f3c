# SPDX-License-Identifier: Apache-2.0
"""Composes that race for what two nodes can have: .venv/bin/python -m bench.compose [ROUNDS].

A round (default 50 of each kind, on each of three databases) is twenty composes at the
same moment, by threads with connections of their own: for two machines, and for resource blocks of
which two machines can be made. Ends with 1 where in a round not exactly two succeeded, where two
have the same, or where a loser left anything behind.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from headwater.common.errors import Conflict
from headwater.db import inventory, nodes
from headwater.db.connection import Database, connect
from headwater.db.pod_records import Node, Pod, Requirements
from tests.support import databases
from tests.support.pod_builders import add_node, add_pod, block, release_node, seen

_AT_ONCE, _FREE = 20, 2


def _machines(database: Database, pod: Pod) -> None:
    stock = [seen(f"http://bmc/{each}") for each in range(_FREE)]
    inventory.store(database, pod.id, stock, [])


def _blocks(database: Database, pod: Pod) -> None:
    """Processors for three, drives for two."""
    stock = [block(f"c{each}", cpus=8, memory_mib=16384) for each in range(_FREE + 1)]
    stock += [block(f"d{each}", size_gib=100) for each in range(_FREE)]
    inventory.store(database, pod.id, [], [], stock)


def _machine_of(database: Database, node: Node) -> set[str]:
    return set() if node.machine is None else {node.machine.uuid}


def _blocks_of(database: Database, node: Node) -> set[str]:
    return {each.uuid for each in inventory.blocks_of(database, node.id)}


#: What there is, what a node needs, what it has, and how many things that are.
_KINDS: tuple[
    tuple[
        str,
        Callable[[Database, Pod], None],
        Requirements,
        Callable[[Database, Node], set[str]],
        int,
    ],
    ...,
] = (
    ("machines", _machines, Requirements(pod_name="race"), _machine_of, 1),
    ("blocks", _blocks, Requirements(pod_name="race", storage_gib=1), _blocks_of, 2),
)


def races(name: str, database: Database, rounds: int, kind: int) -> bool:
    """Whether in every round as many composes succeeded as there was something for."""
    what, stock, needs, parts_of, parts = _KINDS[kind]
    stock(database, add_pod(database, "race"))
    wrong, began = 0, time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in range(rounds):
            made = sum(pool.map(_client(database, needs), range(_AT_ONCE)))
            held = nodes.list_page(database, limit=_AT_ONCE)
            had: set[str] = set().union(*(parts_of(database, each) for each in held))
            wrong += not (made == len(held) == _FREE and len(had) == parts * _FREE)
            for each in held:
                release_node(database, each)
    seconds = time.monotonic() - began
    print(
        f"{name:<12}{rounds} rounds of {_AT_ONCE} composes, {what} for {_FREE}: "
        f"{wrong} went wrong, {seconds / rounds * 1000:.0f} ms per round",
        flush=True,
    )
    return not wrong


def _client(database: Database, needs: Requirements) -> Callable[[int], bool]:
    at_once = Barrier(_AT_ONCE)

    def compose(number: int) -> bool:
        at_once.wait(30)
        try:
            add_node(database, f"n{number}", needs)
        except Conflict:
            return False
        return True

    return compose


def main() -> int:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    fine = True
    for backend in databases.BACKENDS:
        for kind in range(len(_KINDS)):
            with contextlib.ExitStack() as stack:
                backend.require()
                database = connect(backend.fresh(stack.callback, migrated=True))
                stack.callback(database.dispose)
                fine = races(backend.name, database, rounds, kind) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

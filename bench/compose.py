# SPDX-License-Identifier: Apache-2.0
"""Composes that race for a few machines: .venv/bin/python -m bench.compose [ROUNDS].

A round (default 50 on each of SQLite, PostgreSQL and MariaDB) is twenty composes at the same moment
for two machines, by threads with connections of their own. Ends with 1 where in a round not exactly
two succeeded.
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
from headwater.db.pod_records import Requirements
from tests.support import databases
from tests.support.pod_builders import add_node, add_pod, release_node, seen

_AT_ONCE, _FREE = 20, 2


def races(name: str, database: Database, rounds: int) -> bool:
    """Whether in every round exactly as many composes succeeded as there are machines."""
    pod = add_pod(database, "race")
    stock = [seen(f"http://bmc/{each}") for each in range(_FREE)]
    inventory.store(database, pod.id, stock, [])
    wrong, began = 0, time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in range(rounds):
            made = [each for each in pool.map(_client(database), range(_AT_ONCE)) if each]
            held = nodes.list_page(database, limit=_AT_ONCE)
            wrong += not (len(made) == len(set(made)) == len(held) == _FREE)
            for each in held:
                release_node(database, each)
    seconds = time.monotonic() - began
    print(
        f"{name:<12}{rounds} rounds of {_AT_ONCE} composes for {_FREE} machines: "
        f"{wrong} went wrong, {seconds / rounds * 1000:.0f} ms per round"
    )
    return not wrong


def _client(database: Database) -> Callable[[int], str | None]:
    at_once = Barrier(_AT_ONCE)

    def compose(number: int) -> str | None:
        at_once.wait(30)
        try:
            made = add_node(database, f"n{number}", Requirements(pod_name="race"))
        except Conflict:
            return None
        return made.machine.uuid if made.machine else None

    return compose


def main() -> int:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    fine = True
    for backend in databases.BACKENDS:
        with contextlib.ExitStack() as stack:
            backend.require()
            database = connect(backend.fresh(stack.callback, migrated=True))
            stack.callback(database.dispose)
            fine = races(backend.name, database, rounds) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

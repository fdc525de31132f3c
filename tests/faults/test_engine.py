# SPDX-License-Identifier: Apache-2.0
"""Engines are killed: what they were to do is done by another one, or by their successor."""

import time
from typing import ClassVar

import sqlalchemy as sa

from headwater.db.models import periodic_work
from tests.faults.installation import ENGINE, HASTY, FaultTest, children, kill, pid_of
from tests.functional.system import Process
from tests.support.relay import Piece
from tests.support.waiting import PATIENCE, eventually


class EngineTest(FaultTest):
    options: ClassVar = HASTY

    def settler(self, *engines: Process) -> str | None:
        """Which of some engines holds the work of settling open intents.

        None while it belongs to a process that another test has killed.
        """
        with self.system.database.read() as connection:
            owner: str | None = connection.execute(
                sa.select(periodic_work.c.lease_owner).where(
                    periodic_work.c.name == "settle-intents"
                )
            ).scalar_one()
        living = {pid for each in engines for pid in children(each)}
        return owner if owner is not None and pid_of(owner) in living else None

    def test_a_killed_engines_work_is_done_by_another(self) -> None:
        other = self.system.run(ENGINE, "engine2.log")
        self.addCleanup(other.stop)
        other.wait_for(r"Worker process \d+ is ready")
        central = self.system.to_cloud[self.system.central.region_name]
        name = self.unique("unheard")

        def lose_answer(piece: Piece) -> None:
            """The central cloud has done it, and nobody hears of it."""
            if not piece.to_server and name.encode() in piece.data:
                central.watch = None
                central.cut()

        central.watch = lose_answer
        self.assertEqual(self.create_group(name).status_code, 502)
        self.assertEqual(1, len(self.system.open_jobs()))
        # Whoever settles now waits for the central cloud, in the middle of its work.
        central.heal()
        central.freeze()
        engines = (self.system.engine, other)
        owner = eventually(lambda: self.settler(*engines), "an engine that settles")
        killed = self.kill_engine_of(pid_of(owner), *engines)
        start = time.monotonic()
        central.heal(resume=False)
        self.quiet()
        self.tell("from kill -9 of the engine to the settled change", time.monotonic() - start)
        self.assertEqual(list(self.assert_alike(name)), [name])
        if killed is self.system.engine:
            self.system.engine = self.system.run(ENGINE, "engine.log")

    def kill_engine_of(self, pid: int, *engines: Process) -> Process:
        """Kill the program, its supervisor too, to which a process belongs."""
        (engine,) = [each for each in engines if pid in children(each)]
        engine.kill()
        kill(pid)
        return engine

    def test_a_killed_engine_process_is_replaced(self) -> None:
        (before,) = children(self.system.engine)
        kill(before)
        eventually(
            lambda: before not in children(self.system.engine) and children(self.system.engine),
            "another process",
            PATIENCE,
        )
        self.system.wait(self.created_group())

# SPDX-License-Identifier: Apache-2.0
"""The gateway's own processes under supervision; all the rest is in test_supervision."""

import os
import re
import signal
import threading
from typing import ClassVar

from tests.functional.system import Process, SystemTest
from tests.support.waiting import PATIENCE


class SupervisedGateway(SystemTest):
    """Two gateway processes, without an engine."""

    regions: ClassVar = ()
    program: ClassVar = "headwater-api-proxy"
    prepare: ClassVar = (("db", "sync"), ("secrets", "create"))
    options: ClassVar = {"DEFAULT": {"transport_url": "fake://", "api_workers": 2}}

    def create(self, padding: int = 0) -> int:
        """The status of a recorded call."""
        body = {"name": self.unique("group"), "description": "x" * padding}
        # A connection of its own: one that is kept may still lead to a worker of before.
        answer = self.system.call(
            "POST", "/v3/groups", {"group": body}, headers={"Connection": "close"}
        )
        return answer.status_code

    def ready(self, process: Process) -> list[str]:
        return re.findall(r"Worker process (\d+) is ready", process.log())

    def test_changes_are_recorded_while_workers_die_and_are_replaced(self) -> None:
        process = self.system.process
        process.wait_for(r"(?s)is ready.* is ready")
        # The first login of a user is a change in Keystone, whose SQLite takes one at a time.
        self.assertEqual(self.create(), 201)
        before = self.system.number_of_jobs()
        results: list[object] = []

        def load() -> None:
            try:
                results.extend(self.create() for _ in range(15))
            except OSError as error:
                results.append(error)

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        process.popen.send_signal(signal.SIGHUP)
        process.popen.send_signal(signal.SIGHUP)
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(results, [201] * 30, process.log())
        self.assertEqual(self.system.number_of_jobs(), before + 30)
        process.wait_for("All worker processes run with")
        os.kill(int(self.ready(process)[-1]), signal.SIGKILL)
        process.wait_for(r"(?s)killed by SIGKILL.* is ready")
        self.assertEqual(self.create(), 201)

    def test_new_workers_have_the_options_of_the_changed_file(self) -> None:
        process = self.system.process
        self.assertEqual(self.create(padding=4000), 201)
        self.system.options["api_proxy"] = {"max_recorded_body": 2048}
        self.system.write_config()
        done = process.log().count("All worker processes run with")
        process.popen.send_signal(signal.SIGHUP)
        process.wait_for(f"(?s)(All worker processes run with.*){{{done + 1}}}")
        self.assertEqual(self.create(padding=4000), 413)

    def test_the_stop_is_clean(self) -> None:
        process = self.system.process
        process.wait_for("is ready")
        self.assertEqual(process.stop(), 0, process.log())
        self.assertNotIn("Traceback", process.log())
        self.system.process = self.system.start(self.program)

# SPDX-License-Identifier: Apache-2.0
"""A process that is killed while it writes to the log takes no other one with it."""

import subprocess
import sys
import unittest

from tests.support.waiting import PATIENCE

#: As the services begin; then a worker is killed in the middle of a log line.
_PROGRAM = """
import headwater.cmd.eventlet_first
import logging
import os
import signal
from headwater.common import conf

conf.load(["--config-file", "/dev/null"], description="")
if (worker := os.fork()) == 0:
    logging.getLogger().handlers[0].acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(worker, 0)
logging.getLogger("headwater").warning("still here")
"""


class LogTest(unittest.TestCase):
    def test_a_worker_that_is_killed_in_a_log_line_does_not_silence_its_supervisor(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertIn("still here", done.stdout)

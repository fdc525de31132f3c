# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ virtual host of its own for each test class.

Made with rabbitmqctl on this host, or the broker that HEADWATER_TEST_RABBITMQ_URL names is used as
it is. Without either the tests are skipped, or fail where HEADWATER_REQUIRE_SERVICES=1.
"""

import os
import secrets
import shutil
import subprocess
import unittest

from tests.support.databases import REQUIRED

VARIABLE = "HEADWATER_TEST_RABBITMQ_URL"


def fresh_transport(test: type[unittest.TestCase]) -> str:
    """The transport_url of a virtual host that nobody else uses; removed after the class."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    program = shutil.which("rabbitmqctl")
    if program is None or not _works(program, "status"):
        missing = f"no RabbitMQ that rabbitmqctl may manage here; start one, or set {VARIABLE}"
        if os.environ.get(REQUIRED) == "1":
            raise AssertionError(f"{REQUIRED}=1, but {missing}")
        raise unittest.SkipTest(missing)
    name = f"headwater-test-{secrets.token_hex(8)}"
    subprocess.run([program, "-q", "add_vhost", name], check=True, capture_output=True)
    test.addClassCleanup(
        subprocess.run, [program, "-q", "delete_vhost", name], check=True, capture_output=True
    )
    subprocess.run(
        [program, "-q", "set_permissions", "-p", name, "guest", ".*", ".*", ".*"],
        check=True,
        capture_output=True,
    )
    return f"rabbit://guest:guest@127.0.0.1:5672/{name}"


def _works(program: str, *arguments: str) -> bool:
    done = subprocess.run([program, "-q", *arguments], check=False, capture_output=True)
    return done.returncode == 0

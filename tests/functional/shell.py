# SPDX-License-Identifier: Apache-2.0
"""The openstack command in a shell of a cloud admin, against a real installation."""

import json
import os
import subprocess
from typing import Any

from tests.functional.system import SystemTest
from tests.support import openstack_command


class ShellTest(SystemTest):
    """The region SystemController has the gateway and headwater's API."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        api = "http://" + cls.system.process.wait_for(r"The API listens on http://(\S+)")[1]
        central = cls.system.central
        central.add_region_endpoint("SystemController", f"{cls.system.url}/v3")
        central.add_region_endpoint("SystemController", api, "headwater")
        home = {"HOME": str(cls.system.directory), "NO_PROXY": "127.0.0.1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        cls.environment = {**kept, **home, **central.admin_environment()}

    def openstack(
        self, *arguments: str, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = openstack_command.run(
            ["--os-region-name", "SystemController", *arguments],
            {**self.environment, **environment},
        )
        self.assertEqual(code, done.returncode, done.stderr + done.stdout)
        return done

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.openstack(*arguments, "-f", "json").stdout)

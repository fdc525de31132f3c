# SPDX-License-Identifier: Apache-2.0
"""Two gateways in front of one central cloud, and clients that race on one user."""

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import requests

from headwater.common.states import PENDING
from tests.functional.system import Process, SystemTest
from tests.support import databases
from tests.support.waiting import PATIENCE, eventually


@databases.on_every_backend
class TwoGateways(SystemTest):
    """Both are whole installations on one database, and share the work."""

    regions: ClassVar = ("subcloud1", "subcloud2")
    # Settled before a busy Keystone answers, now and then: that must lose nothing either. Nobody is
    # killed here, and what a slow worker still sends after its lease is an audit's to repair.
    options: ClassVar = {"engine": {"settle_after": 3, "settle_interval": 0.5, "lease": 60}}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        system = cls.system
        config = system.directory / "second.conf"
        config.touch(0o600)
        config.write_text(
            system.config.read_text().replace(f"listen = {system.listen}", "listen = 127.0.0.1:0")
        )
        second = Process("headwater-all-in-one", config, system.directory / "second.log")
        cls.addClassCleanup(second.stop)
        address = second.wait_for(r"gateway for identity listens on http://(\S+)")[1]
        cls.urls = (system.url, f"http://{address}")

    def test_every_cloud_ends_as_the_central_one_did(self) -> None:
        user = {"name": self.unique("user"), "domain_id": "default", "password": "a-password"}
        created = self.system.change("POST", "/v3/users", {"user": user})
        path = f"/v3/users/{created.json()['user']['id']}"
        token = self.system.central.admin_session().get_token()

        def client(number: int) -> list[str]:
            """Change the user again and again through one of the gateways; the jobs' ids."""
            jobs = []
            for turn in range(15):
                text = f"client {number}, turn {turn}"
                answer = requests.patch(
                    self.urls[number % 2] + path,
                    json={"user": {"description": text, "email": f"{number}-{turn}@example.org"}},
                    headers={"X-Auth-Token": token},
                    timeout=PATIENCE,
                )
                # Keystone on SQLite fails some of those that come at the same time; whether it did
                # them is then found out.
                self.assertIn(answer.status_code, (200, 500), answer.text)
                if answer.ok:
                    jobs.append(answer.headers["X-Headwater-Job"])
            return jobs

        with ThreadPoolExecutor(4) as pool:
            made = [job for jobs in pool.map(client, range(4)) for job in jobs]
        self.assertGreater(len(made), 30)
        self.assertEqual(len(made), len(set(made)))
        eventually(lambda: not self.pending(), "the end of all replays", 2 * PATIENCE)
        wanted = self.one(self.system.central, "user", name=user["name"])
        for region, cloud in self.system.subclouds.items():
            found = self.one(cloud, "user", name=user["name"])
            for field in ("description", "email"):
                self.assertEqual(wanted[field], found[field], f"{field} in {region}")
            self.assertTrue(self.can_login(cloud, user["name"], "a-password"))

    def pending(self) -> bool:
        # In the order in which work moves on, or it might slip through between two looks.
        if self.system.open_jobs():
            return True
        with self.system.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT DISTINCT state FROM orch_request")
            return bool({state.value for state in PENDING} & set(rows.scalars()))

# SPDX-License-Identifier: Apache-2.0
"""The openstack commands of headwater against a real installation."""

import subprocess
from typing import ClassVar

from tests.functional.shell import ShellTest
from tests.functional.system import BIN
from tests.support.waiting import PATIENCE, eventually


class Client(ShellTest):
    """One cloud admin at a shell."""

    regions: ClassVar = ("subcloud1", "subcloud2")

    def newest_job(self) -> str:
        job: str = self.ask("orchestration", "job", "list", "--limit", "1")[0]["ID"]
        return job

    def test_a_change_is_watched_to_its_end_and_found_again(self) -> None:
        name = self.unique("group")
        self.openstack("group", "create", name)
        job = self.newest_job()
        done = self.openstack("orchestration", "job", "wait", job)
        self.assertIn("2/2 [##############################]", done.stdout)
        shown = self.ask("orchestration", "job", "show", job)
        self.assertEqual(("completed", name), (shown["state"], shown["resource_name"]))
        self.assertEqual(2, shown["requests"]["completed"])
        listed = self.ask("orchestration", "job", "list", "--since", "1h", "--state", "completed")
        self.assertIn(job, [each["ID"] for each in listed])
        requests = self.ask("orchestration", "job", "request", "list", job)
        self.assertEqual(["subcloud1", "subcloud2"], [each["Subcloud"] for each in requests])

    def test_a_job_that_fails_says_where_why_and_what_to_do(self) -> None:
        # The subcloud's administrator by another password cannot log in.
        self.openstack(
            "subcloud", "set", "subcloud2", "--password", HEADWATER_SUBCLOUD_PASSWORD="x"
        )
        mend = self.system.subclouds["subcloud2"].admin_password
        self.openstack("group", "create", self.unique("group"))
        job = self.newest_job()
        failed = self.openstack("orchestration", "job", "wait", job, code=1)
        self.assertIn("1 failed", failed.stdout)
        self.assertIn("subcloud2: ", failed.stderr)
        self.assertIn(f"openstack orchestration job retry {job}", failed.stderr)
        problems = self.ask("orchestration", "status", "--problems")
        self.assertEqual("1 failed", problems[0]["identity"])
        self.openstack(
            "subcloud", "set", "subcloud2", "--password", HEADWATER_SUBCLOUD_PASSWORD=mend
        )
        self.openstack("orchestration", "job", "retry", job)
        self.openstack("orchestration", "job", "wait", job)

    def test_patience_has_an_end(self) -> None:
        self.openstack("subcloud", "set", "subcloud1", "--availability", "offline")
        self.openstack("group", "create", self.unique("group"))
        job = self.newest_job()
        done = self.openstack("orchestration", "job", "wait", job, "--timeout", "1", code=3)
        self.assertIn("Not done after 1 s", done.stderr)
        self.openstack("subcloud", "set", "subcloud1", "--availability", "measured")
        self.openstack("orchestration", "job", "wait", job)

    def test_a_subclouds_life(self) -> None:
        name = self.unique("edge")
        cloud = self.system.subclouds["subcloud1"]
        self.openstack(
            *("subcloud", "add", name, "--auth-url", cloud.auth_url, "--label", "site=north"),
            HEADWATER_SUBCLOUD_PASSWORD=cloud.admin_password,
        )
        for query, names in (("site=north", [name]), ("site=south", [])):
            found = self.ask("subcloud", "list", "--label", query)
            self.assertEqual(names, [each["Name"] for each in found])
        self.openstack("subcloud", "set", name, "--label", "tier=1", "--unset-label", "site")
        shown = self.ask("subcloud", "show", name)
        self.assertEqual({"tier": "1"}, shown["labels"])
        self.assertNotIn(cloud.admin_password, str(shown))
        debugged = self.openstack(
            *("--debug", "subcloud", "set", name, "--password"),
            HEADWATER_SUBCLOUD_PASSWORD="never-in-a-log",
        )
        self.assertNotIn("never-in-a-log", debugged.stdout + debugged.stderr)
        done = self.openstack("subcloud", "delete", name, "no-such", code=1)
        self.assertIn("no-such: ", done.stderr)
        self.assertIn("1 of 2 subclouds failed.", done.stderr)
        gone = self.openstack("subcloud", "show", name, code=1)
        self.assertIn("404, request req-", gone.stderr)

    def test_no_password_is_an_error_that_says_how_to_give_it(self) -> None:
        done = self.openstack("subcloud", "add", "x", "--auth-url", "http://x:5000/v3", code=1)
        self.assertIn("set HEADWATER_SUBCLOUD_PASSWORD, give --password-file", done.stderr)

    def test_the_fleet_at_a_glance(self) -> None:
        def settled() -> bool:
            rows = self.ask("orchestration", "status")
            return {row["identity"] for row in rows} == {"in-sync"}

        self.openstack("subcloud", "audit", "--all")
        eventually(settled, "a fleet in sync", PATIENCE)
        table = self.openstack("orchestration", "status").stdout
        self.assertIn("Subclouds: 2 managed", table)
        self.assertIn("Lanes:     2 in-sync, 0 out-of-sync, 0 unknown", table)
        self.assertNotIn("\033", table)
        for formatter in ("yaml", "csv", "value"):
            self.assertIn(
                "subcloud1", self.openstack("orchestration", "status", "-f", formatter).stdout
            )

    def test_drift_endpoints_and_services(self) -> None:
        self.assertEqual([], self.ask("orchestration", "drift", "list", "--action", "quarantine"))
        (endpoint,) = self.ask("orchestration", "endpoint", "list")
        self.assertEqual("identity", endpoint["Name"])
        self.assertIn("user", endpoint["Resources"])
        (service,) = self.ask("orchestration", "worker", "list")
        self.assertIs(True, service["Alive"])

    def test_a_region_without_the_service_says_what_to_do(self) -> None:
        environment = {**self.environment}
        done = subprocess.run(
            [BIN / "openstack", "--os-region-name", "RegionOne", "subcloud", "list"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            env=environment,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("name another region with --os-region-name", done.stderr)

    def test_the_shell_completes_the_commands(self) -> None:
        text = self.openstack("complete").stdout
        self.assertIn("cmds_orchestration_job_wait=", text)
        self.assertIn("--drop-backlog", text)

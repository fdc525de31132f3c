# SPDX-License-Identifier: Apache-2.0
"""What a cloud admin sees when things are not as on the first day."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import time
from typing import ClassVar

import requests

from headwater.common.states import Availability, RequestState, SyncStatus
from headwater.db import jobs, lanes, models, subclouds
from headwater.db.records import Request
from tests.functional.system import SystemTest
from tests.services.keystone import SERVICES_PYTHON
from tests.support import databases
from tests.support.waiting import PATIENCE, eventually

#: How nobody else can write, and the end of it. On SQLite each transaction that writes does.
LOCKS = {
    "sqlite": ("SELECT 1", "SELECT 1"),
    "postgresql": ("LOCK TABLE orch_job IN ACCESS EXCLUSIVE MODE", "SELECT 1"),
    "mysql": ("LOCK TABLES orch_job WRITE", "UNLOCK TABLES"),
}


class Replay(SystemTest):
    """Changes reach subclouds that already have, or no more have, what is changed."""

    def setUp(self) -> None:
        super().setUp()
        self.name = self.unique("user")
        self.one_cloud = self.system.subclouds["subcloud1"]

    def create(self, **fields: object) -> requests.Response:
        user = {"name": self.name, "domain_id": "default", **fields}
        return self.system.change("POST", "/v3/users", {"user": user})

    def note(self, answer: requests.Response, region: str = "subcloud1") -> str | None:
        found = self.system.wait(answer)
        return next(each.error for each in found if each.region_name == region)

    def test_a_user_that_a_subcloud_has_is_adopted_and_brought_to_the_wanted_state(self) -> None:
        user = {"name": self.name, "domain_id": "default", "password": "old-one", "enabled": False}
        answer = self.one_cloud.request("POST", "/v3/users", {"user": user})
        here = answer.json()["user"]["id"]
        answer = self.create(password="new-one", email="a@example.org")
        self.assertIn("Adopted", self.note(answer) or "")
        there = self.one(self.one_cloud, "user", name=self.name)
        self.assertEqual(
            (there["id"], there["email"], there["enabled"]), (here, "a@example.org", False)
        )
        changed = self.system.change(
            "PATCH", f"/v3/users/{answer.json()['user']['id']}", {"user": {"enabled": True}}
        )
        self.assertIsNone(self.note(changed))
        self.assertTrue(self.can_login(self.one_cloud, self.name, "new-one"))

    def test_deleting_what_a_subcloud_no_longer_has_is_done(self) -> None:
        user_id = self.create().json()["user"]["id"]
        there = self.one(self.one_cloud, "user", name=self.name)["id"]
        self.one_cloud.request("DELETE", f"/v3/users/{there}")
        answer = self.system.change("DELETE", f"/v3/users/{user_id}")
        self.assertIn("did not have it", self.note(answer) or "")
        for cloud in self.system.subclouds.values():
            self.assertEqual(self.find(cloud, "user", name=self.name), [])

    def test_updating_what_a_subcloud_no_longer_has_creates_it_again(self) -> None:
        user_id = self.create(email="a@example.org").json()["user"]["id"]
        there = self.one(self.one_cloud, "user", name=self.name)["id"]
        self.one_cloud.request("DELETE", f"/v3/users/{there}")
        answer = self.system.change("PATCH", f"/v3/users/{user_id}", {"user": {"enabled": False}})
        self.assertIn("without original_password, password", self.note(answer) or "")
        again = self.one(self.one_cloud, "user", name=self.name)
        self.assertEqual((again["email"], again["enabled"]), ("a@example.org", False))

    def test_a_password_change_of_a_user_that_a_subcloud_lacks_brings_both(self) -> None:
        user_id = self.create(password="first").json()["user"]["id"]
        there = self.one(self.one_cloud, "user", name=self.name)["id"]
        self.one_cloud.request("DELETE", f"/v3/users/{there}")
        self.system.change("PATCH", f"/v3/users/{user_id}", {"user": {"password": "second"}})
        self.assertTrue(self.can_login(self.one_cloud, self.name, "second"))

    def test_a_user_older_than_the_gateway_is_renamed_and_deleted(self) -> None:
        user = {"name": self.name, "domain_id": "default"}
        clouds = [self.system.central, *self.system.subclouds.values()]
        ids = [cloud.request("POST", "/v3/users", {"user": user}).json() for cloud in clouds]
        user_id = ids[0]["user"]["id"]
        new = self.unique("renamed")
        self.system.change("PATCH", f"/v3/users/{user_id}", {"user": {"name": new}})
        for cloud in self.system.subclouds.values():
            self.assertEqual(self.find(cloud, "user", name=self.name), [])
            self.one(cloud, "user", name=new)

        other = {"name": self.unique("other"), "domain_id": "default"}
        ids = [cloud.request("POST", "/v3/users", {"user": other}).json() for cloud in clouds]
        self.system.change("DELETE", f"/v3/users/{ids[0]['user']['id']}")
        for cloud in clouds:
            self.assertEqual(self.find(cloud, "user", name=other["name"]), [])

    def test_ends_of_a_link_that_a_subcloud_lacks_are_brought_there_first(self) -> None:
        made = {}
        for noun in ("user", "project", "role"):
            body = {"name": self.unique(noun)}
            if noun != "role":
                body["domain_id"] = "default"
            answer = self.system.central.request("POST", f"/v3/{noun}s", {noun: body})
            made[noun] = answer.json()[noun]
        path = "/v3/projects/{project[id]}/users/{user[id]}/roles/{role[id]}"
        self.system.change("PUT", path.format(**made))
        for cloud in self.system.subclouds.values():
            there = {
                noun: self.one(cloud, noun, name=state["name"]) for noun, state in made.items()
            }
            self.assertEqual(cloud.request("HEAD", path.format(**there)).status_code, 204)

    def test_a_link_is_remade_after_one_end_was_replaced_on_a_subcloud(self) -> None:
        user_id = self.create().json()["user"]["id"]
        group = {"name": self.unique("group"), "domain_id": "default"}
        answer = self.system.change("POST", "/v3/groups", {"group": group})
        there = self.one(self.one_cloud, "user", name=self.name)["id"]
        self.one_cloud.request("DELETE", f"/v3/users/{there}")
        path = f"/v3/groups/{answer.json()['group']['id']}/users/{user_id}"
        self.system.change("PUT", path)
        members = self.one(self.one_cloud, "group", name=group["name"])["id"]
        listed = self.one_cloud.request("GET", f"/v3/groups/{members}/users").json()["users"]
        self.assertEqual([each["name"] for each in listed], [self.name])

    def test_domains_of_the_same_names_inside_stay_apart(self) -> None:
        names = [self.unique("domain") for _ in range(2)]
        for name in names:
            answer = self.system.change("POST", "/v3/domains", {"domain": {"name": name}})
            user = {"name": self.name, "domain_id": answer.json()["domain"]["id"], "email": name}
            self.system.change("POST", "/v3/users", {"user": user})
        for cloud in self.system.subclouds.values():
            for name in names:
                domain_id = self.one(cloud, "domain", name=name)["id"]
                user = self.one(cloud, "user", name=self.name, domain_id=domain_id)
                self.assertEqual(user["email"], name)

    def test_a_project_below_a_project_lies_below_its_counterpart(self) -> None:
        parent = {"name": self.unique("parent"), "domain_id": "default"}
        answer = self.system.change("POST", "/v3/projects", {"project": parent})
        child = {
            "name": self.unique("child"),
            "domain_id": "default",
            "parent_id": answer.json()["project"]["id"],
        }
        self.system.change("POST", "/v3/projects", {"project": child})
        for cloud in self.system.subclouds.values():
            above = self.one(cloud, "project", name=parent["name"])["id"]
            self.assertEqual(self.one(cloud, "project", name=child["name"])["parent_id"], above)

    def test_unicode_names_arrive_as_they_are(self) -> None:
        name = self.unique("Übermut-日本-ß")
        self.system.change("POST", "/v3/users", {"user": {"name": name, "domain_id": "default"}})
        for cloud in self.system.subclouds.values():
            self.one(cloud, "user", name=name)

    def test_many_changes_at_once_arrive_in_order(self) -> None:
        user_id = self.create().json()["user"]["id"]
        answers = [
            self.system.call("PATCH", f"/v3/users/{user_id}", {"user": {"email": f"{i}@x.org"}})
            for i in range(30)
        ]
        for answer in answers:
            self.system.wait(answer)
        for cloud in self.system.subclouds.values():
            self.assertEqual(self.one(cloud, "user", name=self.name)["email"], "29@x.org")

    def test_the_real_command_line_client_does_its_job(self) -> None:
        self.system.central.add_region_endpoint("SystemController", self.system.url + "/v3")
        before = self.system.number_of_jobs()
        done = subprocess.run(
            [
                SERVICES_PYTHON.parent / "openstack",
                "--os-region-name",
                "SystemController",
                *("user", "create", "-f", "json", "--password", "by-the-cli", self.name),
            ],
            env={**os.environ, **self.system.central.admin_environment(), "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertEqual(json.loads(done.stdout)["name"], self.name)
        self.assertEqual(self.system.number_of_jobs(), before + 1)
        summary = jobs.list_page(self.system.database, limit=1)[0]
        eventually(
            lambda: jobs.get(self.system.database, summary.job.uuid).job.finished_at,
            "the end of the job",
        )
        for cloud in self.system.subclouds.values():
            self.assertTrue(self.can_login(cloud, self.name, "by-the-cli"))


class Names(SystemTest):
    """Names that change hands while a subcloud is behind: no user becomes another one."""

    regions = ("subcloud1",)

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.system.subclouds["subcloud1"]

    def create(self, name: str, **fields: object) -> requests.Response:
        user = {"name": name, "domain_id": "default", **fields}
        answer = self.system.call("POST", "/v3/users", {"user": user})
        self.assertEqual(answer.status_code, 201, answer.text)
        return answer

    def set_password(self, password: str) -> None:
        """Change what headwater knows of the subcloud's administrator."""
        environment = {"HEADWATER_SUBCLOUD_PASSWORD": password}
        done = self.system.manage(
            "subcloud", "set", "subcloud1", "--password", environment=environment
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_delete_that_is_retried_late_does_not_hit_a_new_user_of_the_name(self) -> None:
        name = self.unique("user")
        first = self.create(name)
        self.system.wait(first)
        self.set_password("not-the-password")
        deleted = self.system.call("DELETE", f"/v3/users/{first.json()['user']['id']}")
        eventually(
            lambda: (
                self.system.requests_of(self.system.job(deleted))[0].state is RequestState.FAILED
            ),
            "the delete to fail",
        )
        self.set_password(self.cloud.admin_password)
        self.system.wait(self.create(name, email="new@x.org"))
        self.system.manage("job", "retry", deleted.headers["X-Headwater-Job"])
        self.system.wait(deleted)
        self.assertEqual(self.one(self.cloud, "user", name=name)["email"], "new@x.org")

    def test_a_backlog_in_which_a_name_changes_hands_gives_each_user_its_own(self) -> None:
        old_name, new_name = self.unique("old"), self.unique("new")
        role = {"name": self.unique("role")}
        project = {"name": self.unique("project"), "domain_id": "default"}
        role_id = self.system.change("POST", "/v3/roles", {"role": role}).json()["role"]["id"]
        project_id = self.system.change("POST", "/v3/projects", {"project": project}).json()[
            "project"
        ]["id"]
        # Older than the gateway on both sides.
        body = {"user": {"name": old_name, "domain_id": "default"}}
        user_id = self.system.central.request("POST", "/v3/users", body).json()["user"]["id"]
        there = self.cloud.request("POST", "/v3/users", body).json()["user"]["id"]
        self.cloud.stop()
        link = f"/v3/projects/{project_id}/users/{user_id}/roles/{role_id}"
        answers = [
            self.system.call("PUT", link),
            self.system.call("PATCH", f"/v3/users/{user_id}", {"user": {"name": new_name}}),
            self.create(old_name, email="second@x.org"),
        ]
        self.cloud.start()
        self.cloud.wait_ready()
        for answer in answers:
            self.system.wait(answer)
        renamed = self.one(self.cloud, "user", name=new_name)
        second = self.one(self.cloud, "user", name=old_name)
        self.assertEqual(renamed["id"], there)
        self.assertNotEqual(second["id"], there)
        self.assertEqual(second["email"], "second@x.org")
        assignments = self.cloud.request("GET", f"/v3/role_assignments?user.id={there}").json()
        self.assertEqual(len(assignments["role_assignments"]), 1)

    def test_a_user_whose_default_project_exists_nowhere_is_created_without_it(self) -> None:
        name = self.unique("user")
        answer = self.create(name, default_project_id="0" * 32, password="still-set")
        (request,) = self.system.wait(answer)
        self.assertIn("Without default_project_id", request.error or "")
        self.assertTrue(self.can_login(self.cloud, name, "still-set"))


class Trouble(SystemTest):
    """Subclouds and clouds that are away, refuse, or are not what was configured."""

    # The most talkative log, in which no secret may stand either.
    options: ClassVar = {"DEFAULT": {"debug": True}}

    def lane(self, name: str) -> SyncStatus:
        subcloud = subclouds.get(self.system.database, name)
        return lanes.of_subclouds(self.system.database, [subcloud.id])[0].sync_status

    def failed(self, answer: requests.Response) -> Request | None:
        """The first request of an answer's job that has failed."""
        found = self.system.requests_of(self.system.job(answer))
        return next((each for each in found if each.state is RequestState.FAILED), None)

    def test_a_subcloud_that_is_down_during_a_change_gets_it_when_it_is_back(self) -> None:
        name = self.unique("user")
        down = self.system.subclouds["subcloud2"]
        down.stop()
        answer = self.system.call("POST", "/v3/users", {"user": {"name": name, "password": "pw-1"}})
        self.assertEqual(answer.status_code, 201, answer.text)
        self.system.wait(answer, among=["subcloud1"])
        self.one(self.system.subclouds["subcloud1"], "user", name=name)
        user_id = answer.json()["user"]["id"]
        self.system.call("PATCH", f"/v3/users/{user_id}", {"user": {"password": "pw-2"}})
        self.assertIs(self.lane("subcloud2"), SyncStatus.OUT_OF_SYNC)
        eventually(
            lambda: (
                subclouds.get(self.system.database, "subcloud2").availability_status
                is Availability.OFFLINE
            ),
            "subcloud2 to be offline",
        )
        down.start()
        down.wait_ready()
        found = self.system.wait(answer)
        self.assertEqual([each.try_count for each in found], [1, 1], "waiting uses no tries up")
        # Nothing says that it is in sync: in this installation nobody audits.
        eventually(lambda: self.lane("subcloud2") is SyncStatus.UNKNOWN, "the lane to be done")
        self.assertTrue(self.can_login(down, name, "pw-2"))
        self.assertIs(
            subclouds.get(self.system.database, "subcloud2").availability_status,
            Availability.ONLINE,
        )

    def test_a_frozen_subcloud_holds_up_nobody_else(self) -> None:
        name = self.unique("group")
        frozen = self.system.subclouds["subcloud2"]
        frozen.pause()
        try:
            body = {"group": {"name": name, "domain_id": "default"}}
            answer = self.system.call("POST", "/v3/groups", body)
            self.system.wait(answer, among=["subcloud1"])
            self.one(self.system.subclouds["subcloud1"], "group", name=name)
        finally:
            frozen.resume()
        self.system.wait(answer)
        self.one(frozen, "group", name=name)

    def test_wrong_credentials_are_named_retried_failed_and_can_be_mended(self) -> None:
        system = self.system
        password = system.subclouds["subcloud2"].admin_password
        wrong = {"HEADWATER_SUBCLOUD_PASSWORD": "not-the-password"}
        done = system.manage("subcloud", "set", "subcloud2", "--password", environment=wrong)
        self.assertEqual(done.returncode, 0, done.stderr)
        body = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        answer = system.call("POST", "/v3/groups", body)
        job_id = answer.headers["X-Headwater-Job"]

        request = eventually(lambda: self.failed(answer), "the request to fail")
        self.assertEqual(request.region_name, "subcloud2")
        self.assertEqual(request.try_count, 5)
        self.assertIn("Login refused", request.error)
        done = system.manage("job", "requests", job_id, "-f", "json")
        self.assertIn("Login refused", done.stdout)
        self.assertNotIn("not-the-password", done.stdout)
        done = system.manage("job", "wait", job_id)
        self.assertEqual(done.returncode, 1)
        self.assertIn("job retry", done.stderr)

        right = {"HEADWATER_SUBCLOUD_PASSWORD": password}
        system.manage("subcloud", "set", "subcloud2", "--password", environment=right)
        done = system.manage("job", "retry", job_id)
        self.assertEqual(done.returncode, 0, done.stderr)
        system.wait(answer)
        self.one(system.subclouds["subcloud2"], "group", name=body["group"]["name"])

    def test_no_change_locks_headwater_out_of_a_subcloud(self) -> None:
        system, name = self.system, self.unique("robot")
        cloud = system.subclouds["subcloud2"]
        central_id = system.central.create_service_user(name, "first", "admin")
        cloud.create_service_user(name, "there", "admin")
        arguments = ("subcloud", "set", "subcloud2", "--password")
        before = {"HEADWATER_SUBCLOUD_PASSWORD": cloud.admin_password}
        now = {"HEADWATER_SUBCLOUD_PASSWORD": "there"}
        as_robot = ("--username", name, "--project-name", "service")
        system.manage(*arguments, *as_robot, environment=now).check_returncode()
        as_admin = ("--username", "admin", "--project-name", "admin")
        self.addCleanup(system.manage, *arguments, *as_admin, environment=before)

        answer = system.call("PATCH", f"/v3/users/{central_id}", {"user": {"password": "second"}})
        system.wait(answer, among=["subcloud1"])
        refused = eventually(lambda: self.failed(answer), "the request to fail")
        self.assertEqual(("subcloud2", 1), (refused.region_name, refused.try_count))
        self.assertIn("headwater logs in to the subcloud as this user", refused.error or "")
        self.assertTrue(self.can_login(system.subclouds["subcloud1"], name, "second"))
        self.assertTrue(self.can_login(cloud, name, "there"))
        body = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        system.wait(system.call("POST", "/v3/groups", body))

    def test_a_failed_change_that_is_retried_late_does_not_undo_a_later_one(self) -> None:
        system = self.system
        cloud = system.subclouds["subcloud2"]
        user = {"name": self.unique("user"), "domain_id": "default"}
        user_id = system.change("POST", "/v3/users", {"user": user}).json()["user"]["id"]
        wrong = {"HEADWATER_SUBCLOUD_PASSWORD": "not-the-password"}
        system.manage("subcloud", "set", "subcloud2", "--password", environment=wrong)
        first = system.call("PATCH", f"/v3/users/{user_id}", {"user": {"email": "first@x.org"}})
        eventually(
            lambda: any(
                each.state is RequestState.FAILED for each in system.requests_of(system.job(first))
            ),
            "the first change to fail",
        )
        right = {"HEADWATER_SUBCLOUD_PASSWORD": cloud.admin_password}
        system.manage("subcloud", "set", "subcloud2", "--password", environment=right)
        system.change("PATCH", f"/v3/users/{user_id}", {"user": {"email": "second@x.org"}})
        system.manage("job", "retry", first.headers["X-Headwater-Job"])
        system.wait(first)
        self.assertEqual(self.one(cloud, "user", name=user["name"])["email"], "second@x.org")

    def test_a_killed_process_leaves_nothing_undone(self) -> None:
        down = self.system.subclouds["subcloud2"]
        down.stop()
        names = [self.unique("user") for _ in range(5)]
        answers = [
            self.system.call("POST", "/v3/users", {"user": {"name": name}}) for name in names
        ]
        self.system.process.kill()
        down.start()
        down.wait_ready()
        type(self).system.process = self.system.start("headwater-all-in-one")
        for answer in answers:
            self.system.wait(answer)
        for name in names:
            for cloud in self.system.subclouds.values():
                self.one(cloud, "user", name=name)

    def test_an_unmanaged_subcloud_is_left_alone_and_gets_what_it_missed_when_managed(self) -> None:
        system = self.system
        self.assertEqual(system.manage("subcloud", "unmanage", "subcloud2").returncode, 0)
        first = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        answer = system.call("POST", "/v3/groups", first)
        found = system.wait(answer, among=["subcloud1"])
        self.assertEqual([each.region_name for each in found], ["subcloud1"])
        cloud = system.subclouds["subcloud2"]
        self.assertEqual(self.find(cloud, "group", name=first["group"]["name"]), [])
        self.assertEqual(system.manage("subcloud", "manage", "subcloud2").returncode, 0)
        second = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        system.change("POST", "/v3/groups", second)
        self.one(cloud, "group", name=second["group"]["name"])
        eventually(
            lambda: self.find(cloud, "group", name=first["group"]["name"]),
            "the change that was missed",
            every=0.05,
        )

    def test_a_subcloud_that_is_unmanaged_while_its_lane_waits_costs_nothing(self) -> None:
        # Its back-off ends and nobody may claim it: the process must not spin.
        down = self.system.subclouds["subcloud2"]
        down.stop()
        body = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        answer = self.system.call("POST", "/v3/groups", body)
        self.system.wait(answer, among=["subcloud1"])
        self.system.manage("subcloud", "unmanage", "subcloud2")
        ticks = os.sysconf("SC_CLK_TCK")

        def cpu() -> float:
            fields = pathlib.Path(f"/proc/{self.system.process.popen.pid}/stat").read_text()
            user, system = fields.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / ticks

        before, start = cpu(), time.monotonic()
        eventually(lambda: time.monotonic() - start > 2, "two seconds, beyond every back-off")
        self.assertLess(cpu() - before, 1.0)
        self.assertEqual(self.system.call("GET", "/v3/groups").status_code, 200)
        down.start()
        down.wait_ready()
        self.system.manage("subcloud", "manage", "subcloud2")
        self.system.wait(answer)

    def test_a_database_that_is_locked_holds_up_changes_only(self) -> None:
        system = self.system
        self.assertEqual(system.call("GET", "/v3/groups").status_code, 200)
        body = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with system.database.write() as connection:
                lock, unlock = LOCKS[system.database.dialect]
                connection.exec_driver_sql(lock)
                change = pool.submit(system.call, "POST", "/v3/groups", body)
                for _ in range(5):
                    start = time.monotonic()
                    self.assertEqual(system.call("GET", "/v3/groups").status_code, 200)
                    self.assertLess(time.monotonic() - start, 5)
                self.assertFalse(change.done())
                connection.exec_driver_sql(unlock)
            answer = change.result(PATIENCE)
        self.assertEqual(answer.status_code, 201, answer.text)
        system.wait(answer)

    def test_no_secret_lies_anywhere_in_the_clear(self) -> None:
        system = self.system
        first, second = self.unique("S3cret"), self.unique("S3cret")
        user = {"name": self.unique("user"), "domain_id": "default", "password": first}
        answer = system.change("POST", "/v3/users", {"user": user})
        user_id = answer.json()["user"]["id"]
        body = {"user": {"password": second, "original_password": first}}
        changed = system.change("POST", f"/v3/users/{user_id}/password", body)
        waiting = [answer, changed]
        eventually(
            lambda: all(system.job(each).job.finished_at for each in waiting), "the end of jobs"
        )
        with system.database.read() as connection:
            left = connection.exec_driver_sql(
                "SELECT COUNT(*) FROM orch_job WHERE resource_info IS NOT NULL "
                "AND finished_at IS NOT NULL"
            ).scalar_one()
        self.assertEqual(left, 0, "bodies are dropped with the last request")
        needles = [first, second, system.subclouds["subcloud1"].admin_password]
        with system.database.read() as connection:
            for table in models.metadata.tables.values():
                rows = repr(connection.execute(table.select()).all())
                for needle in needles:
                    self.assertNotIn(needle, rows, table.name)
        for path in system.directory.rglob("*"):
            if not path.is_file() or "headwater" not in path.name or path == system.config:
                continue
            content = path.read_bytes()
            for needle in needles:
                self.assertNotIn(needle.encode(), content, path)


for _class in (Replay, Names, Trouble):
    databases.on_servers(_class)
# Else it would be collected once more under that name.
del _class

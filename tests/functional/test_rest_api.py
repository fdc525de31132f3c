# SPDX-License-Identifier: Apache-2.0
"""The API as clients meet it: a real token, a real change, progress as it comes."""

import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, ClassVar

import requests

from tests.functional.system import SystemTest
from tests.support.waiting import PATIENCE

_POLICY = """
"gateway:identity:role:create": "role:nobody"
"gateway:identity:user:update": "role:admin"
"headwater:summary:show": "role:reader"
"""


class RestApi(SystemTest):
    """headwater-all-in-one with a policy file of the operator's own."""

    regions: ClassVar = ("subcloud1", "subcloud2")

    @classmethod
    def setUpClass(cls) -> None:
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        file = directory / "policy.yaml"
        file.write_text(_POLICY)
        cls.options = {"oslo_policy": {"policy_file": file}}
        super().setUpClass()
        cls.url = "http://" + cls.system.process.wait_for(r"The API listens on http://(\S+)")[1]

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        **options: Any,
    ) -> requests.Response:
        headers = {"X-Auth-Token": token or self.system.central.admin_session().get_token()}
        headers.update(options.pop("headers", {}))
        return self.system.http.request(
            method, self.url + path, json=body, headers=headers, timeout=PATIENCE, **options
        )

    def token_of(self, name: str, role: str) -> str:
        """A token of a new user with a role in a new project."""
        central = self.system.central
        project = self.make("project", name=name, domain_id="default")
        user = self.make("user", name=name, domain_id="default", password="a-password")
        role_id = self.one(central, "role", name=role)["id"]
        central.request("PUT", f"/v3/projects/{project}/users/{user}/roles/{role_id}")
        answer = requests.post(
            f"{central.auth_url}/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {"user": {"id": user, "password": "a-password"}},
                    },
                    "scope": {"project": {"id": project}},
                }
            },
            timeout=PATIENCE,
        )
        return answer.headers["X-Subject-Token"]

    def make(self, noun: str, **fields: object) -> str:
        answer = self.system.central.request("POST", f"/v3/{noun}s", {noun: fields})
        made: str = answer.json()[noun]["id"]
        return made

    def change(self) -> tuple[str, str]:
        """A change through the gateway; the name of its group and the job's id."""
        name = self.unique("group")
        answer = self.system.call(
            "POST", "/v3/groups", {"group": {"name": name, "domain_id": "default"}}
        )
        self.assertEqual(201, answer.status_code, answer.text)
        return name, answer.headers["X-Headwater-Job"]

    def events(self, job: str, **headers: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        with self.ask("GET", f"/v1/jobs/{job}/events", stream=True, headers=headers) as answer:
            self.assertEqual(200, answer.status_code)
            fields: dict[str, str] = {}
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                name, _, value = line.partition(": ")
                if line and name:
                    fields[name] = value
                elif fields:
                    yield fields["id"], fields["event"], json.loads(fields["data"])
                    fields = {}

    def test_a_job_is_waited_for_by_the_id_in_the_gateways_answer(self) -> None:
        name, job = self.change()
        shown = self.ask("GET", f"/v1/jobs/{job}?wait=30").json()["job"]
        self.assertEqual(
            ("completed", 2, name, "admin"),
            (
                shown["state"],
                shown["requests"]["completed"],
                shown["resource_name"],
                shown["user_name"],
            ),
        )
        for cloud in self.system.subclouds.values():
            self.one(cloud, "group", name=name)

    def test_progress_is_streamed_while_a_subcloud_is_away_and_goes_on_after_a_break(self) -> None:
        away = self.system.subclouds["subcloud2"]
        away.stop()
        self.addCleanup(away.wait_ready)
        _, job = self.change()
        key = ""
        for last, event, shown in self.events(job):
            key = last
            self.assertEqual("progress", event)
            if shown["requests"]["completed"] == 1:
                break  # the client loses its connection
        away.start()
        seen = list(self.events(job, **{"Last-Event-ID": key}))
        self.assertNotIn(key, [each[0] for each in seen])
        _, event, shown = seen[-1]
        self.assertEqual(("end", 2), (event, shown["requests"]["completed"]))

    def test_a_subclouds_life(self) -> None:
        name = self.unique("edge")
        cloud = self.system.subclouds["subcloud1"]
        new = {"name": name, "auth_url": cloud.auth_url, "password": cloud.admin_password}
        answer = self.ask("POST", "/v1/subclouds", {"subcloud": new})
        self.assertEqual(201, answer.status_code, answer.text)
        path = f"/v1/subclouds/{name}"
        # Other tests' changes are not meant for it, whatever becomes of this one.
        self.addCleanup(self.ask, "POST", f"{path}/unmanage", {"drop_backlog": True})
        self.ask("PATCH", path, {"subcloud": {"availability_override": "offline"}})
        self.assertEqual(200, self.ask("POST", f"{path}/manage", {}).status_code)
        self.change()
        (lane,) = self.ask("GET", f"{path}/lanes").json()["lanes"]
        self.assertEqual(("out-of-sync", "requested"), (lane["sync_status"], lane["sync_request"]))
        self.assertEqual(1, lane["pending"])
        self.assertEqual(409, self.ask("DELETE", path).status_code)
        dropped = self.ask("POST", f"{path}/unmanage", {"drop_backlog": True}).json()["dropped"]
        self.assertEqual(1, dropped)
        self.assertEqual(204, self.ask("DELETE", path).status_code)
        self.assertNotIn(name, [each["name"] for each in self.all_subclouds()])

    def all_subclouds(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/subclouds").json()["subclouds"]
        return found

    def test_roles_of_real_tokens_decide(self) -> None:
        token = self.token_of(self.unique("member"), "member")
        for path, status in (
            ("/v1/subclouds", 403),
            ("/v1/summary", 200),
            ("/v1/jobs", 200),
            ("/v1/endpoint_types", 200),
        ):
            self.assertEqual(status, self.ask("GET", path, token=token).status_code, path)
        self.change()
        self.assertEqual([], self.ask("GET", "/v1/jobs", token=token).json()["jobs"])
        answer = self.ask("POST", "/v1/subclouds/subcloud1/unmanage", {}, token=token)
        self.assertEqual(403, answer.status_code)
        log = self.system.process.log()
        self.assertRegex(log, r'headwater.trail .*"path": "/v1/subclouds/subcloud1/unmanage"')

    def test_an_operators_rule_stops_a_change_at_the_gateway(self) -> None:
        jobs = self.system.number_of_jobs()
        answer = self.system.call("POST", "/v3/roles", {"role": {"name": self.unique("role")}})
        self.assertEqual(403, answer.status_code)
        self.assertIn("gateway:identity:role:create", answer.json()["error"]["message"])
        self.assertEqual(jobs, self.system.number_of_jobs())
        self.change()

    def test_a_client_without_a_token_has_no_roles_whatever_it_says(self) -> None:
        user = {"name": self.unique("user"), "domain_id": "default", "password": "old-password"}
        made = self.system.change("POST", "/v3/users", {"user": user}).json()["user"]["id"]
        # A change of one's own password proves itself and needs no token.
        answer = requests.post(
            f"{self.system.url}/v3/users/{made}/password",
            json={"user": {"original_password": "old-password", "password": "new-password"}},
            headers={"X-Roles": "admin", "X-User-Id": made, "X-Identity-Status": "Confirmed"},
            timeout=PATIENCE,
        )
        self.assertEqual(403, answer.status_code, answer.text)
        self.assertIn("gateway:identity:user:update", answer.json()["error"]["message"])
        self.assertTrue(self.can_login(self.system.central, user["name"], "old-password"))

    def test_whoever_works_is_listed(self) -> None:
        (found,) = self.ask("GET", "/v1/services").json()["services"]
        self.assertEqual(("all-in-one", True), (found["kind"], found["alive"]))

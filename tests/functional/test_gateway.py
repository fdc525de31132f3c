# SPDX-License-Identifier: Apache-2.0
"""The gateway as its clients see it: who passes, what comes back, what is refused."""

import json
import re
import socket
from typing import ClassVar
from urllib.parse import urlsplit

import requests

from tests.functional.system import Process, SystemTest, login
from tests.support import databases
from tests.support.relay import Piece, Relay
from tests.support.waiting import PATIENCE, eventually

GROUPS = "/v3/groups"


class Gateway(SystemTest):
    """In front of a central cloud that works."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {"api_proxy": {"max_recorded_body": 4096, "trusted_proxies": "127.0.0.1"}}

    def group(self) -> dict[str, object]:
        return {"group": {"name": self.unique("group"), "domain_id": "default"}}

    def plain(self, method: str, path: str, **options: object) -> requests.Response:
        """A call without a token."""
        return self.system.http.request(
            method,
            self.system.url + path,
            timeout=PATIENCE,
            **options,  # type: ignore[arg-type]
        )

    def raw(self, *lines: str, body: bytes = b"") -> bytes:
        """Bytes to the gateway as they are; everything that comes back."""
        address = urlsplit(self.system.url)
        with socket.create_connection((address.hostname, address.port), PATIENCE) as client:
            client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while piece := client.recv(65536):
                received += piece
        return received

    def test_a_call_without_a_valid_token_is_refused_in_keystones_form(self) -> None:
        for headers in ({}, {"X-Auth-Token": "made-up"}):
            before = self.system.number_of_jobs()
            answer = self.plain("POST", GROUPS, json=self.group(), headers=headers)
            self.assertEqual(answer.status_code, 401)
            self.assertEqual(answer.json()["error"]["code"], 401)
            self.assertIn("Keystone uri=", answer.headers["WWW-Authenticate"])
            self.assertEqual(self.system.number_of_jobs(), before)

    def test_headers_that_auth_token_would_set_open_nothing(self) -> None:
        headers = {
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "admin",
            "X-Roles": "admin",
            "X-Is-Admin-Project": "True",
        }
        answer = self.plain("POST", GROUPS, json=self.group(), headers=headers)
        self.assertEqual(answer.status_code, 401)

    def test_logins_and_version_documents_need_no_token(self) -> None:
        self.assertEqual(self.plain("GET", "/").status_code, 300)
        self.assertEqual(self.plain("GET", "/v3").status_code, 200)
        self.assertEqual(self.plain("GET", "/v3/").status_code, 200)
        self.assertEqual(self.plain("HEAD", "/v3").content, b"")
        body = login("admin", self.system.central.admin_password)
        answer = self.plain("POST", "/v3/auth/tokens", json=body)
        self.assertEqual(answer.status_code, 201, answer.text)
        self.assertTrue(answer.headers["X-Subject-Token"])

    def test_every_link_points_at_the_gateway(self) -> None:
        created = self.system.change("POST", GROUPS, self.group())
        documents = [
            self.plain("GET", "/"),
            self.plain("GET", "/v3"),
            created,
            self.system.call("GET", GROUPS),
            self.system.call("GET", f"{GROUPS}/{created.json()['group']['id']}"),
        ]
        backend = urlsplit(self.system.central.url).netloc
        for answer in documents:
            links = re.findall(r'https?://[^/"\s]+', answer.text)
            self.assertTrue(links, answer.text)
            self.assertEqual(set(links), {self.system.url})
            self.assertNotIn(backend, answer.headers.get("Location", ""))

    def test_links_begin_as_a_trusted_proxy_says(self) -> None:
        host = urlsplit(self.system.url).netloc
        for headers, scheme in (
            ({"X-Forwarded-Proto": "https"}, "https"),
            ({"X-Forwarded-Proto": "gopher"}, "http"),
            # Keystone itself believes these, and the former before all others.
            ({"Forwarded": "proto=gopher;host=evil.example"}, "http"),
            ({"X-Forwarded-Host": "evil.example"}, "http"),
        ):
            with self.subTest(headers):
                links = re.findall(
                    r'[a-z]+://[^/"\s]+', self.plain("GET", "/v3", headers=headers).text
                )
                self.assertEqual({f"{scheme}://{host}"}, set(links))

    def test_reads_pass_and_leave_no_trace(self) -> None:
        before = self.system.number_of_jobs()
        answer = self.system.call("GET", "/v3/users?name=admin")
        self.assertEqual([user["name"] for user in answer.json()["users"]], ["admin"])
        self.assertNotIn("X-Headwater-Job", answer.headers)
        head = self.system.call("HEAD", f"/v3/users/{answer.json()['users'][0]['id']}")
        self.assertEqual((head.status_code, head.content), (200, b""))
        self.assertEqual(self.system.number_of_jobs(), before)

    def test_calls_that_no_file_describes_pass(self) -> None:
        region = {"region": {"id": self.unique("region")}}
        answer = self.system.call("POST", "/v3/regions", region)
        self.assertEqual(answer.status_code, 201, answer.text)
        self.assertNotIn("X-Headwater-Job", answer.headers)
        gone = self.system.call("DELETE", f"/v3/regions/{region['region']['id']}")
        self.assertEqual((gone.status_code, gone.content), (204, b""))

    def test_what_the_central_cloud_refuses_leaves_no_job(self) -> None:
        group = self.group()
        self.system.change("POST", GROUPS, group)
        before = self.system.number_of_jobs()
        for method, path, body, status in (
            ("POST", GROUPS, group, 409),
            ("POST", GROUPS, {"group": {"name": 7}}, 400),
            ("PATCH", f"{GROUPS}/unknown", {"group": {"name": "x"}}, 404),
            ("DELETE", f"{GROUPS}/unknown", None, 404),
            ("PUT", f"{GROUPS}/unknown/users/unknown", None, 404),
        ):
            with self.subTest(method=method, path=path):
                answer = self.system.call(method, path, body)
                self.assertEqual(answer.status_code, status, answer.text)
                self.assertEqual(answer.json()["error"]["code"], status)
                self.assertNotIn("X-Headwater-Job", answer.headers)
        self.assertEqual(self.system.number_of_jobs(), before)

    def test_a_user_who_may_not_is_refused_by_the_central_cloud(self) -> None:
        user = {"name": self.unique("user"), "domain_id": "default", "password": "password-1"}
        self.system.change("POST", "/v3/users", {"user": user})
        body = login(user["name"], "password-1")
        token = self.plain("POST", "/v3/auth/tokens", json=body).headers["X-Subject-Token"]
        before = self.system.number_of_jobs()
        answer = self.system.call("POST", GROUPS, self.group(), token=token)
        self.assertEqual(answer.status_code, 403)
        self.assertEqual(self.system.number_of_jobs(), before)

    def test_a_body_that_is_not_json_gets_the_central_clouds_own_refusal(self) -> None:
        before = self.system.number_of_jobs()
        for body in (b"{not json", b"[]", b'"group"', b""):
            with self.subTest(body=body):
                answer = self.system.http.post(
                    self.system.url + GROUPS,
                    data=body,
                    headers={
                        "X-Auth-Token": self.system.central.admin_session().get_token(),
                        "Content-Type": "application/json",
                    },
                    timeout=PATIENCE,
                )
                self.assertEqual(answer.status_code, 400, answer.text)
        self.assertEqual(self.system.number_of_jobs(), before)

    def test_a_recorded_body_over_the_limit_is_refused(self) -> None:
        group = self.group()
        group["group"]["description"] = "x" * 5000  # type: ignore[index]
        answer = self.system.call("POST", GROUPS, group)
        self.assertEqual(answer.status_code, 413)
        self.assertEqual(answer.json()["error"]["code"], 413)

        def pieces() -> object:
            yield json.dumps(group).encode()

        chunked = self.system.http.post(
            self.system.url + GROUPS,
            data=pieces(),
            headers={"X-Auth-Token": self.system.central.admin_session().get_token()},
            timeout=PATIENCE,
        )
        self.assertEqual(chunked.status_code, 413)

    def test_a_chunked_change_is_recorded(self) -> None:
        group = self.group()

        def pieces() -> object:
            for byte in json.dumps(group).encode():
                yield bytes([byte])

        answer = self.system.http.post(
            self.system.url + GROUPS,
            data=pieces(),
            headers={
                "X-Auth-Token": self.system.central.admin_session().get_token(),
                "Content-Type": "application/json",
            },
            timeout=PATIENCE,
        )
        self.assertEqual(answer.status_code, 201, answer.text)
        self.system.wait(answer)

    def test_other_spellings_of_a_path_are_recorded_too(self) -> None:
        for path in (
            "/v3/groups/",
            "/v3/groups//",
            "/v3/%67roups",
            "/v3%2Fgroups",
            "/v3/groups?x=1",
        ):
            with self.subTest(path=path):
                answer = self.system.call("POST", path, self.group())
                if answer.ok:
                    self.system.wait(answer)
                else:
                    self.assertEqual(answer.status_code, 404, answer.text)

    def test_the_job_knows_who_asked(self) -> None:
        request_id = "req-12345678-1234-1234-1234-123456789012"
        answer = self.system.call(
            "POST", GROUPS, self.group(), headers={"X-Openstack-Request-Id": request_id}
        )
        job = self.system.job(answer).job
        admin = self.one(self.system.central, "user", name="admin")
        project = self.one(self.system.central, "project", name="admin")
        self.assertEqual(
            (job.user_id, job.user_name, job.project_id, job.request_id),
            (admin["id"], "admin", project["id"], request_id),
        )
        without = self.system.change("POST", GROUPS, self.group())
        self.assertEqual(
            self.system.job(without).job.request_id, without.headers["X-Openstack-Request-Id"]
        )

    def test_what_can_be_read_in_two_ways_is_refused(self) -> None:
        start = ["POST /v3/auth/tokens HTTP/1.1", "Host: x", "Connection: close"]
        for headers in (
            ["Content-Length: 2", "Content-Length: 3"],
            ["Content-Length: 2", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Content-Length: +2"],
            ["Content-Length : 2"],
        ):
            with self.subTest(headers=headers):
                received = self.raw(*start, *headers, body=b"{}")
                self.assertRegex(received, rb"^HTTP/1\.[01] 400 ")

    def test_behind_what_can_be_read_in_two_ways_nothing_more_is_read(self) -> None:
        hidden = b"GET /v3 HTTP/1.1\r\nHost: x\r\n\r\n"
        for headers in (
            [f"Content-Length: {len(hidden)}", "Content-Length: 0"],
            ["Content-Length: 0", f"Content-Length: {len(hidden)}"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: identity", f"Content-Length: {len(hidden)}"],
        ):
            with self.subTest(headers=headers):
                received = self.raw("POST /v3 HTTP/1.1", "Host: x", *headers, body=hidden)
                self.assertRegex(received, rb"^HTTP/1\.[01] 400 ")
                self.assertEqual(1, received.count(b"HTTP/1."))
                self.assertIn(b"Connection: close", received)

    def test_no_spelling_of_a_call_passes_by_the_router(self) -> None:
        user = self.one(self.system.central, "user", name="admin")["id"]
        for line in (
            "delete /v3/users/nobody",
            f"Patch /v3/users/{user}",
            f"PATCH /v3//users/{user}",
            f"PATCH /v3/./users/{user}",
            f"PATCH /v3/x/%2e%2e/users/{user}",
        ):
            with self.subTest(line):
                received = self.raw(f"{line} HTTP/1.1", "Host: x", "Connection: close")
                self.assertRegex(received, rb"^HTTP/1\.1 400 ")

    def test_an_exchange_that_comes_round_again_is_refused(self) -> None:
        answer = self.plain("GET", "/v3", headers={"Via": "1.1 other, 1.1 headwater"})
        self.assertEqual(answer.status_code, 508)

    def test_a_token_revoked_through_the_gateway_is_refused_by_the_central_cloud(self) -> None:
        session = self.system.central.admin_session()
        token = self.plain(
            "POST",
            "/v3/auth/tokens",
            json={
                "auth": {
                    "identity": {"methods": ["token"], "token": {"id": session.get_token()}},
                    "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
                }
            },
        ).headers["X-Subject-Token"]
        self.assertEqual(self.system.call("GET", GROUPS, token=token).status_code, 200)
        revoked = self.system.call("DELETE", "/v3/auth/tokens", headers={"X-Subject-Token": token})
        self.assertEqual(revoked.status_code, 204)
        eventually(
            lambda: self.system.call("GET", GROUPS, token=token).status_code == 401,
            "the token to be refused",
        )


class CentralCloudAway(SystemTest):
    """In front of a central cloud that is away or frozen."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {
        # Longer than any answer takes on a busy machine, and settled well after that.
        "api_proxy": {"answer_timeout": 2},
        "engine": {"settle_after": 6, "settle_interval": 0.2},
    }

    def test_a_central_cloud_that_is_away_is_a_502_and_leaves_no_job(self) -> None:
        self.assertEqual(self.system.call("GET", GROUPS).status_code, 200)  # the token is known
        self.system.central.stop()
        self.addCleanup(self.system.central.wait_ready)
        self.addCleanup(self.system.central.start)
        token = self.system.central.admin_session().get_token()
        before = self.system.number_of_jobs()
        for method, body in (("GET", None), ("POST", {"group": {"name": self.unique("g")}})):
            answer = self.system.call(method, GROUPS, body, token=token)
            self.assertEqual(answer.status_code, 502, answer.text)
            self.assertIn("cannot be reached", answer.json()["error"]["message"])
        self.assertEqual(self.system.number_of_jobs(), before)
        unknown = self.system.call("GET", GROUPS, token="not-seen-before")
        self.assertEqual(unknown.status_code, 503, unknown.text)
        self.assertEqual(unknown.json()["error"]["code"], 503)
        self.assertIn("Retry-After", unknown.headers)

    def unanswered(self, method: str, path: str, body: object = None) -> None:
        """Send a call that the central cloud carries out after the gateway has given up."""
        self.assertEqual(self.system.call("GET", GROUPS).status_code, 200)  # the token is known
        self.system.central.pause()
        try:
            answer = self.system.call(method, path, body)
        finally:
            self.system.central.resume()
        self.assertEqual(answer.status_code, 504, answer.text)
        self.assertEqual(answer.json()["error"]["code"], 504)

    def await_settled(self) -> None:
        eventually(lambda: not self.system.open_jobs(), "open jobs to be settled")

    def test_a_create_whose_answer_was_lost_is_found_and_replayed(self) -> None:
        group = {"name": self.unique("group"), "domain_id": "default", "description": "Lost."}
        self.unanswered("POST", GROUPS, {"group": group})
        self.assertEqual([each.job.master_id for each in self.system.open_jobs()], [None])
        self.await_settled()
        cloud = self.system.subclouds["subcloud1"]
        eventually(lambda: self.find(cloud, "group", name=group["name"]), "the group")
        self.assertEqual(self.one(cloud, "group", name=group["name"])["description"], "Lost.")

    def test_a_user_with_a_password_whose_answer_was_lost_waits_for_the_operator(self) -> None:
        # It may be older than the gateway: then the create was refused, with its password.
        user = {"name": self.unique("user"), "domain_id": "default", "password": "kept-safe"}
        self.unanswered("POST", "/v3/users", {"user": user})
        (left,) = self.system.open_jobs()
        self.system.process.wait_for(f"{left.job.uuid} stays open: nobody can read")
        cloud = self.system.subclouds["subcloud1"]
        self.assertEqual(self.find(cloud, "user", name=user["name"]), [])
        settle = ("job", "settle", left.job.uuid, "--accept", "--resource-id")
        self.assertIn("has no user", self.system.manage(*settle, "mistyped").stderr)
        made = self.one(self.system.central, "user", name=user["name"])
        done = self.system.manage(*settle, made["id"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.system.manage("job", "wait", left.job.uuid).returncode, 0)
        self.assertTrue(self.can_login(cloud, user["name"], "kept-safe"))

    def test_an_update_and_a_delete_whose_answers_were_lost_are_replayed(self) -> None:
        cloud = self.system.subclouds["subcloud1"]
        groups = [
            self.system.change(
                "POST", GROUPS, {"group": {"name": self.unique("group"), "domain_id": "default"}}
            ).json()["group"]
            for _ in range(2)
        ]
        name = self.unique("renamed")
        self.unanswered("PATCH", f"{GROUPS}/{groups[0]['id']}", {"group": {"name": name}})
        self.unanswered("DELETE", f"{GROUPS}/{groups[1]['id']}")
        self.await_settled()
        eventually(lambda: self.find(cloud, "group", name=name), "the new name on the subcloud")
        eventually(
            lambda: not self.find(cloud, "group", name=groups[1]["name"]), "the group to be gone"
        )

    def test_a_create_that_was_refused_unheard_is_dropped(self) -> None:
        group = {"group": {"name": self.unique("group"), "domain_id": "default"}}
        self.system.change("POST", GROUPS, group)
        before = self.system.number_of_jobs()
        self.unanswered("POST", GROUPS, group)
        self.await_settled()
        self.assertEqual(self.system.number_of_jobs(), before)

    def test_a_password_change_whose_answer_was_lost_waits_for_the_operator(self) -> None:
        user = {"name": self.unique("user"), "domain_id": "default", "password": "first-one"}
        user_id = self.system.change("POST", "/v3/users", {"user": user}).json()["user"]["id"]
        self.unanswered("PATCH", f"/v3/users/{user_id}", {"user": {"password": "second-one"}})
        self.system.process.wait_for("stays open: nobody can read")
        done = self.system.manage("job", "list", "--state", "open", "-f", "json")
        (row,) = json.loads(done.stdout)
        cloud = self.system.subclouds["subcloud1"]
        self.assertTrue(self.can_login(cloud, user["name"], "first-one"))
        done = self.system.manage("job", "settle", row["ID"], "--accept")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.system.manage("job", "wait", row["ID"])
        self.assertTrue(self.can_login(cloud, user["name"], "second-one"))


class Start(SystemTest):
    """What cannot work stops the start with one line."""

    regions = ()

    def test_a_database_that_cannot_be_written_is_named(self) -> None:
        file = self.system.directory / "missing" / "headwater.db"
        done = self.run_with("database", "connection", f"sqlite:///{file}")
        self.assertIn(str(file), done)

    def test_an_address_in_use_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            done = self.run_with("endpoint_type:identity", "listen", listen)
        self.assertIn(listen, done)

    def test_an_endpoint_file_that_is_wrong_is_named(self) -> None:
        own = self.system.directory / "own"
        own.mkdir(exist_ok=True)
        (own / "mine.yaml").write_text("endpoint_type: mine\n")
        done = self.run_with("endpoints", "directory", str(own))
        self.assertIn("mine.yaml", done)
        self.assertIn("service_type", done)

    def run_with(self, group: str, name: str, value: str) -> str:
        """Start with one option changed; the one line that it ends with."""
        config = self.system.config.read_text()
        part = self.system.directory / "changed.conf"
        part.write_text(f"{config}\n[{group}]\n{name} = {value}\n")
        process = Process("headwater-all-in-one", part, self.system.directory / "start.log")
        self.assertEqual(process.popen.wait(PATIENCE), 1, process.log())
        last = process.log().strip().splitlines()[-1]
        self.assertTrue(last.startswith("headwater-all-in-one: "), process.log())
        self.assertNotIn("Traceback", process.log())
        return last


for _class in (Gateway, CentralCloudAway):
    databases.on_servers(_class)
# Else it would be collected once more under that name.
del _class


class SlowCentralCloud(SystemTest):
    """In front of a central cloud that takes longer than the settler waits."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {"engine": {"settle_after": 0.2, "settle_interval": 0.1}}

    def test_a_change_that_was_settled_before_it_was_made_still_reaches_the_subclouds(self) -> None:
        system = self.system
        group = {"name": self.unique("group"), "domain_id": "default", "description": "Old."}
        made = system.change("POST", GROUPS, {"group": group}).json()["group"]
        relay = self.enterContext(Relay(system.central.port))
        system.options["endpoint_type:identity"] = {"upstream": relay.url}
        system.write_config()
        system.process.stop()
        system.process = system.start("headwater-all-in-one")

        def hold(piece: Piece) -> None:
            if piece.to_server and piece.data.startswith(b"PATCH"):
                # It has been replayed as well: nothing would look at the central cloud again.
                uuid = system.process.wait_for(r"Job (\S+) is settled: it happened")[1]
                system.process.wait_for(f"Job {uuid} for subcloud1: completed")

        relay.watch = hold
        answer = system.call("PATCH", f"{GROUPS}/{made['id']}", {"group": {"description": "New."}})
        self.assertEqual(answer.status_code, 200, answer.text)
        system.wait(answer)
        cloud = system.subclouds["subcloud1"]
        self.assertEqual(self.one(cloud, "group", name=group["name"])["description"], "New.")

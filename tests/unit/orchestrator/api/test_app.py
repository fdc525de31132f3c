# SPDX-License-Identifier: Apache-2.0
"""What the API answers: versions and health to anybody, all else to those with a token."""

import json
from typing import ClassVar

import webob

from headwater.common.errors import Conflict, DatabaseUnavailable, EndpointFileError, NotFound
from tests.support.api import TOKEN, ApiTestCase


class VersionsTest(ApiTestCase):
    version: ClassVar = {
        "id": "v1.0",
        "status": "CURRENT",
        "links": [
            {"rel": "self", "href": "https://cloud.example:25080/v1/"},
            {"rel": "describedby", "href": "https://cloud.example:25080/v1/openapi.json"},
        ],
    }

    def test_the_root_lists_versions_by_the_address_that_was_asked(self) -> None:
        answer = self.ask("/")
        self.assertEqual((200, {"versions": [self.version]}), (answer.status_int, answer.json))
        self.assertRegex(answer.headers["X-Openstack-Request-Id"], "^req-[0-9a-f-]{36}$")

    def test_a_version_describes_itself_with_and_without_a_slash(self) -> None:
        for path in ("/v1", "/v1/", "/v1?limit=1"):
            answer = self.ask(path)
            self.assertEqual((200, {"version": self.version}), (answer.status_int, answer.json))

    def test_below_a_prefix_the_links_have_it_too(self) -> None:
        request = webob.Request.blank("/v1", environ={"SCRIPT_NAME": "/headwater"})
        link = request.get_response(self.app).json["version"]["links"][0]["href"]
        self.assertEqual("http://localhost/headwater/v1/", link)

    def test_head_is_get_without_a_body(self) -> None:
        for path in ("/", "/v1", "/healthcheck"):
            answer = self.ask(path, "HEAD")
            self.assertEqual((200, b""), (answer.status_int, answer.body))

    def test_browsers_get_json_too(self) -> None:
        self.assertEqual(200, self.ask("/", Accept="text/html,*/*;q=0.8").status_int)


class BehindProxiesTest(ApiTestCase):
    trusted_proxies = ("192.0.2.10",)

    def answer(self, peer: str, method: str = "GET", path: str = "/v1") -> webob.Response:
        headers = {
            "Host": "cloud.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "198.51.100.1",
            "X-Auth-Token": TOKEN,
        }
        environ = {"REMOTE_ADDR": peer}
        request = webob.Request.blank(path, environ, headers=headers, method=method)
        return request.get_response(self.app)

    def test_links_begin_as_a_trusted_proxy_says(self) -> None:
        for peer, scheme in (("192.0.2.10", "https"), ("192.0.2.11", "http")):
            with self.subTest(peer):
                link = self.answer(peer).json["version"]["links"][0]["href"]
                self.assertEqual(f"{scheme}://cloud.example/v1/", link)

    def test_the_trail_names_the_client_of_a_trusted_proxy(self) -> None:
        for peer, client in (("192.0.2.10", "198.51.100.1"), ("192.0.2.11", "192.0.2.11")):
            with self.subTest(peer), self.assertLogs("headwater.trail", "INFO") as logs:
                self.answer(peer, "DELETE", "/v1/subclouds/nowhere")
            self.assertEqual(client, json.loads(logs.records[0].getMessage())["from"])


class HealthTest(ApiTestCase):
    def test_it_is_200_or_503_and_never_cached(self) -> None:
        for works, status in ((True, 200), (False, 503)):
            self.health.works = works
            answer = self.ask("/healthcheck")
            self.assertEqual(status, answer.status_int)
            self.assertEqual("ok" if works else "unavailable", answer.json["status"])
            self.assertEqual("no-store", answer.headers["Cache-Control"])


class RefusalsTest(ApiTestCase):
    def test_all_but_the_open_paths_need_a_token(self) -> None:
        for path in ("/nothing", "/v1/subclouds", "/v1/x", "/v1x", "/healthcheck/x", "/versions"):
            with self.subTest(path):
                error = self.refused(self.ask(path))
                self.assertEqual((401, "headwater.unauthorized"), (error["status"], error["code"]))

    def test_an_unknown_path_is_404(self) -> None:
        for path in ("/nothing", "/v1/nothing/x", "/v1.json", "/v1/version", "/healthcheck/x"):
            for method in ("GET", "POST", "DELETE"):
                with self.subTest(f"{method} {path}"):
                    error = self.refused(self.ask(path, method, X_Auth_Token=TOKEN))
                    self.assertEqual(
                        (404, "headwater.not-found", "There is no such resource."),
                        (error["status"], error["code"], error["detail"]),
                    )

    def test_a_wrong_method_is_405_and_says_which_are_right(self) -> None:
        for path in ("/", "/v1", "/healthcheck"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                with self.subTest(f"{method} {path}"):
                    answer = self.ask(path, method)
                    self.assertEqual("GET, HEAD", answer.headers["Allow"])
                    self.assertEqual(405, self.refused(answer)["status"])

    def test_a_keystone_that_is_away_is_no_wrong_token(self) -> None:
        answer = self.ask("/nothing", X_Auth_Token="unknown")
        self.assertEqual(503, self.refused(answer)["status"])
        self.assertIn("Retry-After", answer.headers)

    def test_errors_of_ours_have_the_status_of_their_meaning(self) -> None:
        for raised, status, detail in (
            (NotFound("No edge-1."), 404, "No edge-1."),
            (Conflict("edge-1 is managed."), 409, "edge-1 is managed."),
            (DatabaseUnavailable("postgresql://u:p@h"), 503, "The service cannot do this now."),
            (EndpointFileError("f", "k", "r"), 500, "The service failed; its log says why."),
        ):
            with self.subTest(repr(raised)):
                self.health.error = raised
                error = self.refused(self.ask("/healthcheck"))
                self.assertEqual((status, detail), (error["status"], error["detail"]))

    def test_what_nobody_expected_is_500_and_in_the_log(self) -> None:
        self.health.error = ZeroDivisionError("secret")
        with self.assertLogs("headwater.orchestrator.api.app", "ERROR") as logs:
            error = self.refused(self.ask("/healthcheck"))
        self.assertEqual(500, error["status"])
        self.assertNotIn("secret", str(error))
        self.assertIn("ZeroDivisionError", logs.output[0])

# SPDX-License-Identifier: Apache-2.0
"""/v1/subclouds, /v1/lanes, /v1/drift and the installation as a whole."""

import itertools
import json
from typing import Any

import sqlalchemy as sa
import webob

from headwater.common.states import Availability, DriftAction, DriftKind
from headwater.db import audits, lanes, services, subclouds
from headwater.db.records import Finding
from tests.support import builders, databases
from tests.support.api import ADMIN, ApiTestCase

NEW = {"name": "edge-1", "auth_url": "https://edge.example:5000/v3", "password": "s3cret-word"}


@databases.on_every_backend
class SubcloudsTest(ApiTestCase):
    def add(self, **fields: object) -> dict[str, Any]:
        answer = self.call("POST", "/v1/subclouds", {"subcloud": {**NEW, **fields}})
        self.assertEqual(201, answer.status_int, answer.text)
        found: dict[str, Any] = answer.json["subcloud"]
        return found

    def test_a_new_one_is_unmanaged_with_defaults_and_an_encrypted_password(self) -> None:
        answer = self.call("POST", "/v1/subclouds", {"subcloud": NEW})
        self.assertEqual("https://cloud.example:25080/v1/subclouds/edge-1", answer.location)
        shown = answer.json["subcloud"]
        self.assertEqual(
            ("unmanaged", "unknown", "admin", {}),
            (
                shown["management_state"],
                shown["availability_status"],
                shown["username"],
                shown["labels"],
            ),
        )
        stored = subclouds.get(self.database, "edge-1").credentials
        self.assertEqual({"password": "s3cret-word"}, self.key_ring.decrypt(stored))
        with self.database.read() as connection:
            dump = str(connection.execute(sa.text("SELECT * FROM subcloud")).all())
        self.assertNotIn("s3cret-word", dump)

    def test_a_password_is_in_no_answer(self) -> None:
        self.add()
        self.call("PATCH", "/v1/subclouds/edge-1", {"subcloud": {"password": "s3cret-word"}})
        for path in ("/v1/subclouds", "/v1/subclouds/edge-1"):
            text = self.call("GET", path).text
            self.assertNotIn("s3cret-word", text)
            self.assertNotIn("credentials", text)

    def test_a_name_is_given_once(self) -> None:
        self.add()
        error = self.refused(self.call("POST", "/v1/subclouds", {"subcloud": NEW}))
        self.assertEqual((409, "headwater.conflict"), (error["status"], error["code"]))

    def test_wrong_input_is_named_and_changes_nothing(self) -> None:
        for fields, words in (
            ({"name": "a/b"}, "body.subcloud.name: must match"),
            ({"name": " a"}, "body.subcloud.name: must match"),
            ({"name": "x" * 256}, "at most 255 characters"),
            ({"auth_url": "ftp://x"}, "body.subcloud.auth_url: must match"),
            ({"auth_url": "http://user:pw@x"}, "body.subcloud.auth_url: must match"),
            ({"password": ""}, "body.subcloud.password: must have at least 1"),
            ({"password": 7}, "body.subcloud.password: must be string"),
            ({"colour": "red", "size": 1}, "unknown fields: 'colour', 'size'"),
            ({"labels": {"a b": "c"}}, "body.subcloud.labels"),
            ({"labels": {"a": "x\0"}}, "body.subcloud.labels.a: must match"),
        ):
            with self.subTest(fields):
                answer = self.call("POST", "/v1/subclouds", {"subcloud": {**NEW, **fields}})
                error = self.refused(answer)
                self.assertEqual(400, error["status"])
                self.assertIn(words, error["detail"])
        self.assertEqual([], self.call("GET", "/v1/subclouds").json["subclouds"])

    def test_what_was_refused_is_not_repeated_in_the_answer(self) -> None:
        body = {"subcloud": {**NEW, "password": "s3cret-word" * 500}}
        self.assertNotIn("s3cret", self.refused(self.call("POST", "/v1/subclouds", body))["detail"])

    def test_bodies_that_are_no_json_or_too_long_are_refused(self) -> None:
        for content, kind, status in (
            (b"{", "application/json", 400),
            (b"[]", "application/json", 400),
            (b'{"a": NaN}', "application/json", 400),
            (b"\xff", "application/json", 400),
            (b"[" * 60000, "application/json", 400),
            (b"a=b", "application/x-www-form-urlencoded", 415),
            (b"{}", "", 415),
            (b"x" * 70000, "application/json", 413),
        ):
            with self.subTest(content[:10]):
                answer = self.raw(content, kind)
                self.assertEqual(status, self.refused(answer)["status"])

    def raw(self, content: bytes, kind: str, **environ: str) -> Any:
        self.caller = ADMIN
        request = self.request("/v1/subclouds", "POST", content)
        request.environ.update({"CONTENT_TYPE": kind, **environ})
        return request.get_response(self.app)

    def request(self, path: str, method: str, content: bytes) -> Any:
        return webob.Request.blank(
            path, method=method, body=content, headers={"X-Auth-Token": "a-token"}
        )

    def test_chunks_are_refused_because_nobody_knows_how_many_come(self) -> None:
        answer = self.raw(b"{}", "application/json", HTTP_TRANSFER_ENCODING="chunked")
        self.assertEqual(411, self.refused(answer)["status"])
        self.assertEqual("close", answer.headers["Connection"])

    def test_one_is_shown_with_its_lanes(self) -> None:
        self.add(labels={"site": "north"})
        answer = self.call("GET", "/v1/subclouds/edge-1")
        shown = answer.json["subcloud"]
        self.assertEqual({"site": "north"}, shown["labels"])
        self.assertEqual(
            [("identity", "unknown", 0)],
            [
                (each["endpoint_type"], each["sync_status"], each["pending"])
                for each in shown["lanes"]
            ],
        )
        self.assertEqual(f'"{shown["generation"]}"', answer.headers["ETag"])
        self.assertEqual(404, self.refused(self.call("GET", "/v1/subclouds/no"))["status"])

    def test_an_odd_name_is_found_again(self) -> None:
        shown = self.add(name="Zürich 1%2F+é")
        location = self.call("POST", "/v1/subclouds", {"subcloud": {**NEW, "name": "ü b"}}).location
        found = self.call("GET", location.removeprefix("https://cloud.example:25080"))
        self.assertEqual("ü b", found.json["subcloud"]["name"])
        self.assertEqual("Zürich 1%2F+é", shown["name"])

    def test_a_change_raises_the_generation_and_stale_ones_are_refused(self) -> None:
        before = self.add()["generation"]
        change = {"subcloud": {"description": "d", "labels": {"a": "1"}}}
        path = "/v1/subclouds/edge-1"
        changed = self.call("PATCH", path, change, If_Match=f'"{before}"').json["subcloud"]
        self.assertEqual(("d", {"a": "1"}), (changed["description"], changed["labels"]))
        self.assertGreater(changed["generation"], before)
        for stale in (f'"{before}"', "junk", "9" * 40):
            answer = self.call("PATCH", path, {"subcloud": {"description": "e"}}, If_Match=stale)
            self.assertEqual(412, self.refused(answer)["status"])
        self.assertEqual("d", self.call("GET", path).json["subcloud"]["description"])
        for fresh in (f'W/"{changed["generation"]}"', "*"):
            answer = self.call("PATCH", path, {"subcloud": {"description": None}}, If_Match=fresh)
            self.assertEqual(200, answer.status_int)

    def test_the_operators_word_about_availability(self) -> None:
        self.add()
        path = "/v1/subclouds/edge-1"
        for word, status in (("offline", "offline"), ("online", "online"), (None, "unknown")):
            body = {"subcloud": {"availability_override": word}}
            shown = self.call("PATCH", path, body).json["subcloud"]
            self.assertEqual(
                (word, status), (shown["availability_override"], shown["availability_status"])
            )

    def test_nothing_to_change_is_refused(self) -> None:
        self.add()
        answer = self.call("PATCH", "/v1/subclouds/edge-1", {"subcloud": {}})
        self.assertIn("must not be empty", self.refused(answer)["detail"])

    def test_it_is_managed_synced_audited_unmanaged_and_deleted(self) -> None:
        self.add()
        path = "/v1/subclouds/edge-1"
        managed = self.call("POST", f"{path}/manage", {}).json["subcloud"]
        self.assertEqual("managed", managed["management_state"])
        self.assertEqual(["look"], self.woken)
        self.assertEqual(409, self.refused(self.call("DELETE", path))["status"])
        builders.accepted_job(self.database)
        for action in ("sync", "audit"):
            answer = self.call("POST", f"{path}/{action}", {})
            self.assertEqual((202, {"lanes": 1}), (answer.status_int, answer.json))
            self.assertEqual(f"https://cloud.example:25080{path}/lanes", answer.location)
        (lane,) = self.call("GET", f"{path}/lanes").json["lanes"]
        self.assertEqual(("requested", 1), (lane["audit"]["status"], lane["pending"]))
        self.assertIsNotNone(lane["oldest_pending_at"])
        answer = self.call("POST", f"{path}/unmanage", {"drop_backlog": True})
        self.assertEqual(
            ("unmanaged", 1),
            (answer.json["subcloud"]["management_state"], answer.json["dropped"]),
        )
        self.assertEqual(204, self.call("DELETE", path).status_int)
        self.assertEqual(404, self.refused(self.call("DELETE", path))["status"])

    def test_a_call_without_a_body_is_one_with_an_empty_one(self) -> None:
        self.add()
        self.assertEqual(202, self.call("POST", "/v1/subclouds/edge-1/sync").status_int)

    def test_marks(self) -> None:
        self.add()
        path = "/v1/subclouds/edge-1/unmanaged_resources"
        mark = {"endpoint_type": "identity", "resource_type": "user", "key": "/u1"}
        for _ in range(2):
            self.assertEqual(204, self.call("POST", f"{path}/add", mark).status_int)
        (found,) = self.call("GET", path).json["unmanaged_resources"]
        self.assertEqual(mark, {name: found[name] for name in mark})
        self.assertEqual(204, self.call("POST", f"{path}/remove", mark).status_int)
        self.assertEqual(404, self.refused(self.call("POST", f"{path}/remove", mark))["status"])
        wrong = {**mark, "resource_type": "hat"}
        self.assertEqual(404, self.refused(self.call("POST", f"{path}/add", wrong))["status"])

    def test_every_change_leaves_a_line_in_the_trail(self) -> None:
        with self.assertLogs("headwater.trail", "INFO") as logs:
            self.add()
            self.call("POST", "/v1/subclouds", {"subcloud": NEW})
            self.ask("/v1/subclouds", "POST", {"subcloud": NEW})
            self.call("GET", "/v1/subclouds")
        lines = [json.loads(record.getMessage()) for record in logs.records]
        self.assertEqual([201, 409, 401], [line["status"] for line in lines])
        self.assertEqual(
            ("admin-id", "POST", "/v1/subclouds"),
            (lines[0]["user_id"], lines[0]["method"], lines[0]["path"]),
        )
        self.assertNotIn("s3cret-word", str(logs.output))


@databases.on_every_backend
class ListsTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = builders.add_subclouds(self.database, 7)

    def names(self, path: str) -> list[list[str]]:
        """The names on each page, following the links."""
        pages, url = [], path
        while True:
            answer = self.call("GET", url)
            self.assertEqual(200, answer.status_int, answer.text)
            pages.append([each["name"] for each in answer.json["subclouds"]])
            links = {link["rel"]: link["href"] for link in answer.json["links"]}
            if "next" not in links:
                return pages
            url = links["next"].removeprefix("https://cloud.example:25080")

    def test_pages_follow_each_other_to_the_end(self) -> None:
        names = [each.region_name for each in self.made]
        pages = self.names("/v1/subclouds?limit=3")
        self.assertEqual([names[:3], names[3:6], names[6:]], pages)
        self.assertEqual([names], self.names("/v1/subclouds"))

    def test_they_are_sorted_by_any_key_in_both_directions(self) -> None:
        builders.measured(self.database, self.made[4], Availability.OFFLINE)
        names = [each.region_name for each in self.made]
        for key in ("name", "created_at", "updated_at", "management_state", "availability_status"):
            path = f"/v1/subclouds?limit=2&sort_key={key}"
            up = list(itertools.chain(*self.names(path)))
            down = list(itertools.chain(*self.names(f"{path}&sort_dir=desc")))
            self.assertEqual(up, down[::-1], key)
            self.assertEqual(set(names), set(up), key)
        self.assertEqual(names[4], self.names("/v1/subclouds?sort_key=availability_status")[0][0])

    def test_they_are_picked_by_state_and_label(self) -> None:
        builders.measured(self.database, self.made[1], Availability.OFFLINE)
        subclouds.update(self.database, "cloud0002", {}, labels={"site": "north", "tier": "1"})
        subclouds.update(self.database, "cloud0003", {}, labels={"site": "north", "tier": "2"})
        for query, names in (
            ("availability_status=offline", ["cloud0001"]),
            ("management_state=unmanaged", []),
            ("label=site=north", ["cloud0002", "cloud0003"]),
            ("label=site=north&label=tier=2", ["cloud0003"]),
            ("label=site=south", []),
        ):
            with self.subTest(query):
                self.assertEqual([names], self.names(f"/v1/subclouds?{query}"))

    def test_wrong_queries_are_refused(self) -> None:
        for query in (
            "limit=0",
            "limit=1001",
            "limit=many",
            "limit=1&limit=2",
            "colour=red",
            "sort_key=password",
            "label=north",
            "marker=",
            "marker=%00",
        ):
            with self.subTest(query):
                answer = self.call("GET", f"/v1/subclouds?{query}")
                self.assertEqual(400, self.refused(answer)["status"])

    def test_a_marker_that_is_gone_is_404_where_its_place_is_not_known(self) -> None:
        answer = self.call("GET", "/v1/subclouds?sort_key=created_at&marker=gone")
        self.assertEqual(404, self.refused(answer)["status"])

    def test_the_lanes_of_all_subclouds(self) -> None:
        answer = self.call("GET", "/v1/lanes?limit=4&endpoint_type=identity&sync_status=unknown")
        self.assertEqual(4, len(answer.json["lanes"]))
        link = answer.json["links"][0]["href"].removeprefix("https://cloud.example:25080")
        rest = self.call("GET", link).json
        self.assertEqual((3, []), (len(rest["lanes"]), rest["links"]))
        one = self.call("GET", "/v1/lanes?subcloud=cloud0003").json["lanes"]
        self.assertEqual(["cloud0003"], [each["subcloud"] for each in one])
        self.assertEqual(404, self.call("GET", "/v1/lanes?subcloud=no").status_int)
        self.assertEqual([], self.call("GET", "/v1/lanes?sync_status=in-sync").json["lanes"])

    def test_drift_of_all_and_of_one(self) -> None:
        audits.request(self.database, ["identity"], [self.made[0].id])
        (lane,) = builders.claim(self.database)
        audits.begin(self.database, lane, builders.LEASE)
        audits.save(
            self.database,
            lane,
            findings=[
                Finding(DriftKind.MISSING, "user", "u1", "u1", "alice", (), DriftAction.OBSERVE)
            ],
            mappings=(),
            totals={"user": 1},
            next_in=9,
            keep=9,
            lease=builders.LEASE,
        )
        for path, number in (
            ("/v1/drift", 1),
            ("/v1/drift?subcloud=cloud0000&resource_type=user&action=observe&resolved=true", 1),
            ("/v1/drift?action=repair", 0),
            ("/v1/subclouds/cloud0000/drift", 1),
            ("/v1/subclouds/cloud0001/drift", 0),
        ):
            with self.subTest(path):
                found = self.call("GET", path).json["drift"]
                self.assertEqual(number, len(found))
                self.assertEqual(number * [("alice", "u1")], [(d["name"], d["key"]) for d in found])
        self.assertEqual(204, self.call("DELETE", "/v1/subclouds/cloud0000/drift").status_int)
        self.assertEqual([], self.call("GET", "/v1/drift").json["drift"])
        self.assertEqual(404, self.call("GET", "/v1/subclouds/no/drift").status_int)

    def test_endpoint_types(self) -> None:
        (found,) = self.call("GET", "/v1/endpoint_types").json["endpoint_types"]
        self.assertEqual(("identity", "identity", "enforce"), tuple(found.values())[:3])
        self.assertIn("user", found["resources"])

    def test_services_and_what_they_hold(self) -> None:
        services.note(self.database, "host:1:a", "engine-worker", "host", 1, "0.1")
        services.note(self.database, "host:2:b", "engine", "host", 2, "0.1")
        builders.accepted_job(self.database)
        builders.audited(self.database)
        lanes.request(self.database, ["identity"])
        builders.claim(self.database, "host:1:a", limit=3)
        found = self.call("GET", "/v1/services").json["services"]
        self.assertEqual(
            [("host:1:a", True, 3), ("host:2:b", True, 0)],
            [(each["id"], each["alive"], each["lanes"]) for each in found],
        )

    def test_the_fleet_at_a_glance(self) -> None:
        empty = self.call("GET", "/v1/summary").json["summary"]
        self.assertIsNone(empty["lag_seconds"]["max"])
        builders.add_subcloud(self.database, "unmanaged", managed=False)
        builders.measured(self.database, self.made[1], Availability.OFFLINE)
        builders.accepted_job(self.database)
        found = self.call("GET", "/v1/summary").json["summary"]
        self.assertEqual(
            {
                "total": 8,
                "managed": 7,
                "unmanaged": 1,
                "online": 0,
                "offline": 1,
                "unknown": 6,
            },
            found["subclouds"],
        )
        self.assertEqual({"in-sync": 0, "out-of-sync": 0, "unknown": 7}, found["lanes"])
        self.assertEqual({"queued": 7, "in-progress": 0, "failed": 0}, found["requests"])
        self.assertGreater(found["lag_seconds"]["p50"], 0)
        self.assertGreaterEqual(found["lag_seconds"]["max"], found["lag_seconds"]["p50"])

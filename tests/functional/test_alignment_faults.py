# SPDX-License-Identifier: Apache-2.0
"""Audits of clouds whose lists break, are cut, or are long."""

import secrets
import sqlite3
import uuid
from collections.abc import Callable
from typing import ClassVar

from headwater.common.states import AuditStatus, DriftKind
from tests.functional.test_alignment import LONG, AlignmentTest
from tests.services.keystone import Keystone
from tests.support import databases
from tests.support.relay import Piece, Relay
from tests.support.waiting import eventually


@databases.on_every_backend
class BrokenLists(AlignmentTest):
    """The subcloud behind a relay that breaks the answer to one of the lists in the middle."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {
        "engine": {"audit_interval": 86400},
        "endpoint_type:identity": {"audit": "enforce"},
        # Only what hangs is ever so late.
        "subclouds": {"timeout": 4},
    }

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cloud = cls.system.subclouds["subcloud1"]
        cls.relay = cls.enterClassContext(Relay(cloud.port))
        cloud.add_region_endpoint("subcloud1", f"{cls.relay.url}/v3")
        cls.system.manage(
            "subcloud", "set", "subcloud1", "--auth-url", f"{cls.relay.url}/v3"
        ).check_returncode()

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.mend)
        self.join("subcloud1")
        self.name = self.unique("group")
        self.make(self.system.central, "group", name=self.name, domain_id="default")
        # What an audit that takes a broken list for a whole one would remove.
        group = {"name": self.unique("kept"), "domain_id": "default"}
        self.system.change("POST", "/v3/groups", {"group": group})
        self.kept = group["name"]

    def mend(self) -> None:
        self.relay.change = None
        self.relay.heal(resume=False)

    def broken(self, change: Callable[[Piece], bytes]) -> None:
        """Audit while the list of groups, behind those of domains, is answered by CHANGE."""
        hit: list[bytes] = []

        def answer(piece: Piece) -> bytes:
            if piece.to_server or not piece.asked.startswith(b"GET /v3/groups"):
                return piece.data
            hit.append(piece.asked)
            return change(piece)

        self.relay.change = answer
        cloud, jobs = self.system.subclouds["subcloud1"], self.system.number_of_jobs()
        before = self.contents(cloud)
        self.system.manage("audit", "run", "subcloud1").check_returncode()

        def told() -> str | None:
            if not hit:
                return None
            audit, lane = self.audited("subcloud1"), self.lane("subcloud1")
            return audit.error if audit.status is AuditStatus.FAILED else lane.last_error

        error = eventually(told, "the audit's error", LONG)
        self.assertRegex(error, "list|answer|connection|silent|500")
        self.assertEqual(jobs, self.system.number_of_jobs())
        self.assertEqual(before, self.contents(cloud))
        self.mend()
        found = {each.name: each.kind for each in self.audit("subcloud1")}
        self.assertEqual({self.name: DriftKind.MISSING}, found)
        for name in (self.name, self.kept):
            self.one(cloud, "group", name=name)

    def test_a_server_error_in_the_middle_changes_nothing(self) -> None:
        self.broken(
            lambda _: (
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n"
                b"Content-Type: application/json\r\n\r\n{}"
            )
        )

    def test_a_list_that_hangs_in_its_middle_changes_nothing(self) -> None:
        def hang(piece: Piece) -> bytes:
            self.relay.freeze()
            return piece.data[: len(piece.data) // 2]

        self.broken(hang)

    def test_a_list_that_breaks_off_changes_nothing(self) -> None:
        sent: list[bytes] = []

        def cut(piece: Piece) -> bytes:
            if sent:
                raise OSError("cut")
            sent.append(piece.data)
            # Valid as far as it goes: headers, and some of the body.
            return piece.data[:-20] if piece.data.endswith(b"}") else piece.data

        self.broken(cut)

    def test_a_list_that_is_no_list_changes_nothing(self) -> None:
        body = b'{"groups": null, "links": {}}'
        self.broken(
            lambda _: (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
        )


class LongLists(AlignmentTest):
    """Thousands of users in both clouds, written into Keystone's own database."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {
        **AlignmentTest.options,
        "endpoint_type:identity": {"audit": "observe"},
    }
    NUMBER = 2000

    def insert(self, cloud: Keystone, names: list[str], group: str | None = None) -> None:
        """Put users into a cloud, and into a group of it."""
        made = [(uuid.uuid4().hex, name) for name in names]
        with sqlite3.connect(cloud.directory / "keystone.db", timeout=30) as connection:
            connection.executemany(
                "INSERT INTO user (id, extra, enabled, domain_id) VALUES (?, '{}', 1, 'default')",
                [(user_id,) for user_id, _ in made],
            )
            connection.executemany(
                "INSERT INTO local_user (domain_id, user_id, name) VALUES ('default', ?, ?)", made
            )
            if group is not None:
                connection.executemany(
                    "INSERT INTO user_group_membership (user_id, group_id) VALUES (?, ?)",
                    [(user_id, group) for user_id, _ in made],
                )
        connection.close()

    def limit_lists(self, cloud: Keystone) -> None:
        """Have a Keystone give a hundred of anything, as an operator's option does."""
        cloud.stop()
        with (cloud.directory / "keystone.conf").open("a") as file:
            file.write("\n[identity]\nlist_limit = 100\n")
        cloud.start()
        cloud.wait_ready()

    def test_long_lists_are_compared_whole_and_those_that_cannot_be_read_whole_not_at_all(
        self,
    ) -> None:
        self.join("subcloud1")
        central, cloud = self.system.central, self.system.subclouds["subcloud1"]
        word = secrets.token_hex(4)
        names = [f"{word}-{number:04}" for number in range(self.NUMBER)]
        missing = dict.fromkeys(names[::200], DriftKind.MISSING)
        self.insert(central, names)
        # More than Keystone gives at a time, and it does not say so.
        self.insert(cloud, [name for name in names if name not in missing])
        self.assertEqual(missing, self.found())
        self.limit_lists(cloud)
        self.assertEqual(missing, self.found())
        group = {"name": self.unique("group"), "domain_id": "default"}
        members = [f"{word}-member-{number}" for number in range(150)]
        for each in (central, cloud):
            self.insert(each, members, self.make(each, "group", **group)["id"])
        before = self.audited("subcloud1").audited_at
        self.system.manage("audit", "run", "subcloud1").check_returncode()
        # Of the members of a group such a Keystone gives the first hundred again and again.
        error = eventually(lambda: self.audited("subcloud1").error, "the audit's error", LONG)
        self.assertIn("the pages of the list lead in a circle", error)
        self.assertEqual(before, self.audited("subcloud1").audited_at)

    def found(self) -> dict[str, DriftKind]:
        return {each.name: each.kind for each in self.audit("subcloud1")}

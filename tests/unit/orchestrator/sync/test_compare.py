# SPDX-License-Identifier: Apache-2.0
"""What a comparison of two listings finds, told on the real identity endpoint file."""

import unittest
from collections.abc import Mapping
from typing import Any

from headwater.common.endpoints.registry import load_registry
from headwater.common.states import DriftKind
from headwater.engine.audit import Key
from headwater.orchestrator.sync.compare import Comparison, compare

IDENTITY = load_registry(None).endpoint_type("identity")

Cloud = dict[str, dict[str, dict[str, Any]]]


def cloud(prefix: str) -> Cloud:
    """An empty cloud with the domain Default, whose id is PREFIX-default, and all types listed."""
    made: Cloud = {resource.name: {} for resource in IDENTITY.resources.values()}
    made["domain"][f"{prefix}-default"] = {"id": f"{prefix}-default", "name": "Default"}
    return made


class CompareTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.central, self.there = cloud("c"), cloud("s")

    def add(self, where: str, noun: str, name: str, **fields: Any) -> str:
        """Put a resource into a cloud ("c" or "s"); returns its id."""
        state = {"name": name, "domain_id": f"{where}-default", **fields}
        here = self.central if where == "c" else self.there
        made = f"{where}-{noun}-{len(here[noun])}"
        here[noun][made] = {"id": made, **state}
        return made

    def both(self, noun: str, name: str, **fields: Any) -> tuple[str, str]:
        return self.add("c", noun, name, **fields), self.add("s", noun, name, **fields)

    def compare(
        self, mapped: Mapping[Key, str] | None = None, own: tuple[str, ...] = ()
    ) -> Comparison:
        return compare(IDENTITY, self.central, self.there, mapped or {}, frozenset(own))

    def told(self, mapped: Mapping[Key, str] | None = None) -> list[tuple[Any, ...]]:
        found = self.compare(mapped).differences
        return [(each.kind, each.resource_type, each.name, each.fields) for each in found]

    def test_clouds_with_nothing_but_their_own_are_alike(self) -> None:
        self.assertEqual([], self.told())
        self.assertEqual({("domain", "c-default"): "s-default"}, self.compare().learnt)

    def test_the_natural_key_is_compared_with_the_subclouds_ids(self) -> None:
        here, there = self.both("user", "ünï")
        self.assertEqual([], self.told())
        self.assertEqual(there, self.compare().learnt["user", here])

    def test_the_account_by_which_headwater_works_there_is_left_alone(self) -> None:
        self.both("user", "robot", email="a")
        self.add("s", "project", "robots")
        self.add("c", "user", "other")
        self.there["user"]["s-user-0"]["email"] = "b"
        found = self.compare(own=("robot", "robots")).differences
        self.assertEqual(["other"], [each.name for each in found])

    def test_names_that_differ_only_in_case_are_two(self) -> None:
        self.add("c", "user", "Alice")
        self.add("s", "user", "alice")
        self.assertEqual(
            [
                (DriftKind.MISSING, "user", "Alice", ()),
                (DriftKind.EXTRA, "user", "alice", ()),
            ],
            self.told(),
        )

    def test_one_project_name_in_two_domains_is_two(self) -> None:
        for where in ("c", "s"):
            home = self.add(where, "domain", "other")
            self.add(where, "project", "shop", domain_id=home)
        self.add("c", "project", "shop")
        self.assertEqual([(DriftKind.MISSING, "project", "shop", ())], self.told())

    def test_what_differs_is_named_without_values(self) -> None:
        self.add("c", "user", "alice", email="a@example.org", enabled=True)
        self.add("s", "user", "alice", email="other", enabled=False)
        self.assertEqual(
            [(DriftKind.DIFFERENT, "user", "alice", ("enabled", "email"))], self.told()
        )

    def test_nothing_is_nothing_however_it_is_written_and_tags_have_no_order(self) -> None:
        self.add("c", "project", "shop", description="", tags=["a", "b"])
        self.add("s", "project", "shop", description=None, tags=["b", "a"])
        self.assertEqual([], self.told())

    def test_a_renamed_counterpart_differs_in_its_name(self) -> None:
        here = self.add("c", "user", "new")
        there = self.add("s", "user", "old")
        self.assertEqual(
            [(DriftKind.DIFFERENT, "user", "new", ("name",))], self.told({("user", here): there})
        )

    def test_what_headwater_brought_has_its_origin_and_what_it_did_not_has_none(self) -> None:
        brought = self.add("s", "user", "brought")
        self.add("s", "user", "foreign")
        found = self.compare({("user", "gone"): brought}).differences
        self.assertEqual(
            [("brought", "gone"), ("foreign", None)],
            [(each.name, each.master_id) for each in found],
        )

    def test_what_was_made_anew_under_its_name_gets_the_old_ones_counterpart(self) -> None:
        here, there = self.both("user", "alice")
        found = self.compare({("user", "the-first"): there})
        self.assertEqual((), found.differences)
        self.assertEqual(there, found.learnt["user", here])
        self.assertEqual({("user", "the-first")}, found.stale)

    def test_a_mapping_of_what_both_lost_is_stale(self) -> None:
        self.assertEqual({("user", "gone")}, self.compare({("user", "gone"): "s-gone"}).stale)

    def test_what_clouds_make_for_themselves_is_left_alone_but_may_be_an_end(self) -> None:
        self.add("c", "user", "nova", email="central")
        self.add("s", "user", "nova", email="other")
        self.add("c", "user", "glance")
        self.add("s", "user", "cinder")
        role_here, role_there = self.both("role", "admin", domain_id=None)
        user_here, user_there = self.both("user", "alice")
        self.central["system_user_role"][f"{user_here}/{role_here}"] = {}
        self.assertEqual(
            [(DriftKind.MISSING, "system_user_role", "alice / admin", ())], self.told()
        )
        self.there["system_user_role"][f"{user_there}/{role_there}"] = {}
        self.assertEqual([], self.told())
        self.assertEqual((1, 0), tuple(self.compare().totals[name] for name in ("user", "role")))

    def test_links_between_such_ends_only_are_left_alone(self) -> None:
        for where, here in (("c", self.central), ("s", self.there)):
            user = self.add(where, "user", "nova")
            role = self.add(where, "role", "service" if where == "c" else "admin", domain_id=None)
            here["system_user_role"][f"{user}/{role}"] = {}
        self.assertEqual([], self.told())

    def test_links_that_only_one_side_has_are_found(self) -> None:
        users = self.both("user", "alice")
        groups = self.both("group", "night-shift")
        others = self.both("group", "day-shift")
        self.central["group_member"][f"{groups[0]}/{users[0]}"] = {}
        self.there["group_member"][f"{others[1]}/{users[1]}"] = {}
        self.assertEqual(
            [
                (DriftKind.MISSING, "group_member", "night-shift / alice", ()),
                (DriftKind.EXTRA, "group_member", "day-shift / alice", ()),
            ],
            self.told(),
        )
        brought = {("group_member", f"{others[0]}/{users[0]}"): f"{others[1]}/{users[1]}"}
        extra = self.compare(brought).differences[-1]
        self.assertEqual(f"{others[0]}/{users[0]}", extra.master_id)

    def test_a_link_to_what_the_subcloud_lacks_is_missing_too(self) -> None:
        user, group = self.add("c", "user", "alice"), self.add("c", "group", "night-shift")
        self.central["group_member"][f"{group}/{user}"] = {}
        self.assertEqual(
            ["user", "group", "group_member"],
            [each.resource_type for each in self.compare().differences],
        )

    def test_what_is_extra_comes_last_with_what_depends_on_it_before_it(self) -> None:
        user, group = self.add("s", "user", "alice"), self.add("s", "group", "night-shift")
        self.there["group_member"][f"{group}/{user}"] = {}
        self.add("c", "group", "day-shift")
        self.assertEqual(
            [("group", DriftKind.MISSING)]
            + [(name, DriftKind.EXTRA) for name in ("group_member", "group", "user")],
            [(each.resource_type, each.kind) for each in self.compare().differences],
        )

    def test_two_of_one_natural_key_are_not_guessed_at(self) -> None:
        self.add("c", "user", "alice")
        self.add("s", "user", "alice")
        self.add("s", "user", "alice")
        self.assertIn((DriftKind.MISSING, "user", "alice", ()), self.told())

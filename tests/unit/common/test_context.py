# SPDX-License-Identifier: Apache-2.0
"""The caller is a value."""

import dataclasses
import unittest

from headwater.common.context import Caller


class CallerTest(unittest.TestCase):
    def test_a_caller_without_a_token_is_nobody(self) -> None:
        self.assertEqual({None}, set(dataclasses.asdict(Caller()).values()))

    def test_a_caller_cannot_be_changed(self) -> None:
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Caller().user_id = "somebody"  # type: ignore[misc]

    def test_callers_with_the_same_fields_are_the_same(self) -> None:
        self.assertEqual(Caller(user_id="u", project_id="p"), Caller("u", None, "p", None))
        self.assertNotEqual(Caller(user_id="u"), Caller(user_id="v"))

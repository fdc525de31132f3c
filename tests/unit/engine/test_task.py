# SPDX-License-Identifier: Apache-2.0
"""What a replay needs survives its way through the database."""

import json
import unittest

from headwater.engine.task import ResourceInfo


class ResourceInfoTest(unittest.TestCase):
    def test_it_comes_back_as_it_was(self) -> None:
        for info in (
            ResourceInfo(),
            ResourceInfo(fields={}),
            ResourceInfo(
                fields={"name": "ü", "options": {"a": [1, None]}, "enabled": False},
                key_before={"name": "x", "domain_id": None},
                headers={"OpenStack-API-Version": "compute 2.90"},
            ),
        ):
            with self.subTest(str(info)):
                text = json.dumps(info.to_json())
                self.assertEqual(info, ResourceInfo.from_json(json.loads(text)))

    def test_what_was_written_without_any_field_is_unknown(self) -> None:
        self.assertEqual(ResourceInfo(fields=None), ResourceInfo.from_json({}))

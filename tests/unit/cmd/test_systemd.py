# SPDX-License-Identifier: Apache-2.0
"""Datagrams for systemd; the order of them is in tests/functional/test_supervision.py."""

import os
import secrets
import socket
import unittest
from unittest import mock

from headwater.cmd.systemd import Notifier


class NotifierTest(unittest.TestCase):
    def notifier(self, address: str) -> Notifier:
        with mock.patch.dict(os.environ, {"NOTIFY_SOCKET": address}):
            made = Notifier()
            self.assertNotIn("NOTIFY_SOCKET", os.environ)
        return made

    def test_an_abstract_address_begins_with_an_at_sign(self) -> None:
        name = f"headwater-test-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"\0{name}")
            manager.settimeout(10)
            self.notifier(f"@{name}").ready()
            self.assertEqual(manager.recv(100), b"READY=1")

    def test_nobody_has_to_listen(self) -> None:
        with self.assertLogs("headwater.cmd.systemd", "WARNING") as logged:
            self.notifier("/nonexistent/notify").reloading()
        self.assertIn("RELOADING=1", logged.output[0])
        with self.assertNoLogs():
            self.notifier("").ready()

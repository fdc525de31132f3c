# SPDX-License-Identifier: Apache-2.0
"""Whose word about a client counts."""

import unittest

from headwater.common.errors import ConfigurationError
from headwater.common.proxies import TrustedProxies

PROXIES = TrustedProxies("[x] trusted_proxies", ["192.0.2.10", "2001:db8:7::/64"])


class SchemeTest(unittest.TestCase):
    def scheme(self, peer: str, said: str | None, proxies: TrustedProxies = PROXIES) -> str:
        environ = {"wsgi.url_scheme": "http", "REMOTE_ADDR": peer}
        if said is not None:
            environ["HTTP_X_FORWARDED_PROTO"] = said
        return proxies.scheme(environ)

    def test_a_trusted_proxy_is_believed(self) -> None:
        for peer in ("192.0.2.10", "2001:db8:7::1", "::ffff:192.0.2.10"):
            with self.subTest(peer):
                self.assertEqual("https", self.scheme(peer, "https"))
        self.assertEqual("https", self.scheme("192.0.2.10", " HTTPS"))

    def test_nobody_else_is(self) -> None:
        for peer in ("192.0.2.11", "2001:db8:8::1", "", "unix:", "proxy.example"):
            with self.subTest(peer):
                self.assertEqual("http", self.scheme(peer, "https"))
        self.assertEqual("http", self.scheme("192.0.2.10", "https", TrustedProxies()))

    def test_what_is_no_scheme_does_not_count(self) -> None:
        for said in (None, "", "gopher", "https, http", "https,https"):
            with self.subTest(said):
                self.assertEqual("http", self.scheme("192.0.2.10", said))


class ClientTest(unittest.TestCase):
    def client(self, peer: str, said: str) -> str:
        return PROXIES.client({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": said})

    def test_it_is_the_last_one_that_no_proxy_of_ours_has(self) -> None:
        for said, wanted in {
            "198.51.100.1": "198.51.100.1",
            "198.51.100.66, 198.51.100.1": "198.51.100.1",
            "198.51.100.66, 198.51.100.1, 2001:db8:7::9": "198.51.100.1",
            "[2001:db8::5]:4711": "2001:db8::5",
            "198.51.100.1:4711": "198.51.100.1",
            "192.0.2.10": "192.0.2.10",
        }.items():
            with self.subTest(said):
                self.assertEqual(wanted, self.client("192.0.2.10", said))

    def test_a_client_cannot_name_itself(self) -> None:
        self.assertEqual("192.0.2.11", self.client("192.0.2.11", "198.51.100.1"))
        self.assertEqual("", PROXIES.client({"HTTP_X_FORWARDED_FOR": "198.51.100.1"}))

    def test_behind_what_cannot_be_read_nobody_is_known(self) -> None:
        for said in ("", "unknown", "198.51.100.1, _hidden", ",", "1.2.3.4.5"):
            with self.subTest(said):
                self.assertEqual("192.0.2.10", self.client("192.0.2.10", said))


class NetworksTest(unittest.TestCase):
    def test_what_is_no_network_is_refused_with_option_and_value(self) -> None:
        for text in ("proxy.example", "192.0.2.0/33", "192.0.2.1/24", ""):
            with self.subTest(text), self.assertRaises(ConfigurationError) as caught:
                TrustedProxies("[api] trusted_proxies", [text])
            self.assertIn(f"[api] trusted_proxies = {text}: ", str(caught.exception))

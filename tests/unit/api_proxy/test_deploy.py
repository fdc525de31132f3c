# SPDX-License-Identifier: Apache-2.0
"""Where the gateway listens, as it is configured."""

import unittest

from oslo_config import cfg

from headwater.api_proxy import deploy
from headwater.common.conf import endpoints
from headwater.common.endpoints.registry import load_registry
from headwater.common.errors import ConfigurationError


class ListenersTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.identity = load_registry(None).endpoint_type("identity")
        self.conf = cfg.ConfigOpts()
        self.conf([])
        endpoints.register_type(self.conf, "identity", self.identity.default_port)

    def listeners(self, listen: str | None = None) -> list[tuple[str, int]]:
        if listen is not None:
            self.conf.set_override("listen", listen, "endpoint_type:identity")
        found = deploy.addresses(self.conf, [self.identity])
        self.assertEqual([self.identity], [each.endpoint_type for each in found])
        return [(each.host, each.port) for each in found]

    def test_the_default_is_the_types_own_port_on_this_host(self) -> None:
        self.assertEqual([("127.0.0.1", 25000)], self.listeners())

    def test_addresses_of_both_families_and_names(self) -> None:
        for listen, address in {
            "0.0.0.0:80": ("0.0.0.0", 80),  # noqa: S104 - only parsed
            "[::]:25000": ("::", 25000),
            "[2001:db8::1]:0": ("2001:db8::1", 0),
            "gateway.example:65535": ("gateway.example", 65535),
        }.items():
            with self.subTest(listen):
                self.assertEqual([address], self.listeners(listen))

    def test_what_is_no_address_is_refused_with_option_and_value(self) -> None:
        for listen in ("", "127.0.0.1", ":25000", "127.0.0.1:", "h:http", "h:65536", "h:-1", "h:²"):
            with self.subTest(listen), self.assertRaises(ConfigurationError) as caught:
                self.listeners(listen)
            self.assertEqual(
                f"[endpoint_type:identity] listen = {listen}: is not ADDRESS:PORT.",
                str(caught.exception),
            )

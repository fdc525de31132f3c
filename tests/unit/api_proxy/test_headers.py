# SPDX-License-Identifier: Apache-2.0
"""What passes the gateway, in both directions, and what it adds."""

import unittest

from keystonemiddleware.auth_token import _request

from headwater.api_proxy.faults import Fault
from headwater.api_proxy.headers import downstream, refuse_loop, upstream


def sent(
    *headers: tuple[str, str],
    scheme: str = "http",
    host: str = "gateway.example:25000",
    peer: str = "192.0.2.1",
    version: str = "1.1",
) -> list[tuple[str, str]]:
    """The headers that go to the central cloud."""
    return list(upstream(headers, scheme=scheme, host=host, peer=peer, version=version))


HOST = ("Host", "gateway.example:25000")
#: What the gateway adds to every exchange.
ADDED = sent(HOST)[1:]


def value(headers: list[tuple[str, str]], name: str) -> str:
    """The value of the only header of that name."""
    (found,) = [text for each, text in headers if each.lower() == name.lower()]
    return found


class UpstreamTest(unittest.TestCase):
    def passes(self, *headers: tuple[str, str]) -> None:
        self.assertEqual([HOST, *headers, *ADDED], sent(HOST, *headers))

    def stripped(self, *headers: tuple[str, str]) -> None:
        self.assertEqual([HOST, *ADDED], sent(HOST, *headers))

    def test_a_clients_headers_pass_in_order_with_their_repetitions(self) -> None:
        self.passes(
            ("X-Auth-Token", "t"),
            ("Accept", "application/json"),
            ("X-Subject-Token", "s"),
            ("X-Service-Token", "v"),
            ("OpenStack-API-Version", "compute 2.90"),
            ("X-OpenStack-Nova-API-Version", "2.90"),
            ("X-Openstack-Request-Id", "req-1"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("If-Match", '"e"'),
            ("Cookie", "a=b"),
            ("accept", "text/plain"),
            ("User-Agent", "openstackclient"),
        )

    def test_headers_of_one_connection_do_not_pass(self) -> None:
        for name in (
            "Connection",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Expect",
        ):
            with self.subTest(repr(name)):
                self.stripped((name, "x"))
                self.stripped((name.upper(), "x"))

    def test_what_connection_names_does_not_pass(self) -> None:
        self.assertEqual(
            [HOST, ("X-B", "2"), *ADDED],
            sent(
                HOST,
                ("X-A", "1"),
                ("X-B", "2"),
                ("Connection", "close, x-a"),
                ("connection", " X-C "),
                ("X-C", "3"),
            ),
        )

    def test_a_client_of_http_1_0_that_names_no_host_gets_one(self) -> None:
        self.assertEqual("region.example", value(sent(host="region.example"), "Host"))
        self.assertEqual("own.example", value(sent(("host", "own.example")), "Host"))

    def test_the_length_is_left_to_whoever_sends_the_body(self) -> None:
        self.stripped(("Content-Length", "5"))

    def test_no_client_can_say_who_it_is(self) -> None:
        names = {*_request._AuthTokenRequest({})._all_auth_headers()}
        names.add(_request._AuthTokenRequest._SYSTEM_SCOPE_HEADER)
        self.assertGreater(len(names), 20)
        for name in sorted(names):
            with self.subTest(repr(name)):
                self.stripped((name, "admin"))
                self.stripped((name.upper(), "admin"))

    def test_no_client_can_say_who_it_is_with_underscores_either(self) -> None:
        # To a WSGI application X_User_Id and X-User-Id are the same.
        for name in ("X_User_Id", "X_ROLES", "X-Project_Id", "X_Identity_Status"):
            with self.subTest(repr(name)):
                self.stripped((name, "admin"))

    def test_tokens_are_no_identity_headers(self) -> None:
        self.passes(("X-Auth-Token", "t"), ("X-Service-Token", "s"), ("X-Storage-Token", "o"))


class ForwardedTest(unittest.TestCase):
    def test_the_client_its_host_and_its_scheme_are_told(self) -> None:
        headers = sent(scheme="https", host="region.example", peer="192.0.2.7")
        self.assertEqual("192.0.2.7", value(headers, "X-Forwarded-For"))
        self.assertEqual("region.example", value(headers, "X-Forwarded-Host"))
        self.assertEqual("https", value(headers, "X-Forwarded-Proto"))

    def test_the_client_is_appended_to_what_proxies_before_said(self) -> None:
        headers = sent(
            ("X-Forwarded-For", "198.51.100.1, 198.51.100.2"), ("x-forwarded-for", "198.51.100.3")
        )
        self.assertEqual(
            "198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.1",
            value(headers, "X-Forwarded-For"),
        )

    def test_an_ipv6_client_is_in_brackets(self) -> None:
        self.assertEqual("[2001:db8::1]", value(sent(peer="2001:db8::1"), "X-Forwarded-For"))
        self.assertEqual("[::1]", value(sent(peer="0:0::1"), "X-Forwarded-For"))

    def test_a_client_without_an_address_is_unknown(self) -> None:
        for peer in ("", "unix:", "host.example"):
            self.assertEqual("unknown", value(sent(peer=peer), "X-Forwarded-For"))

    def test_what_a_client_says_about_host_and_scheme_does_not_count(self) -> None:
        headers = sent(
            HOST,
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-Prefix", "/evil"),
            ("X-Forwarded-Port", "7"),
            ("Forwarded", "proto=gopher;host=evil.example"),
        )
        self.assertEqual([HOST, *ADDED], headers)


class ViaTest(unittest.TestCase):
    def test_the_gateway_names_itself_behind_those_before(self) -> None:
        self.assertEqual("1.1 headwater", value(sent(), "Via"))
        self.assertEqual("1.0 headwater", value(sent(version="1.0"), "Via"))
        self.assertEqual(
            "1.1 cache (Squid), 2 edge, 1.1 headwater",
            value(sent(("Via", "1.1 cache (Squid)"), ("via", "2 edge")), "Via"),
        )

    def test_an_exchange_that_comes_back_is_refused(self) -> None:
        for via in ("1.1 headwater", "1.1 cache, HTTP/1.1 headwater (x), 2 edge", "1.0\theadwater"):
            with self.subTest(repr(via)), self.assertRaises(Fault) as caught:
                refuse_loop([HOST, ("VIA", "1.1 other"), ("Via", via)])
            self.assertEqual(508, caught.exception.status)

    def test_others_of_a_similar_name_are_not_us(self) -> None:
        for via in ("1.1 headwaters", "1.1 my-headwater", "headwater", "1.1 x (headwater)", ""):
            with self.subTest(repr(via)):
                refuse_loop([("Via", via)])

    def test_our_own_headers_are_known_when_they_come_back(self) -> None:
        refuse_loop([HOST])
        with self.assertRaises(Fault):
            refuse_loop(sent(HOST))


class DownstreamTest(unittest.TestCase):
    def test_an_answers_headers_pass_in_order_with_their_repetitions(self) -> None:
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", "12"),
            ("Location", "http://gateway.example/v3/users/1"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Vary", "X-Auth-Token"),
            ("X-Subject-Token", "t"),
            ("WWW-Authenticate", "Keystone uri=x"),
            ("X-Openstack-Request-Id", "req-2"),
        ]
        self.assertEqual(headers, downstream(headers))

    def test_headers_of_one_connection_do_not_pass(self) -> None:
        headers = [
            ("Connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("X-Kept", "1"),
        ]
        self.assertEqual([("X-Kept", "1")], downstream(headers))

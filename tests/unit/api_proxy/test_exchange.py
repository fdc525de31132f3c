# SPDX-License-Identifier: Apache-2.0
"""An exchange is what the client sent; what two parties could read differently is refused."""

import io
import unittest
from typing import Any

from headwater.api_proxy.exchange import SLICE, Exchange, from_environ
from headwater.api_proxy.faults import Fault


def environ(*headers: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """What eventlet's WSGI server hands over."""
    body = io.BytesIO()
    return {
        "REQUEST_METHOD": "GET",
        "RAW_PATH_INFO": "/v3/users",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "gateway.example:25000",
        "headers_raw": tuple(headers),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "eventlet.input": body,
        **changes,
    }


class CarefulStream(io.BytesIO):
    """A client's body; notes how much was asked for at a time."""

    def __init__(self, content: bytes):
        super().__init__(content)
        self.asked: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(-1 if size is None else size)
        return super().read(size)


class BrokenStream(io.BytesIO):
    """A body that breaks off in the middle of its chunks, as eventlet tells it."""

    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        raise self.error


class ExchangeTestCase(unittest.TestCase):
    def refusal(self, *headers: tuple[str, str], **changes: Any) -> str:
        with self.assertRaises(Fault) as caught:
            from_environ(environ(*headers, **changes))
        self.assertEqual(400, caught.exception.status)
        return str(caught.exception)

    def target(self, **changes: Any) -> str:
        """The target of an environ that has no key for it but those in `changes`."""
        given = environ()
        del given["RAW_PATH_INFO"]
        return from_environ({**given, **changes}).target


class PlainExchangeTest(ExchangeTestCase):
    def test_it_has_what_the_client_sent(self) -> None:
        headers = (("Host", "gateway.example:25000"), ("X-Auth-Token", "t"), ("X-A", "1"))
        given = environ(
            *headers,
            REQUEST_METHOD="DELETE",
            RAW_PATH_INFO="/v3/%75sers/a%2Fb",
            QUERY_STRING="name=%C3%BC&x",
            **{"wsgi.url_scheme": "https"},
        )
        got = from_environ(given)
        self.assertEqual("DELETE", got.method)
        self.assertEqual("/v3/%75sers/a%2Fb?name=%C3%BC&x", got.target)
        self.assertEqual("/v3/users/a/b", got.path)
        self.assertEqual(list(headers), list(got.headers))
        self.assertEqual(
            ("https", "gateway.example:25000", "192.0.2.1", "1.1"),
            (got.scheme, got.host, got.peer, got.version),
        )
        self.assertEqual((0, False), (got.length, got.has_body))
        self.assertIs(given["wsgi.input"], got.stream)

    def test_a_header_is_found_whatever_its_case_and_the_first_one_counts(self) -> None:
        got = from_environ(environ(("x-auth-TOKEN", "one"), ("X-Auth-Token", "two")))
        self.assertEqual("one", got.header("X-Auth-Token"))
        self.assertIsNone(got.header("X-Other"))

    def test_order_and_repetition_of_headers_are_kept(self) -> None:
        headers = (("X-B", "1"), ("X-A", "2"), ("x-b", "3"))
        self.assertEqual(list(headers), list(from_environ(environ(*headers)).headers))

    def test_a_server_without_raw_headers_gives_those_of_the_environ(self) -> None:
        given = environ(
            HTTP_X_AUTH_TOKEN="t",
            CONTENT_TYPE="application/json",
            CONTENT_LENGTH="5",
            HTTP_HOST="h",
        )
        del given["headers_raw"]
        got = from_environ(given)
        self.assertEqual(
            {
                ("X-Auth-Token", "t"),
                ("Host", "h"),
                ("Content-Type", "application/json"),
                ("Content-Length", "5"),
            },
            set(got.headers),
        )
        self.assertEqual(5, got.length)

    def test_an_empty_content_length_of_the_environ_is_none(self) -> None:
        given = environ(CONTENT_LENGTH="", CONTENT_TYPE="")
        del given["headers_raw"]
        self.assertEqual(0, from_environ(given).length)

    def test_without_a_host_header_it_is_the_servers_name(self) -> None:
        given = environ()
        del given["HTTP_HOST"]
        self.assertEqual("127.0.0.1", from_environ(given).host)


class TargetTest(ExchangeTestCase):
    def test_each_servers_own_key_for_the_raw_path_is_known(self) -> None:
        raw = "/v3/a%2Fb/%75?x=%2F&y"
        path, _, query = raw.partition("?")
        servers = {
            "eventlet": {"RAW_PATH_INFO": path, "QUERY_STRING": query},
            "gunicorn": {"RAW_URI": raw, "QUERY_STRING": query},
            "uWSGI, waitress, mod_wsgi": {"REQUEST_URI": raw, "QUERY_STRING": query},
        }
        for server, keys in servers.items():
            with self.subTest(server):
                # PATH_INFO is decoded already: it must not count.
                self.assertEqual(raw, self.target(PATH_INFO="/v3/a/b/u", **keys))

    def test_without_such_a_key_the_decoded_path_is_encoded_again(self) -> None:
        target = self.target(
            SCRIPT_NAME="/identity",
            PATH_INFO="/v3/users/ü b".encode().decode("latin-1"),
            QUERY_STRING="x=1",
        )
        self.assertEqual("/identity/v3/users/%C3%BC%20b?x=1", target)
        self.assertEqual("/a:b@c;d,e=f&g", self.target(PATH_INFO="/a:b@c;d,e=f&g"))

    def test_a_missing_query_is_none(self) -> None:
        given = environ()
        del given["QUERY_STRING"]
        self.assertEqual("/v3/users", from_environ(given).target)

    def test_the_absolute_form_becomes_a_path(self) -> None:
        forms = {
            "http://central.example/v3/users?x=1": "/v3/users?x=1",
            "HTTPS://central.example:5000/v3": "/v3",
            "http://central.example/": "/",
            "http://central.example": "/",
            "http://central.example?next=/v3/users": "/?next=/v3/users",
            "http://user@central.example/v3": "/v3",
        }
        for raw, target in forms.items():
            with self.subTest(repr(raw)):
                self.assertEqual(target, self.target(REQUEST_URI=raw))

    def test_eventlets_absolute_form_becomes_a_path(self) -> None:
        self.assertEqual(
            "/v3/users?x=/y",
            self.target(RAW_PATH_INFO="http://central.example/v3/users", QUERY_STRING="x=/y"),
        )

    def test_a_fragment_which_no_client_should_send_is_dropped(self) -> None:
        self.assertEqual("/v3/users", self.target(REQUEST_URI="/v3/users#top"))

    def test_what_is_neither_path_nor_url_is_refused(self) -> None:
        for raw in ("*", "central.example:443", "v3/users", "", "?x=1"):
            with self.subTest(repr(raw)):
                self.assertIn("neither", self.refusal(RAW_PATH_INFO=raw))

    def test_characters_that_must_be_encoded_are_refused(self) -> None:
        for raw in ("/a b", "/a\tb", "/a\r\nX: y", "/a\0", "/ü", "/\x7f", "/a\x0bb"):
            with self.subTest(repr(raw)):
                self.assertIn("percent-encoded", self.refusal(RAW_PATH_INFO=raw))
        self.assertIn("percent-encoded", self.refusal(QUERY_STRING="x=a b"))

    def test_a_url_is_not_cleaned_up_but_refused(self) -> None:
        # Python's own parser drops some of these characters, and raises for others.
        for raw in (
            "http://h/a\tb",
            "http://h/a\nb",
            "\x01http://h/v3",
            "http://h\r\n/v3",
            "http://[::1/v3",
            "http://[x]/v3",
            "http:///v3",
            "://h/v3",
        ):
            with self.subTest(repr(raw)):
                self.refusal(RAW_PATH_INFO=raw)

    def test_a_path_that_others_read_as_another_one_is_refused(self) -> None:
        for raw in (
            "//evil.example/v3",
            "/v3//users/u1",
            "/v3/./users/u1",
            "/v3/x/../users/u1",
            "/v3/%2e%2E/users",
            "/v3/.",
            "/v3%2F%2Fusers",
        ):
            with self.subTest(raw):
                self.assertIn("segment", self.refusal(RAW_PATH_INFO=raw))
        for raw in ("/", "/v3/", "/v3/users//", "/v3/users/...", "/v3/.users"):
            self.assertEqual(raw, self.target(RAW_PATH_INFO=raw))


class FramingTest(ExchangeTestCase):
    """A body's length is said in one way only; all other ways are how requests are smuggled."""

    def length(self, *headers: tuple[str, str]) -> int | None:
        return from_environ(environ(*headers)).length

    def test_no_length_is_no_body(self) -> None:
        self.assertEqual(0, self.length())

    def test_a_number_is_the_length(self) -> None:
        for text, length in (("0", 0), ("5", 5), ("005", 5), ("123456789012", 123456789012)):
            self.assertEqual(length, self.length(("content-LENGTH", text)))
        self.assertTrue(from_environ(environ(("Content-Length", "5"))).has_body)

    def test_the_same_length_twice_is_one(self) -> None:
        self.assertEqual(5, self.length(("Content-Length", "5"), ("content-length", "5")))
        self.assertEqual(5, self.length(("Content-Length", "5, 5")))

    def test_two_lengths_are_refused(self) -> None:
        self.refusal(("Content-Length", "5"), ("Content-Length", "6"))
        self.refusal(("Content-Length", "5"), ("content-length", "05"))
        self.refusal(("Content-Length", "5, 6"))
        self.refusal(("Content-Length", "5"), ("Content-Length", ""))

    def test_what_is_not_one_plain_number_is_refused(self) -> None:
        for text in (
            "",
            "+5",
            "-5",
            "5.0",
            "0x5",
            "5 5",
            "1_0",
            "five",
            "\N{ARABIC-INDIC DIGIT FIVE}",
            "5;",
            "\xb2",
            "5,",
        ):
            with self.subTest(repr(text)):
                self.refusal(("Content-Length", text))

    def test_white_space_that_is_not_http_is_no_white_space(self) -> None:
        # Python strips it, other servers do not.
        for space in ("\x0b", "\x0c", "\x1c", "\x85", "\xa0"):
            with self.subTest(repr(space)):
                self.refusal(("Content-Length", f"{space}5"))
                self.refusal(("Transfer-Encoding", f"{space}chunked"))

    def test_chunked_has_a_body_of_unknown_length(self) -> None:
        for text in ("chunked", "Chunked", " chunked\t"):
            with self.subTest(repr(text)):
                got = from_environ(environ(("transfer-encoding", text)))
                self.assertEqual((None, True), (got.length, got.has_body))

    def test_a_chunked_body_that_the_server_does_not_decode_needs_a_length(self) -> None:
        given = environ(HTTP_TRANSFER_ENCODING="chunked")
        del given["headers_raw"], given["eventlet.input"]
        with self.assertRaises(Fault) as caught:
            from_environ(given)  # as under uWSGI
        self.assertEqual(411, caught.exception.status)
        decoded = from_environ({**given, "wsgi.input_terminated": True})  # as under gunicorn
        self.assertIsNone(decoded.length)

    def test_every_other_transfer_encoding_is_refused(self) -> None:
        for text in (
            "xchunked",
            "chunkedx",
            "identity",
            "gzip, chunked",
            "chunked, chunked",
            "chunked, identity",
            "chunked;q=1",
            '"chunked"',
            "",
            ",chunked",
        ):
            with self.subTest(repr(text)):
                self.refusal(("Transfer-Encoding", text))

    def test_two_transfer_encodings_are_refused(self) -> None:
        self.refusal(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked"))
        self.refusal(("Transfer-Encoding", "chunked"), ("transfer-encoding", "identity"))

    def test_chunked_and_a_length_are_refused(self) -> None:
        self.refusal(("Transfer-Encoding", "chunked"), ("Content-Length", "5"))
        self.refusal(("Content-Length", "0"), ("Transfer-Encoding", "chunked"))

    def test_a_server_without_raw_headers_makes_no_difference(self) -> None:
        for changes in (
            {"CONTENT_LENGTH": "5", "HTTP_TRANSFER_ENCODING": "chunked"},
            {"HTTP_TRANSFER_ENCODING": "xchunked"},
            {"CONTENT_LENGTH": "5,6"},
        ):
            given = environ(**changes)
            del given["headers_raw"]
            with self.subTest(str(changes)), self.assertRaises(Fault) as caught:
                from_environ(given)
            self.assertEqual(400, caught.exception.status)

    def test_white_space_around_a_header_name_is_refused(self) -> None:
        for name in ("Content-Length ", " Content-Length", "X-A\t", "X-A \t", "", " "):
            with self.subTest(repr(name)):
                self.refusal((name, "5"))

    def test_a_header_name_that_is_no_token_is_refused(self) -> None:
        for name in ("X A", "Content Length", "X:A", "X-A\0", "X-Ä", "X(A)", "X-A\x0b"):
            with self.subTest(repr(name)):
                self.refusal((name, "5"))

    def test_line_ends_and_null_characters_within_a_value_are_refused(self) -> None:
        # Folded lines and bare CR or LF are where one server sees one header and another sees two.
        for value in ("a\nX-B: c", "a\rX-B: c", "a\r\n b", "a\n\tb", "a\0b"):
            with self.subTest(repr(value)):
                self.refusal(("X-A", value))

    def test_two_hosts_are_refused(self) -> None:
        self.refusal(("Host", "a.example"), ("host", "b.example"))
        self.refusal(("Host", "a.example"), ("Host", "a.example"))

    def test_two_hosts_that_the_server_joined_are_refused(self) -> None:
        for host in ("a.example, b.example", "a.example,a.example"):
            given = environ(HTTP_HOST=host)
            del given["headers_raw"]
            with self.subTest(host), self.assertRaises(Fault) as caught:
                from_environ(given)
            self.assertEqual(400, caught.exception.status)

    def test_a_method_that_is_no_token_is_refused(self) -> None:
        for method in ("", "GE T", "GET\x0b", "G\0T", "GÉT", "GET\r\nX:"):
            with self.subTest(repr(method)):
                self.refusal(REQUEST_METHOD=method)

    def test_a_method_that_others_read_as_another_one_is_refused(self) -> None:
        for method in ("post", "Delete", "PATCh"):
            with self.subTest(method):
                self.assertIn("small letters", self.refusal(REQUEST_METHOD=method))


class BodyTest(ExchangeTestCase):
    def exchange(self, content: bytes, length: int | None) -> tuple[Exchange, CarefulStream]:
        stream = CarefulStream(content)
        framing = (
            ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        )
        return from_environ(environ(framing, **{"wsgi.input": stream})), stream

    def test_a_body_comes_in_slices_and_not_a_byte_more_is_read(self) -> None:
        content = bytes(range(256)) * 1024
        got, stream = self.exchange(content + b"GET / HTTP/1.1", len(content))
        slices = list(got.body_slices())
        self.assertEqual(content, b"".join(slices))
        self.assertLessEqual(max(map(len, slices)), SLICE)
        self.assertLessEqual(max(stream.asked), SLICE)
        self.assertEqual(b"GET / HTTP/1.1", stream.read())

    def test_a_chunked_body_is_read_to_its_end(self) -> None:
        content = b"x" * (3 * SLICE + 7)
        got, stream = self.exchange(content, None)
        self.assertEqual(content, b"".join(got.body_slices()))
        self.assertEqual({SLICE}, set(stream.asked))

    def test_no_body_reads_nothing(self) -> None:
        got, stream = self.exchange(b"GET / HTTP/1.1", 0)
        self.assertEqual([], list(got.body_slices()))
        self.assertEqual([], stream.asked)

    def test_a_body_that_ends_early_is_refused(self) -> None:
        for content in (b"", b"x" * 9):
            got, _ = self.exchange(content, 10)
            with self.assertRaises(Fault) as caught:
                list(got.body_slices())
            self.assertEqual(400, caught.exception.status)
            self.assertIn(f"{10 - len(content)} bytes before", str(caught.exception))

    def test_chunks_that_break_off_are_the_clients_fault(self) -> None:
        # eventlet raises these two.
        for error in (ValueError("invalid literal for int()"), OSError("unexpected end of file")):
            with self.subTest(repr(error)):
                stream = BrokenStream(error)
                got = from_environ(
                    environ(("Transfer-Encoding", "chunked"), **{"wsgi.input": stream})
                )
                with self.assertRaises(Fault) as caught:
                    got.read_body(100)
                self.assertEqual(400, caught.exception.status)

    def test_a_body_up_to_the_limit_is_read_whole(self) -> None:
        for length in (10, None):
            got, _ = self.exchange(b"0123456789", length)
            self.assertEqual(b"0123456789", got.read_body(10))

    def test_a_body_above_the_limit_is_refused(self) -> None:
        for length in (11, None):
            got, _ = self.exchange(b"0123456789x", length)
            with self.assertRaises(Fault) as caught:
                got.read_body(10)
            self.assertEqual(413, caught.exception.status)
            self.assertIn("10 bytes", str(caught.exception))

    def test_of_a_body_that_says_it_is_too_large_nothing_is_read(self) -> None:
        got, stream = self.exchange(b"x" * 100, 100)
        with self.assertRaises(Fault):
            got.read_body(10)
        self.assertEqual([], stream.asked)

    def test_of_an_endless_body_little_is_read(self) -> None:
        got, stream = self.exchange(b"x" * (20 * SLICE), None)
        with self.assertRaises(Fault):
            got.read_body(SLICE + 1)
        self.assertEqual(2, len(stream.asked))

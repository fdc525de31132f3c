# SPDX-License-Identifier: Apache-2.0
"""Calls: pages that are followed, queries as they are sent, errors that say what to do."""

import argparse
import unittest
from types import SimpleNamespace
from typing import Any
from unittest import mock

from keystoneauth1 import exceptions as ks_exceptions
from osc_lib import exceptions

from headwater.client import options, passwords
from headwater.client.rest import Api


class Adapter:
    """Answers that are written down; an exception is raised."""

    def __init__(self, *answers: Any):
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def request(self, path: str, method: str, **options: Any) -> Any:
        self.asked.append((method, path, options.get("params")))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, document = answer
        return SimpleNamespace(
            status_code=status, json=lambda: document, content=document, url="http://x/v1"
        )


def page(names: str, following: str | None = None) -> tuple[int, dict[str, Any]]:
    links = [{"rel": "next", "href": following}] if following else []
    return 200, {"things": [{"name": name} for name in names], "links": links}


class PagesTest(unittest.TestCase):
    def names(self, adapter: Adapter, limit: int | None = None, **query: object) -> str:
        return "".join(
            each["name"] for each in Api(adapter).pages("/v1/x", "things", limit, **query)
        )

    def test_links_are_followed_to_the_end(self) -> None:
        adapter = Adapter(page("ab", "http://other/v1/x?limit=1000&marker=b&q=1"), page("c"))
        self.assertEqual("abc", self.names(adapter, q=1, none=None))
        self.assertEqual(
            [[("q", "1"), ("limit", "1000")], [("marker", "b"), ("q", "1"), ("limit", "1000")]],
            [params for _, _, params in adapter.asked],
        )

    def test_no_more_is_asked_for_than_is_wanted(self) -> None:
        adapter = Adapter(page("ab", "http://x/v1/x?limit=2&marker=b"))
        self.assertEqual("ab", self.names(adapter, 2))
        self.assertEqual([("limit", "2")], adapter.asked[0][2])

    def test_the_next_page_is_fetched_only_when_it_is_used(self) -> None:
        adapter = Adapter(page("ab", "http://x/v1/x?marker=b"))
        pages = Api(adapter).pages("/v1/x", "things")
        self.assertEqual(["a", "b"], [next(pages)["name"], next(pages)["name"]])

    def test_lists_and_booleans_are_sent_as_the_api_reads_them(self) -> None:
        adapter = Adapter(page("a"))
        self.names(adapter, label=["a=1", "b=2"], resolved=True)
        self.assertEqual(
            [("label", "a=1"), ("label", "b=2"), ("resolved", "true"), ("limit", "1000")],
            adapter.asked[0][2],
        )


class ErrorsTest(unittest.TestCase):
    def error(self, answer: Any) -> str:
        with self.assertRaises(exceptions.CommandError) as raised:
            Api(Adapter(answer)).get("/v1/x")
        return str(raised.exception)

    def document(self, detail: str) -> dict[str, Any]:
        return {"errors": [{"detail": detail, "request_id": "req-1"}]}

    def test_the_services_own_words_are_passed_on(self) -> None:
        self.assertEqual(
            "No edge. (404, request req-1)", self.error((404, self.document("No edge.")))
        )
        self.assertIn("for the role", self.error((403, self.document("Rule."))))
        self.assertIn("try again", self.error((412, self.document("Changed."))))

    def test_what_is_not_the_api_is_named(self) -> None:
        self.assertIn("http://x/v1 answers 502", self.error((502, {"other": 1})))

    def test_no_endpoint_and_no_answer_say_what_to_do(self) -> None:
        self.assertIn("--os-region-name", self.error(ks_exceptions.EndpointNotFound()))
        self.assertIn("Is headwater-api running?", self.error(ks_exceptions.ConnectFailure("x")))


class OptionsTest(unittest.TestCase):
    def test_times_are_moments_or_how_long_ago(self) -> None:
        self.assertRegex(options.moment("2h"), r"^\d{4}-\d\d-\d\dT.*\+00:00$")
        self.assertTrue(options.moment("2026-03-01T12:00+01:00").startswith("2026-03-01T"))
        for wrong in ("yesterday", "", "2 h", "h"):
            with self.assertRaises(argparse.ArgumentTypeError):
                options.moment(wrong)

    def test_labels_and_numbers(self) -> None:
        self.assertEqual(("a", "b=c"), options.label("a=b=c"))
        for read, wrong in ((options.label, "a"), (options.label, "=a"), (options.positive, "0")):
            with self.assertRaises(argparse.ArgumentTypeError):
                read(wrong)


class PasswordsTest(unittest.TestCase):
    def test_it_comes_from_the_environment_or_a_prompt_that_asks_twice(self) -> None:
        with mock.patch.dict("os.environ", {passwords.VARIABLE: "word"}):
            self.assertEqual("word", passwords.read(None))
        with (
            mock.patch.dict("os.environ", clear=True),
            mock.patch("sys.stdin.isatty", return_value=True),
            mock.patch("getpass.getpass", side_effect=["word", "word", "word", "other"]),
        ):
            self.assertEqual("word", passwords.read(None))
            with self.assertRaisesRegex(exceptions.CommandError, "differ"):
                passwords.read(None)

    def test_an_empty_one_is_refused(self) -> None:
        with (
            mock.patch.dict("os.environ", {passwords.VARIABLE: ""}),
            self.assertRaisesRegex(exceptions.CommandError, "empty"),
        ):
            passwords.read(None)

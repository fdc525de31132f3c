# SPDX-License-Identifier: Apache-2.0
"""Errors become answers in the form of OpenStack's APIs."""

import json
import unittest

import webob

from headwater.api_proxy import faults
from headwater.api_proxy.faults import Fault
from headwater.common import errors

STATUS = {
    errors.DatabaseUnavailable("The database cannot be reached."): 503,
    errors.NotSent("x"): 502,
    errors.NoAnswer("x"): 502,
    errors.NoEndpoint("x"): 502,
    errors.DeadlineExceeded("x"): 504,
    errors.HeadwaterError("x"): 500,
    errors.SecretUnreadable("x"): 500,
    Fault(400, "x"): 400,
    Fault(413, "x"): 413,
    Fault(508, "x"): 508,
}


class FaultsTest(unittest.TestCase):
    def test_every_error_has_its_status(self) -> None:
        for error, status in STATUS.items():
            with self.subTest(repr(error)):
                self.assertEqual(status, faults.response(error).status_int)

    def test_the_body_is_an_error_document(self) -> None:
        for error, status in STATUS.items():
            answer = faults.response(error)
            self.assertEqual("application/json", answer.headers["Content-Type"])
            document = json.loads(answer.body)["error"]
            self.assertEqual({"code", "title", "message"}, set(document))
            self.assertEqual((status, str(error)), (document["code"], document["message"]))
            self.assertTrue(document["title"])
            self.assertEqual(str(len(answer.body)), answer.headers["Content-Length"])

    def test_the_title_is_that_of_the_status(self) -> None:
        self.assertEqual(
            "Gateway Timeout",
            json.loads(faults.response(errors.DeadlineExceeded("x")).body)["error"]["title"],
        )

    def test_a_passing_trouble_says_when_to_try_again(self) -> None:
        self.assertEqual(
            "5", faults.response(errors.DatabaseUnavailable("x")).headers["Retry-After"]
        )
        self.assertEqual("5", faults.response(Fault(503, "x")).headers["Retry-After"])
        own = Fault(503, "x", {"Retry-After": "60"})
        self.assertEqual("60", faults.response(own).headers["Retry-After"])
        self.assertNotIn("Retry-After", faults.response(errors.NotSent("x")).headers)

    def test_a_fault_brings_its_own_headers(self) -> None:
        answer = faults.response(Fault(401, "x", {"WWW-Authenticate": "Keystone uri=y"}))
        self.assertEqual("Keystone uri=y", answer.headers["WWW-Authenticate"])

    def test_two_answers_for_one_error_are_the_same(self) -> None:
        fault = Fault(503, "x")
        self.assertEqual(faults.response(fault).headerlist, faults.response(fault).headerlist)

    def test_any_character_can_be_told(self) -> None:
        answer = faults.response(Fault(400, "ü ☂ \U0001f600 \ud800 \0"))
        self.assertEqual("ü ☂ \U0001f600 \ud800 \0", json.loads(answer.body)["error"]["message"])

    def test_it_is_a_wsgi_application_that_leaves_the_body_out_for_head(self) -> None:
        answer = faults.response(Fault(400, "x"))
        for method, empty in (("GET", False), ("HEAD", True)):
            got = webob.Request.blank("/", method=method).get_response(answer)
            self.assertEqual((400, empty), (got.status_int, got.body == b""))

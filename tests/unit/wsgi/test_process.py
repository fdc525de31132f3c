# SPDX-License-Identifier: Apache-2.0
"""The real WSGI callable is made once in each process, by whichever thread comes first."""

import os
import threading
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from headwater.wsgi.process import PerProcess


class PerProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.made: list[int] = []

    def make(self) -> Callable[..., Any]:
        number = len(self.made)
        self.made.append(number)
        return lambda environ, start_response: (number, environ["n"], start_response)

    def call(self, app: PerProcess, n: int = 0) -> Any:
        return app({"n": n}, "start")  # type: ignore[arg-type]

    def test_nothing_is_made_before_the_first_call(self) -> None:
        app = PerProcess(self.make)
        self.assertEqual([], self.made)
        self.assertEqual((0, 7, "start"), self.call(app, 7))
        self.assertEqual((0, 8, "start"), self.call(app, 8))

    def test_a_forked_process_makes_its_own(self) -> None:
        app = PerProcess(self.make)
        self.assertEqual(0, self.call(app)[0])
        with mock.patch("os.getpid", return_value=os.getpid() + 1):
            self.assertEqual(1, self.call(app)[0])
            self.assertEqual(1, self.call(app)[0])

    def test_of_many_first_calls_one_makes_it(self) -> None:
        together = threading.Barrier(8)

        def slow() -> Callable[..., Any]:
            made = self.make()
            # Every other thread has had the time to begin, too.
            together.wait(10)
            return made

        app = PerProcess(slow)

        def first(n: int) -> Any:
            if n:
                together.wait(10)
            return self.call(app, n)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(first, range(8)))
        self.assertEqual([(0, n, "start") for n in range(8)], answers)
        self.assertEqual([0], self.made)

    def test_what_failed_is_tried_again_at_the_next_call(self) -> None:
        made = [OSError("no disk"), self.make]

        def make() -> Callable[..., Any]:
            now = made.pop(0)
            if isinstance(now, OSError):
                raise now
            return now()  # type: ignore[operator,no-any-return]

        app = PerProcess(make)
        with self.assertRaises(OSError):
            self.call(app)
        self.assertEqual(0, self.call(app)[0])

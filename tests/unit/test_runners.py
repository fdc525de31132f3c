# SPDX-License-Identifier: Apache-2.0
"""pytest and stestr find the same tests.

Each skips in silence what the other runs: stestr bare test functions and parametrized ones, pytest
classes that only load_tests makes. A test that only one of them finds looks as if it passed.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WHO_COLLECTS = ("PYTEST_ADDOPTS", "PYTHON", "PYTHONWARNINGS")
"""Variables that would make the runners collect something else or in another Python."""

TestId = tuple[str, str, str]
"""Module, class (empty for a bare function) and method."""


class RunnersTest(unittest.TestCase):
    maxDiff = None

    def run_module(self, *arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k not in WHO_COLLECTS},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(0, done.returncode, f"{arguments}:\n{done.stdout}\n{done.stderr}")
        return done.stdout.splitlines()

    def found_by_pytest(self) -> set[TestId]:
        lines = self.run_module("pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
        found = set()
        for line in lines:
            path, colons, rest = line.partition("::")
            if colons:
                *classes, method = rest.split("::")
                module = path.removesuffix(".py").replace("/", ".")
                found.add((module, ".".join(classes), method))
        return found

    def found_by_stestr(self) -> set[TestId]:
        with tempfile.TemporaryDirectory() as repository:
            self.run_module("stestr", "--repo-url", repository, "init")
            lines = self.run_module("stestr", "--repo-url", repository, "list")
        found = set()
        for line in lines:
            module, class_, method = line.rsplit(".", 2)
            found.add((module, class_, method))
        return found

    def test_both_find_the_same_tests(self) -> None:
        pytest, stestr = self.found_by_pytest(), self.found_by_stestr()
        self.assertIn(tuple(self.id().rsplit(".", 2)), pytest)
        self.assertEqual([], sorted(pytest - stestr), "stestr does not find these")
        self.assertEqual([], sorted(stestr - pytest), "pytest does not find these")

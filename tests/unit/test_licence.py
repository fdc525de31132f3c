# SPDX-License-Identifier: Apache-2.0
"""Every source file says what its licence is, in its first lines."""

import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).parents[2]
HEADER = "SPDX-License-Identifier: Apache-2.0"
#: Prose, which the file LICENSE is enough for, and what oslo's generators write.
WITHOUT = (".md", ".sample")
LINES = 4
"""A header stands below `#!`, or in the comment of a JSON document."""


def sources() -> list[pathlib.Path]:
    """All files that git knows or would take. Raises CalledProcessError without a repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [file for file in found if file.is_file() and not file.is_symlink()]


class LicenceTest(unittest.TestCase):
    @unittest.skipUnless((ROOT / ".git").exists(), "git tells which files are sources")
    def test_every_source_file_has_a_header(self) -> None:
        lacking = []
        for file in sources():
            if file.name != "LICENSE" and file.suffix not in WITHOUT:
                with file.open(encoding="utf-8") as stream:
                    start = [stream.readline() for _ in range(LINES)]
                if not any(HEADER in line for line in start):
                    lacking.append(str(file.relative_to(ROOT)))
        self.assertEqual([], lacking)

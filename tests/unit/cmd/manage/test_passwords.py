# SPDX-License-Identifier: Apache-2.0
"""Passwords come from a file, the environment or a terminal."""

import contextlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

from headwater.cmd.manage import passwords
from headwater.common.errors import InvalidInput


class PasswordsTest(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "password")
        self.enterContext(unittest.mock.patch.dict(os.environ))
        os.environ.pop(passwords.VARIABLE, None)
        self.enterContext(unittest.mock.patch.object(sys, "stdin", io.StringIO()))

    def write(self, content: bytes) -> pathlib.Path:
        self.file.write_bytes(content)
        return self.file

    def test_the_first_line_of_a_file_is_the_password(self) -> None:
        for content, password in {
            b"tiger": "tiger",
            b"tiger\n": "tiger",
            b"tiger\r\n": "tiger",
            b"tiger\nlion\n": "tiger",
            b" ti ger \n": " ti ger ",
            "tigér☂\n".encode(): "tigér☂",
        }.items():
            with self.subTest(content):
                self.assertEqual(password, passwords.read(self.write(content)))

    def test_a_file_wins_over_the_environment(self) -> None:
        os.environ[passwords.VARIABLE] = "lion"
        self.assertEqual("tiger", passwords.read(self.write(b"tiger\n")))

    def test_the_environment_is_used_where_no_file_is_given(self) -> None:
        os.environ[passwords.VARIABLE] = "lion\n2"
        self.assertEqual("lion\n2", passwords.read(None))

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        for file in (self.file, self.file.parent, self.write(b"\xff\xfe")):
            with (
                self.subTest(file.name),
                self.assertRaisesRegex(InvalidInput, f"--password-file {file}: cannot be read"),
            ):
                passwords.read(file)

    def test_an_empty_password_is_refused(self) -> None:
        for content in (b"", b"\n", b"\r\n", b"\ntiger"):
            with self.subTest(content), self.assertRaisesRegex(InvalidInput, "is empty"):
                passwords.read(self.write(content))
        os.environ[passwords.VARIABLE] = ""
        with self.assertRaisesRegex(InvalidInput, "is empty"):
            passwords.read(None)

    def test_without_any_of_them_and_without_a_terminal_it_says_what_to_do(self) -> None:
        with self.assertRaises(InvalidInput) as caught:
            passwords.read(None)
        self.assertIn("--password-file", str(caught.exception))
        self.assertIn(passwords.VARIABLE, str(caught.exception))


class TerminalTest(unittest.TestCase):
    """A person types the password twice, on a terminal of the test's own."""

    def typed(self, *lines: str) -> str:
        """What `read` makes of these lines; nothing of them may be echoed."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        terminal = open(slave, "r+b", buffering=0)  # noqa: SIM115 - closed by the cleanup
        self.addCleanup(terminal.close)
        typed = iter(lines)

        def getpass(prompt: str) -> str:
            self.assertIn("assword", prompt)
            return next(typed)

        with (
            unittest.mock.patch.object(sys, "stdin", io.TextIOWrapper(terminal)) as stdin,
            unittest.mock.patch.object(passwords.getpass, "getpass", getpass),
            unittest.mock.patch.dict(os.environ),
            contextlib.redirect_stdout(io.StringIO()) as out,
        ):
            os.environ.pop(passwords.VARIABLE, None)
            try:
                password = passwords.read(None)
            finally:
                stdin.detach()
        self.assertEqual("", out.getvalue())
        return password

    def test_the_same_twice_is_the_password(self) -> None:
        self.assertEqual("tiger", self.typed("tiger", "tiger"))

    def test_two_different_ones_are_refused(self) -> None:
        with self.assertRaisesRegex(InvalidInput, "differ"):
            self.typed("tiger", "tigre")

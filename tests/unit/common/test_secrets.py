# SPDX-License-Identifier: Apache-2.0
"""Keys: made once, readable by their owner only, rotated without losing anything."""

import os
import pathlib
import stat
import tempfile
import threading
import unittest

from cryptography.fernet import Fernet

from headwater.common.errors import ConfigurationError, SecretUnreadable
from headwater.common.secrets import KeyRing

SECRET = {"password": "tiger", "nested": {"ü": [1, None, True]}}


class KeyRingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.directory = root / "state" / "keys"

    def names(self) -> list[str]:
        return sorted(file.name for file in self.directory.iterdir())


class EncryptTest(KeyRingTestCase):
    def test_what_was_encrypted_is_decrypted(self) -> None:
        ring = KeyRing.ensure(self.directory)
        for value in (SECRET, {}, {"lone": "\ud800", "long": "x" * 100_000}):
            self.assertEqual(value, ring.decrypt(ring.encrypt(value)))

    def test_the_encrypted_text_shows_nothing_and_differs_each_time(self) -> None:
        ring = KeyRing.ensure(self.directory)
        texts = {ring.encrypt(SECRET) for _ in range(3)}
        self.assertEqual(3, len(texts))
        for text in texts:
            self.assertNotIn("tiger", text)
            self.assertTrue(text.isascii())

    def test_a_text_that_no_key_fits_is_unreadable_and_names_the_directory(self) -> None:
        ring = KeyRing.ensure(self.directory)
        other = KeyRing.ensure(self.directory.parent / "other")
        for text in (other.encrypt(SECRET), "", "no token", ring.encrypt(SECRET)[:-4]):
            with self.assertRaises(SecretUnreadable) as caught:
                ring.decrypt(text)
            self.assertIn(str(self.directory), str(caught.exception))
            self.assertNotIn("tiger", str(caught.exception))


class RotationTest(KeyRingTestCase):
    def test_older_keys_still_decrypt(self) -> None:
        texts = []
        for _ in range(12):
            KeyRing.add_key(self.directory)
            texts.append(KeyRing(self.directory).encrypt(SECRET))
        ring = KeyRing(self.directory)
        for text in texts:
            self.assertEqual(SECRET, ring.decrypt(text))

    def test_the_key_with_the_highest_number_encrypts(self) -> None:
        # 10 comes after 9, although not in the order of letters.
        for _ in range(10):
            newest = KeyRing.add_key(self.directory)
        text = KeyRing(self.directory).encrypt(SECRET)
        self.assertEqual("10", newest.name)
        for file in self.directory.iterdir():
            if file != newest:
                file.unlink()
        self.assertEqual(SECRET, KeyRing(self.directory).decrypt(text))

    def test_a_running_process_reads_what_another_wrote_with_a_newer_key(self) -> None:
        running = KeyRing.ensure(self.directory)
        KeyRing.add_key(self.directory)
        self.assertEqual(SECRET, running.decrypt(KeyRing(self.directory).encrypt(SECRET)))

    def test_a_running_process_encrypts_with_a_newer_key(self) -> None:
        # A gateway only encrypts. Once the older key files are removed, as the help of 'secrets
        # rotate' says they can be, nobody could read what it wrote with one of them.
        running = KeyRing.ensure(self.directory)
        newest = KeyRing.add_key(self.directory)
        text = running.encrypt(SECRET)
        for file in self.directory.iterdir():
            if file != newest:
                file.unlink()
        self.assertEqual(SECRET, KeyRing(self.directory).decrypt(text))

    def test_renewed_texts_are_readable_without_the_older_keys(self) -> None:
        text = KeyRing.ensure(self.directory).encrypt(SECRET)
        newest = KeyRing.add_key(self.directory)
        renewed = KeyRing(self.directory).renew(text)
        (self.directory / "1").unlink()
        self.assertEqual([newest.name], self.names())
        self.assertEqual(SECRET, KeyRing(self.directory).decrypt(renewed))

    def test_without_its_key_a_text_is_unreadable(self) -> None:
        text = KeyRing.ensure(self.directory).encrypt(SECRET)
        KeyRing.add_key(self.directory)
        (self.directory / "1").unlink()
        ring = KeyRing(self.directory)
        with self.assertRaises(SecretUnreadable):
            ring.decrypt(text)
        with self.assertRaises(SecretUnreadable):
            ring.renew(text)


class KeyFilesTest(KeyRingTestCase):
    def test_a_first_key_is_made_once(self) -> None:
        self.assertFalse(KeyRing.exists(self.directory))
        KeyRing.ensure(self.directory)
        self.assertTrue(KeyRing.exists(self.directory))
        before = (self.directory / "1").read_bytes()
        KeyRing.ensure(self.directory)
        self.assertEqual(["1"], self.names())
        self.assertEqual(before, (self.directory / "1").read_bytes())

    def test_keys_and_their_directory_are_for_the_owner_only(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        key = KeyRing.add_key(self.directory)
        self.assertEqual(0o600, stat.S_IMODE(key.stat().st_mode))
        self.assertEqual(0o700, stat.S_IMODE(self.directory.stat().st_mode))

    def test_numbers_go_on_behind_the_highest(self) -> None:
        KeyRing.add_key(self.directory)
        KeyRing.add_key(self.directory)
        (self.directory / "1").unlink()
        self.assertEqual("3", KeyRing.add_key(self.directory).name)

    def test_other_files_are_no_keys(self) -> None:
        key = KeyRing.add_key(self.directory)
        (self.directory / "README").write_text("no key")
        (self.directory / ".2.1").write_text("a draft")
        self.assertEqual(key.name, "1")
        KeyRing(self.directory)
        self.assertEqual("2", KeyRing.add_key(self.directory).name)

    def test_half_a_key_is_never_seen(self) -> None:
        # Whoever looks while keys are written sees whole keys only.
        KeyRing.add_key(self.directory)
        done = threading.Event()
        failures: list[BaseException] = []

        def look() -> None:
            while not done.is_set():
                for file in self.directory.iterdir():
                    if file.name.isdigit():
                        try:
                            Fernet(file.read_bytes())
                        except ValueError as error:
                            failures.append(error)

        reader = threading.Thread(target=look)
        reader.start()
        try:
            for _ in range(100):
                KeyRing.add_key(self.directory)
        finally:
            done.set()
            reader.join(60)
        self.assertEqual([], failures)
        self.assertEqual(101, len(self.names()), "a draft was left behind")

    def test_keys_that_are_added_at_the_same_time_do_not_overwrite_each_other(self) -> None:
        failures: list[BaseException] = []

        def add(ready: threading.Barrier) -> None:
            ready.wait(60)
            try:
                KeyRing.add_key(self.directory)
            except BaseException as error:  # noqa: BLE001 - compared below
                failures.append(error)

        for _ in range(10):
            ready = threading.Barrier(8)
            threads = [threading.Thread(target=add, args=(ready,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        self.assertEqual([], failures)
        self.assertEqual(list(range(1, 81)), sorted(map(int, self.names())))

    def test_a_draft_of_a_process_that_was_killed_is_in_nobodys_way(self) -> None:
        # In a container the next process often has the same id.
        self.directory.mkdir(parents=True)
        (self.directory / f".1.{os.getpid()}").touch()
        KeyRing.ensure(self.directory)


class UnusableDirectoryTest(KeyRingTestCase):
    def refusal(self) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            KeyRing(self.directory)
        text = str(caught.exception)
        self.assertTrue(text.startswith(f"[secrets] key_directory = {self.directory}: "), text)
        self.assertNotIn("\n", text)
        return text

    def test_a_directory_that_is_missing(self) -> None:
        self.assertIn("headwater-manage secrets create", self.refusal())

    def test_a_directory_without_a_key(self) -> None:
        self.directory.mkdir(parents=True)
        self.assertIn("holds no key", self.refusal())

    def test_a_file_in_place_of_the_directory(self) -> None:
        self.directory.parent.mkdir(parents=True)
        self.directory.write_text("no directory")
        self.assertIn("holds no key", self.refusal())
        with self.assertRaisesRegex(ConfigurationError, "cannot write a key: "):
            KeyRing.ensure(self.directory)

    def test_a_file_that_is_no_key(self) -> None:
        for content in (b"", b"short", b"\xff" * 44):
            with self.subTest(content):
                self.directory.mkdir(parents=True, exist_ok=True)
                (self.directory / "1").write_bytes(content)
                self.assertIn("holds a file that is no key", self.refusal())

    def test_a_key_that_cannot_be_read(self) -> None:
        (self.directory / "1").mkdir(parents=True)
        self.assertIn("cannot be read: ", self.refusal())

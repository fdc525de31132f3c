# SPDX-License-Identifier: Apache-2.0
"""Secrets are masked wherever they stand in a text."""

import unittest

from headwater.common.redact import scrub, secrets_among, shorten


class ScrubTest(unittest.TestCase):
    def test_every_occurrence_of_every_secret_is_masked(self) -> None:
        self.assertEqual(
            "user *** has *** and ***", scrub("user tiger has lion and tiger", ["tiger", "lion"])
        )

    def test_a_secret_within_a_longer_secret_does_not_give_the_rest_away(self) -> None:
        for secrets in (["pass", "password1"], ["password1", "pass"]):
            self.assertEqual("is ***!", scrub("is password1!", secrets))

    def test_a_secret_within_a_word_is_masked(self) -> None:
        self.assertEqual("?pw=***&x", scrub("?pw=tiger&x", ["tiger"]))

    def test_a_secret_that_is_no_string_is_masked(self) -> None:
        self.assertEqual("pin *** of ***", scrub("pin 12345 of 67.5", [12345, 67.5]))

    def test_no_secret_masks_nothing(self) -> None:
        self.assertEqual("None of it", scrub("None of it", [None, ""]))
        self.assertEqual("text", scrub("text", []))

    def test_a_very_short_secret_would_give_itself_away_by_its_holes(self) -> None:
        self.assertEqual("a cab", scrub("a cab", ["a", "ab"]))

    def test_a_secret_with_special_characters_is_taken_literally(self) -> None:
        self.assertEqual("x *** y", scrub(r"x a.*b\1 y", [r"a.*b\1"]))
        self.assertEqual("axxb", scrub("axxb", ["a.*b"]))


class SecretsAmongTest(unittest.TestCase):
    def test_texts_may_be_passwords_and_what_settings_say_all_the_time_is_none(self) -> None:
        settings = {
            "SetupPassword": "tiger",
            "BootMode": "Uefi",
            "Wake": "Enabled",
            "Fan": "AUTO",
            "NumLock": True,
            "Delay": 7,
            "Owner": None,
        }
        self.assertEqual(["tiger", "Uefi"], secrets_among(settings))


class ShortenTest(unittest.TestCase):
    def test_a_text_becomes_one_line(self) -> None:
        self.assertEqual("a b c", shorten("  a\n\tb\r\n\n c "))

    def test_a_text_at_the_limit_is_kept(self) -> None:
        self.assertEqual("x" * 10, shorten("x" * 10, 10))

    def test_a_longer_text_ends_with_an_ellipsis_at_the_limit(self) -> None:
        self.assertEqual("x" * 9 + "…", shorten("x" * 11, 10))
        self.assertEqual(300, len(shorten("y" * 1000)))

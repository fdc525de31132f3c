# SPDX-License-Identifier: Apache-2.0
"""Every option can be understood, set, and refused by an operator."""

import contextlib
import io
import pathlib
import tempfile
import unittest
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg, generator

from headwater.common import conf as configuration
from headwater.common.conf import (
    api,
    api_proxy,
    base,
    central,
    endpoints,
    engine,
    secrets,
    subclouds,
)
from headwater.common.errors import ConfigurationError

#: Our own options; those of keystoneauth, which stand in [central] too, have their own help.
OWN = {
    "DEFAULT": base.OPTS,
    "api": api.OPTS,
    "api_proxy": api_proxy.OPTS,
    "central": central.OPTS,
    "endpoints": endpoints.OPTS,
    "endpoint_type:identity": endpoints.type_opts(25000),
    "engine": engine.OPTS,
    "secrets": secrets.OPTS,
    "subclouds": subclouds.OPTS,
}


class ConfigurationTestCase(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def load(self, text: str = "") -> cfg.ConfigOpts:
        file = self.directory / "headwater.conf"
        file.write_text(text)
        return configuration.load(
            ["--config-file", str(file)], description="test", set_up_logging=False
        )


class OptionsTest(ConfigurationTestCase):
    def own_options(self) -> Iterator[tuple[str, Any]]:
        for group, options in OWN.items():
            for option in options:
                yield group, option

    def test_every_option_says_what_it_is_for(self) -> None:
        for group, option in self.own_options():
            with self.subTest(f"[{group}] {option.name}"):
                self.assertGreaterEqual(len(option.help or ""), 20)
                self.assertTrue(option.help[0].isupper())
                self.assertTrue(option.help.endswith("."))

    def test_every_option_is_in_the_list_for_the_sample_generator(self) -> None:
        listed = {
            (group, option.name)
            for group, options in configuration.list_opts()
            for option in options
        }
        own = {(group, option.name) for group, option in self.own_options()}
        self.assertEqual(set(), own - listed)

    def test_every_listed_option_is_registered_and_its_default_is_valid(self) -> None:
        conf = self.load()
        endpoints.register_type(conf, "identity", 25000)
        for group, option in self.own_options():
            with self.subTest(f"[{group}] {option.name}"):
                values = conf if group == "DEFAULT" else conf[group]
                getattr(values, option.dest)

    def test_every_number_has_a_lower_bound(self) -> None:
        for group, option in self.own_options():
            if isinstance(option, cfg.IntOpt | cfg.FloatOpt):
                with self.subTest(f"[{group}] {option.name}"):
                    self.assertIsNotNone(option.type.min)

    def test_two_configurations_do_not_share_values(self) -> None:
        first = self.load("[engine]\nlease = 20\n")
        second = self.load("[engine]\nlease = 30\n")
        self.assertEqual((20, 30), (first.engine.lease, second.engine.lease))


class SampleTest(ConfigurationTestCase):
    def sample(self) -> str:
        output = self.directory / "sample.conf"
        generator.main(["--namespace", "headwater", "--output-file", str(output)])
        return output.read_text()

    def test_the_sample_has_every_option_with_its_help(self) -> None:
        sample = self.sample()
        for group, options in OWN.items():
            self.assertIn(f"[{group}]", sample)
            for option in options:
                self.assertRegex(sample, rf"(?m)^#{option.dest} = ")
        self.assertIn("Seconds between two looks into the database", sample)

    def test_the_sample_is_the_same_on_every_host(self) -> None:
        sample = self.sample()
        self.assertIn("#api_workers = <number of CPU cores>", sample)
        self.assertIn("#state_path = /var/lib/headwater", sample)
        self.assertNotIn(str(pathlib.Path.home()) + "/", sample)

    def test_the_sample_is_a_configuration_file_that_loads(self) -> None:
        self.assertEqual(15.0, self.load(self.sample()).engine.lease)


class LoadTest(ConfigurationTestCase):
    def refusal(self, text: str) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            self.load(text)
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        return message

    def test_the_defaults_are_the_embedded_mode(self) -> None:
        conf = self.load()
        self.assertEqual("forward", conf.api_proxy.unmatched)
        self.assertEqual(f"sqlite:///{conf.state_path}/headwater.db", conf.database.connection)
        self.assertEqual(f"{conf.state_path}/keys", conf.secrets.key_directory)
        self.assertIsNone(conf.endpoints.directory)

    def test_paths_follow_the_state_path(self) -> None:
        conf = self.load("[DEFAULT]\nstate_path = /srv/hw\n")
        self.assertEqual("sqlite:////srv/hw/headwater.db", conf.database.connection)
        self.assertEqual("/srv/hw/keys", conf.secrets.key_directory)

    def test_a_file_that_is_missing_is_named(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "nowhere.conf"):
            configuration.load(
                ["--config-file", str(self.directory / "nowhere.conf")],
                description="test",
                set_up_logging=False,
            )

    def test_a_file_that_is_none_is_named_with_its_line(self) -> None:
        self.assertRegex(self.refusal("[engine]\nnonsense\n"), r"headwater\.conf.*'nonsense'")

    def test_a_value_that_cannot_work_is_refused_with_option_and_file(self) -> None:
        for group, option, value in (
            ("engine", "lease", "soon"),
            ("engine", "lease", "0.1"),
            ("engine", "batch", "0"),
            ("api_proxy", "unmatched", "drop"),
            ("DEFAULT", "workers", "-1"),
        ):
            with self.subTest(f"{option} = {value}"):
                message = self.refusal(f"[{group}]\n{option} = {value}\n")
                self.assertIn(option, message)
                self.assertRegex(message, r"not valid|Valid values|Should be")

    def test_an_unknown_argument_ends_the_program_as_usual(self) -> None:
        with (
            contextlib.redirect_stderr(io.StringIO()) as stderr,
            self.assertRaises(SystemExit) as caught,
        ):
            configuration.load(["--nonsense"], description="test", set_up_logging=False)
        self.assertEqual(2, caught.exception.code)
        self.assertIn("--nonsense", stderr.getvalue())


class StatePathTest(ConfigurationTestCase):
    def test_it_is_made_when_it_is_missing(self) -> None:
        path = self.directory / "a" / "b"
        conf = self.load(f"[DEFAULT]\nstate_path = {path}\n")
        for _ in range(2):
            self.assertEqual(path, configuration.state_path(conf))
            self.assertTrue(path.is_dir())

    def test_a_file_in_its_place_is_named(self) -> None:
        path = self.directory / "file"
        path.touch()
        for wrong in (path, path / "below"):
            conf = self.load(f"[DEFAULT]\nstate_path = {wrong}\n")
            with self.assertRaisesRegex(ConfigurationError, rf"state_path = {wrong}: cannot"):
                configuration.state_path(conf)

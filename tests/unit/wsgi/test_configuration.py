# SPDX-License-Identifier: Apache-2.0
"""What a WSGI callable takes from the environment, and how it fails."""

import os
import pathlib
import tempfile
import traceback
import unittest
from typing import Any
from unittest import mock

from oslo_config import cfg

from headwater.common.endpoints.registry import Registry, load_registry
from headwater.common.errors import ConfigurationError, NoEndpoint
from headwater.wsgi import configuration


class ConfigurationTestCase(unittest.TestCase):
    def error(self, call: Any, *arguments: Any) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            call(*arguments)
        return str(caught.exception)


class FilesTest(ConfigurationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # The process's own logs are not this test's.
        self.enterContext(mock.patch("oslo_log.log.setup"))

    def load(self, *files: str) -> cfg.ConfigOpts:
        # The process's own options are not this test's either.
        with mock.patch.object(cfg, "CONF", cfg.ConfigOpts()):
            return configuration.load(
                "headwater-api-proxy", {"HEADWATER_CONFIG_FILES": os.pathsep.join(files)}
            )

    def file(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def test_all_named_files_count_and_the_last_wins(self) -> None:
        files = [
            self.file("a.conf", "[api_proxy]\nunmatched = deny\nmax_idle_connections = 1\n"),
            self.file("b.conf", "[api_proxy]\nmax_idle_connections = 2\n"),
        ]
        conf = self.load(*files)
        self.assertEqual(files, conf.config_file)
        self.assertEqual("deny", conf.api_proxy.unmatched)
        self.assertEqual(2, conf.api_proxy.max_idle_connections)

    def test_without_files_the_search_path_is_the_services(self) -> None:
        with mock.patch.object(cfg, "find_config_files", return_value=[]) as find:
            conf = self.load()
        self.assertIn(mock.call("headwater", "headwater-api-proxy"), find.mock_calls)
        self.assertEqual("headwater-api-proxy", conf.prog)

    def test_a_file_that_is_missing_or_wrong_is_named(self) -> None:
        missing = str(self.directory / "missing.conf")
        wrong = self.file("wrong.conf", "[api_proxy]\nmax_connections = none\n")
        self.assertIn(missing, self.error(self.load, missing))
        self.assertIn("[api_proxy] max_connections: ", self.error(self.load, wrong))

    def test_a_process_has_one_configuration(self) -> None:
        with mock.patch.object(cfg, "CONF", cfg.ConfigOpts()):
            configuration.load("headwater-api-proxy", {})
            said = self.error(configuration.load, "headwater-api", {})
        self.assertIn("a server of its own", said)


class EndpointTypeTest(ConfigurationTestCase):
    def setUp(self) -> None:
        super().setUp()
        identity = load_registry(None).endpoint_type("identity")
        self.one = Registry({"identity": identity})
        self.two = Registry({"identity": identity, "compute": identity})

    def test_the_only_one_is_the_default(self) -> None:
        for environ in ({}, {"HEADWATER_ENDPOINT_TYPE": ""}):
            chosen = configuration.chosen_type(self.one, environ)
            self.assertEqual("identity", chosen.name)

    def test_of_several_the_named_one_is_served(self) -> None:
        environ = {"HEADWATER_ENDPOINT_TYPE": "identity"}
        self.assertEqual("identity", configuration.chosen_type(self.two, environ).name)

    def test_several_and_none_named_is_an_error_that_lists_them(self) -> None:
        self.assertEqual(
            "HEADWATER_ENDPOINT_TYPE: is not set; one server serves one endpoint type. Enabled "
            "are: compute, identity.",
            self.error(configuration.chosen_type, self.two, {}),
        )

    def test_one_that_is_not_enabled_is_an_error(self) -> None:
        environ = {"HEADWATER_ENDPOINT_TYPE": "volume"}
        self.assertEqual(
            "HEADWATER_ENDPOINT_TYPE = volume: is not an enabled endpoint type. Enabled are: "
            "identity.",
            self.error(configuration.chosen_type, self.one, environ),
        )


class CheckedTest(ConfigurationTestCase):
    def test_it_is_what_was_made(self) -> None:
        app = object()
        self.assertIs(app, configuration.checked(lambda: app))  # type: ignore[arg-type,return-value]

    def test_every_error_of_ours_becomes_one_line_without_its_causes(self) -> None:
        def make() -> Any:
            raise NoEndpoint("The catalog does not offer it.") from OSError("a cause")

        with self.assertRaises(ConfigurationError) as caught:
            configuration.checked(make)
        shown = "".join(traceback.format_exception(caught.exception))
        self.assertTrue(shown.endswith("ConfigurationError: The catalog does not offer it.\n"))
        self.assertNotIn("a cause", shown)

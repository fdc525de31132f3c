# SPDX-License-Identifier: Apache-2.0
"""Pages say what is there: routes, commands, options, endpoint files."""

import configparser
import pathlib
import re
import tempfile
import unittest

from headwater.common.endpoints.registry import load_registry
from headwater.orchestrator.api.v1 import ROUTES
from tests.unit.docs.extensions import DOCS, extension

ROOT = DOCS.parent


class ReferenceTest(unittest.TestCase):
    def test_every_route_and_every_schema_is_in_the_reference(self) -> None:
        module = extension("api_reference")
        document = module.document()
        lines = set(module.write(document))
        for route in ROUTES:
            self.assertIn(f"{route.method} {route.path}", lines)
        for name in document["components"]["schemas"]:
            self.assertIn(f".. _api-schema-{name.lower()}:", lines)

    def test_the_page_of_options_has_what_the_sample_has(self) -> None:
        generator = ROOT / "etc" / "headwater" / "config-generator.conf"
        wanted = re.findall(r"^namespace = (\S+)", generator.read_text(), re.MULTILINE)
        page = (DOCS / "options.rst").read_text().splitlines()
        self.assertEqual(wanted, [line.strip() for line in page if line.strip() in wanted])

    def test_the_words_on_configuration_name_groups_that_exist(self) -> None:
        sample = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        sample.read(ROOT / "etc" / "headwater" / "headwater.conf.sample")
        known = {*sample.sections(), "DEFAULT", "endpoint_type:NAME"}
        page = (DOCS / "configuration.md").read_text()
        named = re.findall(r"^\| `\[([\w:]+)\]` \|", page, re.MULTILINE)
        self.assertGreater(len(named), 10)
        self.assertLessEqual(set(named), known)


class ExampleTest(unittest.TestCase):
    def test_the_endpoint_file_of_the_page_is_valid(self) -> None:
        page = (DOCS / "endpoint-files.md").read_text()
        example = re.search(r"^   ```yaml\n(.*?)^   ```$", page, re.MULTILINE | re.DOTALL)
        assert example is not None
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, "shop.yaml").write_text(example[1])
            found = {each.name for each in load_registry(directory)}
        self.assertIn("shop", found)

    def test_every_page_is_read_in_some_toctree(self) -> None:
        index = (DOCS / "index.md").read_text()
        trees = re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL)
        named = {line for tree in trees for line in tree.splitlines() if not line.startswith(":")}
        pages = {file.stem for pattern in ("*.md", "*.rst") for file in DOCS.glob(pattern)}
        self.assertEqual(pages - {"index"}, named - {""})

# SPDX-License-Identifier: Apache-2.0
"""What etc/ ships is what the code has: samples, configurations and units."""

import configparser
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
ETC = ROOT / "etc"
SAMPLE = ETC / "headwater" / "headwater.conf.sample"


def options(file: pathlib.Path) -> dict[str, set[str]]:
    """All options of a sample by group, the commented ones too."""
    found: dict[str, set[str]] = {}
    group = ""
    for line in file.read_text().splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            group = header[1]
        elif option := re.match(r"#?([a-z][a-z0-9_]*) = ", line):
            found.setdefault(group, set()).add(option[1])
    return found


def scripts() -> set[str]:
    found = importlib.metadata.distribution("headwater").entry_points
    return {each.name for each in found if each.group == "console_scripts"}


class SampleTest(unittest.TestCase):
    def written_by(self, generator: str, config: str) -> str:
        with tempfile.TemporaryDirectory() as directory:
            output = pathlib.Path(directory, "sample")
            subprocess.run(
                [
                    pathlib.Path(sys.executable).parent / generator,
                    "--config-file",
                    ETC / "headwater" / config,
                    "--output-file",
                    output,
                ],
                check=True,
                capture_output=True,
                cwd=ROOT,
            )
            return output.read_text()

    def test_the_options_are_what_the_generator_writes_today(self) -> None:
        written = self.written_by("oslo-config-generator", "config-generator.conf")
        self.assertEqual(written, SAMPLE.read_text(), "run oslo-config-generator, see its file")

    def test_the_rules_are_what_the_generator_writes_today(self) -> None:
        written = self.written_by("oslopolicy-sample-generator", "policy-generator.conf")
        sample = (ETC / "headwater" / "policy.yaml.sample").read_text()
        self.assertEqual(written, sample, "run oslopolicy-sample-generator, see its file")

    def test_the_short_configurations_have_options_that_exist(self) -> None:
        known = options(SAMPLE)
        # Their options depend on the way to log in.
        login = {"auth_url", "username", "password", "user_domain_name", "project_name"}
        known["keystone_authtoken"] |= login | {"project_domain_name"}
        for name in ("one-host", "many-hosts"):
            for group, names in options(ETC / "headwater" / f"headwater-{name}.conf").items():
                self.assertLessEqual(names, known[group], f"{name} [{group}]")


class UnitFilesTest(unittest.TestCase):
    def test_every_service_has_a_unit_that_starts_it(self) -> None:
        services = scripts() - {"headwater-manage"}
        units = {file.stem: file for file in (ETC / "systemd").glob("*.service")}
        self.assertEqual(services, set(units))
        for name, file in units.items():
            unit = configparser.ConfigParser(strict=False, interpolation=None)
            unit.optionxform = str  # type: ignore[assignment,method-assign]
            unit.read(file)
            program = unit["Service"]["ExecStart"].split()[0]
            self.assertEqual(name, pathlib.Path(program).name)
            self.assertEqual("notify", unit["Service"]["Type"])
            # The supervisor drains its workers; systemd kills only what is left in the end.
            self.assertEqual("mixed", unit["Service"]["KillMode"])
            self.assertGreater(int(unit["Service"]["TimeoutStopSec"]), 60)

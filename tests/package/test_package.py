# SPDX-License-Identifier: Apache-2.0
"""The package as a stranger gets it: built, installed without a compiler, started.

It needs a package index, as tools/test itself does. docs/testing.md says what it proves.
"""

import concurrent.futures
import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
#: What a source distribution has no use for.
NOT_IN_SDIST = {".ci/run", ".gitignore"}
PATIENCE = 300
"""Seconds for a build or an installation; only a hang reaches it."""


def run(*command: str | pathlib.Path, home: pathlib.Path) -> str:
    """What a command writes, run as by somebody else. AssertionError with all of it if it fails."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k in ("PATH", "LANG")}
    done = subprocess.run(
        command,
        cwd=home,
        # A compiler that is called nevertheless fails.
        env={**kept, "HOME": str(home), "CC": "false", "CXX": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def sources() -> list[str]:
    """The files that git knows or would take, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = (name for name in listed.stdout.split("\0") if name)
    return sorted(name for name in names if (ROOT / name).is_file())


def copy(names: list[str], directory: pathlib.Path) -> pathlib.Path:
    for name in names:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return directory


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@unittest.skipUnless((ROOT / ".git").exists(), "git tells which files belong to the package")
class PackageTest(unittest.TestCase):
    home: pathlib.Path
    names: list[str]
    sdist: pathlib.Path
    wheel: pathlib.Path
    direct: pathlib.Path
    venv: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        scratch = tempfile.TemporaryDirectory(prefix="headwater-package-")
        cls.addClassCleanup(scratch.cleanup)
        cls.home = pathlib.Path(scratch.name)
        cls.names = sources()
        cls.venv = cls.home / "venv"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            # Without a kind, the wheel is made from the sdist and not from the tree.
            both = pool.submit(cls.build, "both")
            direct = pool.submit(cls.build, "direct", "--wheel")
            empty = pool.submit(run, sys.executable, "-m", "venv", cls.venv, home=cls.home)
            (cls.sdist,) = both.result().glob("*.tar.gz")
            (cls.wheel,) = both.result().glob("*.whl")
            (cls.direct,) = direct.result().glob("*.whl")
            empty.result()
        arguments = ("--only-binary", ":all:", "--constraint", CONSTRAINTS)
        run(cls.venv / "bin" / "pip", "install", *arguments, cls.wheel, home=cls.home)

    @classmethod
    def build(cls, name: str, *kinds: str) -> pathlib.Path:
        source = copy(cls.names, cls.home / name)
        output = cls.home / f"{name}-dist"
        run(sys.executable, "-m", "build", *kinds, "--outdir", output, source, home=cls.home)
        return output

    def program(self, name: str, *arguments: str | pathlib.Path) -> str:
        return run(self.venv / "bin" / name, *arguments, home=self.home)

    def installed(self, *parts: str) -> pathlib.Path:
        """A place in the environment's site-packages."""
        bases = {"base": str(self.venv), "platbase": str(self.venv)}
        return pathlib.Path(sysconfig.get_path("purelib", vars=bases), *parts)

    def scripts(self) -> list[str]:
        (points,) = (
            text for name, text in contents(self.wheel).items() if name.endswith("entry_points.txt")
        )
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.read_string(points.decode())
        return list(parser["console_scripts"])

    def test_the_sdist_has_what_the_repository_has(self) -> None:
        with tarfile.open(self.sdist) as archive:
            held = {name.partition("/")[2] for name in archive.getnames()}
        self.assertEqual(set(), set(self.names) - NOT_IN_SDIST - held)

    def test_the_sdist_builds_the_same_wheel_as_the_repository(self) -> None:
        self.assertEqual(contents(self.direct), contents(self.wheel))

    def test_it_adds_one_name_to_everybodys_site_packages(self) -> None:
        (information,) = self.installed().glob("headwater-*.dist-info")
        record = (information / "RECORD").read_text().splitlines()
        files = [line.rsplit(",", 2)[0] for line in record]
        added = {file.split("/")[0] for file in files if not file.startswith("../")}
        self.assertEqual({"headwater", information.name}, added)

    def test_every_console_script_starts_and_shows_its_help(self) -> None:
        scripts = self.scripts()
        self.assertGreaterEqual(len(scripts), 7)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            helps = list(pool.map(lambda name: self.program(name, "--help"), scripts))
        for name, text in zip(scripts, helps, strict=True):
            self.assertTrue(text.startswith(f"usage: {name} "), text)

    def test_units_and_samples_come_with_it(self) -> None:
        share = self.venv / "share" / "headwater"
        shipped = {
            str(file.relative_to(share)): file.read_bytes()
            for file in share.rglob("*")
            if file.is_file()
        }
        wanted = {
            file.name: file.read_bytes()
            for file in (ROOT / "etc" / "headwater").iterdir()
            if "generator" not in file.name
        }
        for file in (ROOT / "etc" / "systemd").iterdir():
            wanted[f"systemd/{file.name}"] = file.read_bytes()
        self.assertEqual(wanted, shipped)

    def test_what_is_no_code_comes_with_it_too(self) -> None:
        configuration = self.home / "headwater.conf"
        configuration.write_text(f"[DEFAULT]\nstate_path = {self.home}/state\n")
        manage = ("headwater-manage", "--config-file", configuration)
        self.assertIn("schema", self.program(*map(str, manage), "db", "sync"))
        self.assertIn("/v3/users", self.program(*map(str, manage), "endpoints", "list"))

    def test_every_library_has_a_version_that_was_tested(self) -> None:
        pinned = {
            normal(line.partition("==")[0]): line.partition("==")[2]
            for line in CONSTRAINTS.read_text().splitlines()
            if "==" in line
        }
        frozen = self.program("pip", "freeze", "--exclude", "headwater").splitlines()
        self.assertGreater(len(frozen), 30)
        for line in frozen:
            name, _, version = line.partition("==")
            with self.subTest(name):
                self.assertEqual(pinned.get(normal(name)), version)

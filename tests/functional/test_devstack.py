# SPDX-License-Identifier: Apache-2.0
"""The devstack plugin: what it uses of devstack, and a whole life of a host under it.

HEADWATER_TEST_DEVSTACK names a checkout of devstack; with it the same life is lived once more on
devstack's own functions, and the recorded names are looked up there.
"""

import os
import pathlib
import re
import subprocess
import unittest
from typing import Any, ClassVar

from headwater.common.endpoints.registry import load_registry
from tests.devstack.host import CHECKOUT, HERE, PLUGIN, Host, localrc
from tests.services.keystone import require_services
from tests.support import databases
from tests.support.waiting import eventually

#: Programs and the builtins of bash that the plugin may call besides devstack's functions.
PROGRAMS = {"basename", "install", "openstack", "rm", "sed", "sudo", "grep"}

#: A function of devstack, as its stand-in is introduced: file, then name and arguments.
RECORDED = re.compile(
    r"^# (?P<file>[\w/-]+): (?P<usage>[^\n]+)\n(?:#[^\n]*\n)*function (?P<name>\w+) \{$",
    re.MULTILINE,
)
RECORDED_VARIABLE = re.compile(r'^: "\$\{(\w+)\?\}" +# ([\w/.-]+)$', re.MULTILINE)

#: A command where it may begin in what bash prints of a function. Looking ahead only, because what
#: follows `if` is one as well as `if` itself.
COMMAND = re.compile(
    r"(?=(?:^\s*|[;|&(]\s*|\b(?:if|then|else|elif|while|until|do)\s+|!\s+)"
    r"(?:\w+=\S*\s+)*(?P<name>[a-z_][\w-]*)(?:[\s;)]|$))",
    re.MULTILINE,
)


def stand_ins() -> str:
    return (HERE / "functions").read_text()


def bash(script: str, *arguments: str) -> str:
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments], capture_output=True, text=True, check=True
    ).stdout


def commands(plugin: str) -> set[str]:
    """All that a text of bash calls: as bash itself prints it, and without strings."""
    printed = bash('eval "f() {\n$1\n}"; declare -f f', plugin)
    heads = set()
    # The inner command substitutions of strings count, the rest of them does not.
    inner = re.findall(r"\$\(([^()]*)\)", printed)
    for text in [re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'', "S", printed), *inner]:
        for found in COMMAND.finditer(re.sub(r"\[\[.*?\]\]", "true", text)):
            heads.add(found["name"])
    return heads


def defined(plugin: str) -> set[str]:
    return set(re.findall(r"^function (\w+) \{$", plugin, re.MULTILINE))


def bash_words() -> set[str]:
    return set(bash("compgen -b -k").split())


class RecordTest(unittest.TestCase):
    """What the plugin uses is what is recorded of devstack."""

    def setUp(self) -> None:
        super().setUp()
        self.text = "\n".join((PLUGIN / name).read_text() for name in ("settings", "plugin.sh"))

    def unknown(self, plugin: str) -> set[str]:
        recorded = {found["name"] for found in RECORDED.finditer(stand_ins())}
        labels = {"f"}
        known = recorded | defined(plugin) | bash_words() | PROGRAMS | labels
        return commands(plugin) - known

    def test_every_command_is_recorded_or_a_program(self) -> None:
        self.assertEqual(set(), self.unknown(self.text))

    def test_the_commands_are_found_at_all(self) -> None:
        found = commands(self.text)
        for name in ("is_service_enabled", "database_connection_url", "run_process", "die"):
            self.assertIn(name, found)

    def test_a_slip_of_the_pen_is_noticed_wherever_it_is(self) -> None:
        for right, wrong in (
            ("is_service_enabled rabbit", "is_servce_enabled rabbit"),
            ("database_connection_url ", "database_url "),
            ("    run_process ", "    run_proces "),
            ("! wait_for_service ", "! wait_for_servce "),
            ("$(get_python_exec_prefix)", "$(get_python_prefix)"),
        ):
            with self.subTest(wrong):
                self.assertIn(right, self.text)
                self.assertEqual(1, len(self.unknown(self.text.replace(right, wrong))))

    def test_every_variable_is_recorded_or_headwaters_own(self) -> None:
        used = set(re.findall(r"\$\{?!?([A-Z][A-Z0-9_]*)", self.text))
        own = {name for name in used if re.match(r"(HEADWATER|_XTRACE)_", name)} | {"LINENO"}
        recorded = {name for name, _ in RECORDED_VARIABLE.findall(stand_ins())}
        self.assertEqual(used - own, recorded & used)

    def test_nothing_is_recorded_that_devstack_does_not_have(self) -> None:
        checkout = os.environ.get(CHECKOUT)
        if not checkout:
            self.skipTest(f"set {CHECKOUT} to a checkout of devstack to compare with it")
        for found in RECORDED.finditer(stand_ins()):
            text = pathlib.Path(checkout, found["file"]).read_text()
            pattern = rf"^\s*function {found['name']} \{{"
            self.assertRegex(text, re.compile(pattern, re.MULTILINE), found["usage"])
        for name, file in RECORDED_VARIABLE.findall(stand_ins()):
            text = pathlib.Path(checkout, file).read_text()
            pattern = rf"\b{name}=|read_password {name} |:-\${{DEF_{name}}}"
            self.assertRegex(text, pattern, f"{name} in {file}")


class SampleTest(unittest.TestCase):
    """The samples are what the plugin and bash understand."""

    def test_they_set_what_exists(self) -> None:
        settings = (PLUGIN / "settings").read_text()
        for sample in ("local.conf", "central.conf", "subcloud.conf"):
            for name in re.findall(r"^(HEADWATER_\w+)=", localrc(sample), re.MULTILINE):
                self.assertIn(f"{name}=${{{name}:-", settings, sample)

    def test_the_subcloud_that_one_host_adds_is_the_other_host(self) -> None:
        central, other = localrc("central.conf"), localrc("subcloud.conf")
        script = 'enable_plugin() { :; }; eval "$1"; '
        added = bash(script + 'echo "$HEADWATER_SUBCLOUDS $HEADWATER_SUBCLOUD_PASSWORD"', central)
        offered = bash(
            script + 'echo "$REGION_NAME=http://$HOST_IP/identity/v3 $ADMIN_PASSWORD"', other
        )
        self.assertEqual(offered, added)

    def test_all_settings_are_in_the_readme(self) -> None:
        names = re.findall(r"^\s*(HEADWATER_\w+)=\$\{", (PLUGIN / "settings").read_text(), re.M)
        readme = (PLUGIN / "README.md").read_text()
        self.assertEqual([], [name for name in names if f"`{name}`" not in readme])


class RefusalTest(unittest.TestCase):
    """What cannot work ends the run before anything is installed."""

    def run_check(self, **variables: str) -> subprocess.CompletedProcess[str]:
        names = [name for name, _ in RECORDED_VARIABLE.findall(stand_ins())]
        values = {**dict.fromkeys(names, "x"), "DEVSTACK_VENV": "/x", **variables}
        script = "".join(f"{name}={value}\n" for name, value in values.items())
        script += 'source "$1/functions"; source "$2/settings"; source "$2/plugin.sh" '
        script += "stack pre-install"
        return subprocess.run(
            ["bash", "-ec", script, "bash", HERE, PLUGIN],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_mysql_is_named_and_mariadb_is_taken(self) -> None:
        refused = self.run_check(ENABLED_SERVICES="key,mysql", MYSQL_SERVICE_NAME="mysql")
        self.assertEqual(1, refused.returncode)
        self.assertIn("MYSQL_SERVICE_NAME=mariadb", refused.stderr)
        taken = self.run_check(ENABLED_SERVICES="key,mysql", MYSQL_SERVICE_NAME="mariadb")
        self.assertEqual(0, taken.returncode, taken.stderr)

    def test_a_host_without_keystone_is_refused(self) -> None:
        refused = self.run_check(ENABLED_SERVICES="mysql", MYSQL_SERVICE_NAME="mariadb")
        self.assertEqual(1, refused.returncode)
        self.assertIn("enable_service key", refused.stderr)

    def test_a_host_that_has_disabled_all_of_headwater_is_left_alone(self) -> None:
        names = "engine-worker,headwater-engine,headwater-api,headwater-api-proxy"
        done = self.run_check(ENABLED_SERVICES="mysql", DISABLED_SERVICES=f"headwater-{names}")
        self.assertEqual(0, done.returncode, done.stderr)


class LifeTest(unittest.TestCase):
    """stack.sh, a change, unstack.sh and clean.sh, with the samples for several regions.

    All of it happens once, in setUpClass; each test looks at a part of what was seen.
    """

    backend: ClassVar[databases.Backend] = databases.MARIADB
    checkout: ClassVar[str] = ""
    scope: ClassVar = "system"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        require_services()
        cls.backend.require()
        cls.host = host = Host(cls, cls.backend, cls.checkout)
        host.write_localrc(cls.local_conf())
        cls.stacked = cls.succeeded(host.devstack("stack"))
        cls.configuration = host.configuration()
        cls.mode = (host.conf_directory / "headwater.conf").stat().st_mode & 0o777
        cls.calls = (host.directory / "data" / "openstack-calls").read_text()
        cls.endpoints = host.endpoints(host.central, "SystemController")
        cls.subclouds = host.openstack("subcloud", "list")
        cls.created = host.openstack("user", "create", "--email", "alice@example.org", "alice")
        cls.replayed = eventually(cls.alice, "the replay of the change", every=0.1)
        cls.jobs = host.openstack("orchestration", "job", "list", "--user", "admin")
        cls.running = host.services()
        cls.processes = host.processes()
        cls.units = {file.name: file.read_text() for file in host.units.glob("*.service")}
        cls.unstacked = cls.succeeded(host.devstack("unstack"))
        cls.left = host.processes()
        cls.kept = {file.name for file in host.conf_directory.iterdir()}
        cls.cleaned = cls.succeeded(host.devstack("clean"))

    @classmethod
    def local_conf(cls) -> str:
        """The sample, with what its reader is to replace."""
        subcloud = cls.host.subcloud
        lines = localrc("central.conf")
        for placeholder, value in (
            ("SUBCLOUD_IP=192.0.2.12", f"SUBCLOUD_IP=127.0.0.1:{subcloud.port}"),
            ("=another-password", f"={subcloud.admin_password}"),
            ("ADMIN_PASSWORD=a-password", f"ADMIN_PASSWORD={cls.host.central.admin_password}"),
            ("SERVICE_PASSWORD=$ADMIN_PASSWORD", f"SERVICE_PASSWORD={cls.host.service_password}"),
            # The servers of this host have passwords of their own.
            ("DATABASE_PASSWORD=$ADMIN_PASSWORD", ""),
            ("RABBIT_PASSWORD=$ADMIN_PASSWORD", ""),
        ):
            assert placeholder in lines, placeholder
            lines = lines.replace(placeholder, value)
        if cls.backend is databases.POSTGRESQL:
            lines = lines.replace("mysql,rabbit", "postgresql,rabbit")
        return f"{lines}\nHEADWATER_READER_SCOPE={cls.scope}\n"

    @classmethod
    def succeeded(cls, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        if done.returncode != 0:
            logs = "".join(
                f"\n{file}:\n{file.read_text()[-2000:]}" for file in cls.host.units.glob("*.log")
            )
            raise AssertionError(f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}{logs}")
        return done

    @classmethod
    def alice(cls) -> list[dict[str, Any]]:
        found = cls.host.subcloud.request("GET", "/v3/users?name=alice").json()["users"]
        return list(found)

    def roles(self, user: str) -> list[tuple[str, str]]:
        """Role and scope of all assignments of a user of the central cloud."""
        query = "/v3/role_assignments?include_names=true"
        found = self.host.central.request("GET", query).json()["role_assignments"]
        return [
            (each["role"]["name"], each["scope"].get("project", {"name": "system"})["name"])
            for each in found
            if each.get("user", {}).get("name") == user
        ]

    def test_the_database_is_the_one_that_devstacks_helper_makes(self) -> None:
        url = self.configuration["database"]["connection"]
        suffix = {"Mariadb": "?charset=utf8", "Postgresql": "?client_encoding=utf8"}
        self.assertTrue(url.endswith(suffix[self.backend.name]), url)

    def test_the_broker_is_rabbitmq_with_a_virtual_host_of_its_own(self) -> None:
        url = self.configuration["DEFAULT"]["transport_url"]
        self.assertRegex(url, r"^rabbit://.+/headwater-test-\w+$")
        self.assertIn("Listening for calls", self.host.log("headwater-engine-worker"))

    def test_only_its_owner_reads_the_configuration(self) -> None:
        self.assertEqual(0o600, self.mode)

    def test_the_service_user_has_the_role_service_and_no_other(self) -> None:
        self.assertEqual("headwater", self.configuration["keystone_authtoken"]["username"])
        self.assertEqual([("service", "service")], self.roles("headwater"))

    def test_the_reader_of_the_central_cloud_has_what_its_scope_needs(self) -> None:
        self.assertEqual("headwater-reader", self.configuration["central"]["username"])
        expected = {"system": ("reader", "system"), "project": ("admin", "admin")}
        self.assertEqual([expected[self.scope]], self.roles("headwater-reader"))

    def test_the_region_has_the_gateway_for_every_endpoint_type_and_the_api(self) -> None:
        ports = self.host.ports
        expected = {
            "identity": {"public": f"http://127.0.0.1:{ports['identity']}/identity/v3"},
            "headwater": {"public": f"http://127.0.0.1:{ports['api']}"},
        }
        self.assertEqual(expected, self.endpoints)

    def test_types_that_are_not_wanted_are_off(self) -> None:
        on = {
            group.partition(":")[2]
            for group in self.configuration.sections()
            if group.startswith("endpoint_type:")
            and self.configuration[group].get("enabled", "True") == "True"
        }
        self.assertEqual({"identity"}, on)
        for name in load_registry(None).names:
            self.assertIn(f"endpoint_type:{name}", self.configuration.sections())

    def test_the_second_region_is_added_and_managed_at_the_end(self) -> None:
        (found,) = self.subclouds
        self.assertEqual("RegionTwo", found["Name"])
        self.assertEqual("managed", found["Management"])
        last = self.calls.splitlines()[-1]
        self.assertIn("subcloud manage RegionTwo", last)

    def test_a_change_through_the_region_reaches_the_subcloud(self) -> None:
        # By the gateway: the initial sync's own jobs have another user.
        (job,) = self.jobs
        self.assertEqual(("create", "alice"), (job["Operation"], job["Name"]))
        self.assertEqual("alice@example.org", self.replayed[0]["email"])
        self.assertNotEqual(self.created["id"], self.replayed[0]["id"])

    def test_services_are_units_of_devstack(self) -> None:
        names = {"headwater-api", "headwater-api-proxy", "headwater-engine"}
        names.add("headwater-engine-worker")
        self.assertEqual(names, set(self.running))
        self.assertEqual({f"devstack@{name}.service" for name in names}, set(self.units))
        for name in names:
            program = f"{self.host.directory}/venv/bin/{name}"
            self.assertIn(
                f"ExecStart = {program} --config-file ", self.units[f"devstack@{name}.service"]
            )

    def test_logs_are_in_devstacks_format_and_without_complaints(self) -> None:
        for name in self.running:
            log = self.host.log(name)
            self.assertRegex(log, r"(?m)^INFO headwater", name)
            self.assertNotIn("Logging error", log, name)
            self.assertNotIn("Traceback", log, name)

    def test_the_subclouds_password_is_in_no_command_and_no_trace(self) -> None:
        password = self.host.subcloud.admin_password
        for text in (self.stacked.stderr, self.stacked.stdout, self.calls, *self.units.values()):
            self.assertNotIn(password, text)

    def test_unstack_ends_all_services_and_keeps_the_configuration(self) -> None:
        self.assertLess(set(self.running.values()), self.processes, "supervisors have workers")
        self.assertEqual(set(), self.left)
        self.assertIn("headwater.conf", self.kept)

    def test_clean_removes_configuration_and_keys(self) -> None:
        self.assertFalse(self.host.conf_directory.exists())
        self.assertFalse((self.host.directory / "data" / "headwater").exists())


class PostgresqlTest(unittest.TestCase):
    """Up to the configuration; that is where databases differ."""

    def test_the_schema_is_there_after_post_config(self) -> None:
        require_services()
        databases.POSTGRESQL.require()
        host = Host(type(self), databases.POSTGRESQL, "")
        host.write_localrc("ENABLED_SERVICES=key,postgresql,rabbit")
        # Twice, as when stack.sh runs again: the second time begins with nothing.
        keys = []
        for _ in range(2):
            done = host.devstack("stack", "pre-install", "install", "post-config")
            self.assertEqual(0, done.returncode, done.stderr[-3000:])
            directory = host.directory / "data" / "headwater" / "keys"
            keys.append({file.read_text() for file in directory.iterdir()})
            manage = host.directory / "venv" / "bin" / "headwater-manage"
            config = host.conf_directory / "headwater.conf"
            version = subprocess.run(
                [manage, "--config-file", config, "db", "version"],
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertRegex(version.stdout, r"\d{4}")
            connection = host.configuration()["database"]["connection"]
            self.assertRegex(connection, r"^postgresql://.+\?client_encoding=utf8$")
        self.assertEqual(1, len(keys[1]))
        self.assertFalse(keys[0] & keys[1], "a new database gets a new key")


@unittest.skipUnless(os.environ.get(CHECKOUT), f"set {CHECKOUT} to a checkout of devstack")
class RealFunctionsTest(LifeTest):
    """The same life on devstack's own functions, PostgreSQL, and the other kind of reader."""

    backend: ClassVar[databases.Backend] = databases.POSTGRESQL
    checkout: ClassVar[str] = os.environ.get(CHECKOUT, "")
    scope: ClassVar = "project"

    def test_devstacks_own_functions_ran(self) -> None:
        # The stand-ins call none of these.
        for name in ("_run_under_systemd", "configure_keystoneauth", "createdb"):
            self.assertRegex(self.stacked.stderr, rf"(?m)^\++ {name} ")

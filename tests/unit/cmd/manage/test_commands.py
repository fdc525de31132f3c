# SPDX-License-Identifier: Apache-2.0
"""The operator's commands, on a real SQLite database."""

import os
import pathlib
import socket
import sqlite3
import tempfile
import unittest
import unittest.mock

from headwater.cmd.manage import app, passwords
from headwater.common.secrets import KeyRing
from headwater.common.states import IntentState, Operation, RequestState, SyncRequest
from headwater.db import jobs, lanes, schema, subclouds
from headwater.db.connection import Database, connect
from headwater.engine.task import ResourceInfo
from tests.support import builders
from tests.support.command_line import Ran, manage

PASSWORD = "correct-horse-battery"


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class ManageTestCase(unittest.TestCase):
    prepared = True

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.config = self.directory / "headwater.conf"
        self.state = self.directory / "state"
        self.config.write_text(f"[DEFAULT]\nstate_path = {self.state}\n")
        self.file = self.state / "headwater.db"
        self.enterContext(unittest.mock.patch.dict(os.environ))
        os.environ[passwords.VARIABLE] = PASSWORD
        self.ran: list[Ran] = []
        if self.prepared:
            self.succeeds("db sync")
            self.succeeds("secrets create")
        # Nothing that a test did may have printed a password.
        self.addCleanup(self.check_output)

    def check_output(self) -> None:
        for ran in self.ran:
            self.assertNotIn(PASSWORD, ran.out + ran.err)

    def run_command(self, command: str, *arguments: str) -> Ran:
        ran = manage("--config-file", str(self.config), *command.split(), *arguments)
        self.ran.append(ran)
        return ran

    def succeeds(self, command: str, *arguments: str) -> Ran:
        ran = self.run_command(command, *arguments)
        self.assertEqual((0, ""), (ran.code, ran.err))
        return ran

    def fails(self, command: str, *arguments: str) -> str:
        """The one line on standard error of a command that fails."""
        ran = self.run_command(command, *arguments)
        self.assertEqual((1, ""), (ran.code, ran.out))
        self.assertEqual(1, ran.err.count("\n"), ran.err)
        self.assertTrue(ran.err.endswith("\n"))
        return ran.err.rstrip("\n")

    def misused(self, command: str, option: str, *rest: str) -> None:
        """A command that argparse refuses because of an option."""
        ran = self.run_command(command, *rest[:-1], option, *rest[-1:])
        self.assertEqual((2, ""), (ran.code, ran.out))
        self.assertIn(f"argument {option}: ", ran.err)

    def database(self) -> Database:
        opened = connect(f"sqlite:///{self.file}")
        self.addCleanup(opened.dispose)
        return opened

    def add(self, name: str = "one", *arguments: str) -> Ran:
        url = f"http://127.0.0.1:{closed_port()}/v3"
        return self.succeeds("subcloud add", name, "--auth-url", url, "-f", "json", *arguments)


class SubcloudCommandsTest(ManageTestCase):
    def shown(self, name: str = "one") -> dict[str, object]:
        shown: dict[str, object] = self.succeeds("subcloud show", name, "-f", "json").json
        return shown

    def test_an_added_subcloud_is_shown(self) -> None:
        added = self.add("one", "--description", "Zürich", "--username", "hw").json
        self.assertEqual("one", added["name"])
        self.assertEqual("unmanaged", added["management_state"])
        shown = self.shown()
        self.assertEqual(added, {name: shown[name] for name in added})
        self.assertEqual(("Zürich", "hw"), (shown["description"], shown["username"]))
        self.assertEqual(("Default", "admin"), (shown["user_domain_name"], shown["project_name"]))
        self.assertEqual("none", shown["identity_sync_request"])
        self.assertRegex(str(shown["created_at"]), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_its_password_is_stored_encrypted_and_never_shown(self) -> None:
        self.assertNotIn("credentials", self.add().json)
        self.assertNotIn("credentials", self.shown())
        (stored,) = subclouds.list_page(self.database(), limit=2)
        ring = KeyRing(self.state / "keys")
        self.assertEqual({"password": PASSWORD}, ring.decrypt(stored.credentials))
        for file in self.state.iterdir():
            if file.is_file():
                self.assertNotIn(PASSWORD.encode(), file.read_bytes())

    def test_a_password_can_come_from_a_file(self) -> None:
        del os.environ[passwords.VARIABLE]
        file = self.directory / "password"
        file.write_text(PASSWORD + "\n")
        self.add("one", "--password-file", str(file))
        (stored,) = subclouds.list_page(self.database(), limit=2)
        ring = KeyRing(self.state / "keys")
        self.assertEqual({"password": PASSWORD}, ring.decrypt(stored.credentials))

    def test_without_a_password_nothing_is_added(self) -> None:
        del os.environ[passwords.VARIABLE]
        with open(os.devnull) as nothing, unittest.mock.patch("sys.stdin", nothing):
            line = self.fails("subcloud add", "one", "--auth-url", "http://127.0.0.1/v3")
        self.assertIn("No password: use --password-file", line)
        self.assertEqual([], self.succeeds("subcloud list", "-f", "json").json)

    def test_no_argument_takes_a_password(self) -> None:
        ran = self.run_command(
            "subcloud add", "one", "--auth-url", "http://h/v3", "--password", "x"
        )
        self.assertNotEqual(0, ran.code)
        self.assertEqual([], self.succeeds("subcloud list", "-f", "json").json)

    def test_a_duplicate_is_refused_and_keeps_the_first(self) -> None:
        self.add("one", "--description", "first")
        line = self.fails("subcloud add", "one", "--auth-url", "http://other.example/v3")
        self.assertEqual("There is already a subcloud 'one'.", line)
        self.assertEqual("first", self.shown()["description"])

    def test_what_cannot_be_a_name_is_refused(self) -> None:
        for name in ("", " one", "one ", "a/b", "a\nb", "x" * 256):
            with self.subTest(name[:10]):
                line = self.fails("subcloud add", name, "--auth-url", "http://h/v3")
                self.assertRegex(line, "cannot be a region name|--name: is too long")

    def test_an_address_that_cannot_work_or_has_credentials_is_refused(self) -> None:
        for url in ("ftp://h/v3", "h:5000", "http://", "", "http://[::1/v3", "http://h:port/v3"):
            with self.subTest(url):
                line = self.fails("subcloud add", "one", "--auth-url", url)
                self.assertIn("--auth-url", line)
        line = self.fails("subcloud add", "one", "--auth-url", f"http://u:{PASSWORD}@h/v3")
        self.assertIn("must not contain credentials", line)

    def test_all_are_listed_with_their_lanes(self) -> None:
        for name in ("b", "a", "c"):
            self.add(name)
        rows = self.succeeds("subcloud list", "-f", "json").json
        self.assertEqual(["a", "b", "c"], [row["Name"] for row in rows])
        self.assertEqual(
            {
                "Name": "a",
                "Management": "unmanaged",
                "Availability": "unknown",
                "Endpoint type": "identity",
                "Sync status": "unknown",
                "Pending": 0,
                "Failed": 0,
            },
            rows[0],
        )
        page = self.succeeds("subcloud list", "-f", "json", "--limit", "1", "--marker", "a").json
        self.assertEqual(["b"], [row["Name"] for row in page])
        self.assertIn("| a ", self.succeeds("subcloud list").out)

    def test_a_limit_that_makes_no_sense_is_refused(self) -> None:
        for limit in ("0", "-1", "many"):
            self.misused("subcloud list", "--limit", limit)

    def test_managing_says_whether_the_subcloud_can_be_used(self) -> None:
        self.add()
        for _ in range(2):
            ran = self.run_command("subcloud manage", "one")
            self.assertEqual((0, "Subcloud one is managed.\n"), (ran.code, ran.out))
            self.assertIn("identity does not work yet: No answer: Connection refused", ran.err)
            self.assertEqual("managed", self.shown()["management_state"])
        self.succeeds("subcloud unmanage", "one")
        self.assertEqual("unmanaged", self.shown()["management_state"])

    def test_managing_asks_for_an_initial_sync_once(self) -> None:
        self.add()
        self.assertEqual("none", self.shown()["identity_initial_sync"])
        self.run_command("subcloud manage", "one")
        shown = self.shown()
        self.assertEqual("requested", shown["identity_initial_sync"])
        self.assertEqual("requested", shown["identity_audit"])

    def test_a_backlog_is_dropped_where_that_is_asked(self) -> None:
        self.add()
        self.run_command("subcloud manage", "one")
        for arguments, left in ((("one",), 1), (("one", "--drop-backlog"), 0)):
            builders.accepted_job(self.database(), master_id=f"u{left}")
            self.succeeds("subcloud unmanage", *arguments)
            self.run_command("subcloud manage", "one")
            self.assertEqual(left, self.shown()["identity_pending"])

    def test_audits_are_asked_of_named_subclouds_or_of_all(self) -> None:
        for name in ("one", "two"):
            self.add(name)
        self.assertEqual(
            "Audits of 1 lanes are asked for.\n", self.succeeds("audit run", "one").out
        )
        self.assertEqual("requested", self.shown()["identity_audit"])
        self.assertEqual(
            "Audits of 2 lanes are asked for.\n", self.succeeds("audit run", "--all").out
        )
        for arguments in ((), ("--all", "one")):
            self.assertIn("Name the subclouds, or give --all.", self.fails("audit run", *arguments))
        self.assertIn("no subcloud 'three'", self.fails("audit run", "three"))
        self.assertIn("no subcloud 'three'", self.fails("drift list", "--subcloud", "three"))
        self.assertIn("no subcloud 'three'", self.fails("drift forget", "three"))
        self.assertEqual([], self.succeeds("drift list", "-f", "json").json)

    def test_managing_lets_its_own_backlog_run_and_leaves_other_lanes_their_back_off(self) -> None:
        opened = self.database()
        self.add("returns")
        other = builders.add_subcloud(opened, "offline")
        own = subclouds.get(opened, "returns")
        self.run_command("subcloud manage", "returns")
        builders.accepted_job(opened)
        lanes.request(opened, ["identity"])
        for lane in builders.claim(opened):
            lanes.release(opened, lane, seen_wakeups=1, pause=3600, error="No answer")
        self.run_command("subcloud manage", "returns")
        self.assertIsNone(builders.lane_of(opened, own).next_try_at)
        self.assertIsNotNone(builders.lane_of(opened, other).next_try_at)

    def test_a_sync_lets_a_backlog_run_whatever_its_back_off_says(self) -> None:
        opened = self.database()
        subcloud = builders.add_subcloud(opened, "away")
        builders.accepted_job(opened)
        lanes.request(opened, ["identity"])
        for lane in builders.claim(opened):
            lanes.release(opened, lane, seen_wakeups=1, pause=3600, error="No answer")
        self.assertIn("1 lanes", self.succeeds("subcloud sync", "away").out)
        self.assertIsNone(builders.lane_of(opened, subcloud).next_try_at)
        self.assertIn("no subcloud 'nowhere'", self.fails("subcloud sync", "away", "nowhere"))

    def test_access_data_can_be_changed_one_by_one(self) -> None:
        self.add("one", "--description", "kept")
        before = self.shown()
        changed = self.succeeds("subcloud set", "one", "--username", "new", "-f", "json").json
        self.assertEqual(("new", "kept"), (changed["username"], changed["description"]))
        self.assertEqual(before["auth_url"], changed["auth_url"])
        stored = subclouds.get(self.database(), "one").credentials
        os.environ[passwords.VARIABLE] = "another-secret"
        self.succeeds("subcloud set", "one", "--password")
        self.assertNotEqual(stored, subclouds.get(self.database(), "one").credentials)
        self.assertIn("Nothing to change", self.fails("subcloud set", "one"))

    def test_only_an_unmanaged_subcloud_is_deleted(self) -> None:
        self.add()
        self.run_command("subcloud manage", "one")
        line = self.fails("subcloud delete", "one")
        self.assertEqual("Subcloud 'one' is managed; run 'subcloud unmanage one' first.", line)
        self.succeeds("subcloud unmanage", "one")
        self.succeeds("subcloud delete", "one")
        self.assertEqual([], self.succeeds("subcloud list", "-f", "json").json)

    def test_an_unknown_subcloud_is_one_line(self) -> None:
        for command in ("show", "manage", "unmanage", "delete"):
            with self.subTest(command):
                self.assertEqual(
                    "There is no subcloud 'nowhere'; 'subcloud list' shows all.",
                    self.fails(f"subcloud {command}", "nowhere"),
                )
        self.assertIn(
            "no subcloud 'nowhere'", self.fails("subcloud set", "nowhere", "--username", "x")
        )


class JobCommandsTest(ManageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.opened = self.database()
        self.ring = KeyRing(self.state / "keys")
        builders.add_subcloud(self.opened, "one")

    def encrypted(self, **fields: object) -> str:
        return self.ring.encrypt(ResourceInfo(fields=fields).to_json())

    def accepted(self, master_id: str = "u1") -> str:
        return builders.accepted_job(
            self.opened, master_id=master_id, resource_info=self.encrypted(password=PASSWORD)
        ).uuid

    def opened_job(self, operation: Operation, master_id: str | None = "u1") -> str:
        return jobs.open_intent(
            self.opened,
            builders.intent(operation, master_id, resource_info=self.encrypted(password=PASSWORD)),
        ).uuid

    def test_jobs_are_listed_newest_first(self) -> None:
        older, newer = self.accepted("u1"), self.accepted("u2")
        rows = self.succeeds("job list", "-f", "json").json
        self.assertEqual([newer, older], [row["ID"] for row in rows])
        self.assertEqual(
            ("user", "update", "in-progress", 1),
            (rows[0]["Resource"], rows[0]["Operation"], rows[0]["State"], rows[0]["Pending"]),
        )
        page = self.succeeds("job list", "-f", "json", "--limit", "1", "--marker", newer).json
        self.assertEqual([older], [row["ID"] for row in page])
        self.assertEqual([], self.succeeds("job list", "-f", "json", "--state", "open").json)

    def test_a_job_is_shown_without_its_body(self) -> None:
        uuid = self.accepted()
        shown = self.succeeds("job show", uuid, "-f", "json").json
        self.assertEqual((uuid, "u1", 1), (shown["id"], shown["resource_id"], shown["pending"]))
        self.assertNotIn("resource_info", shown)

    def test_its_requests_are_listed_with_tries_and_milliseconds(self) -> None:
        uuid = self.accepted()
        (waiting,) = self.succeeds("job requests", uuid, "-f", "json").json
        self.assertEqual(
            {"Subcloud": "one", "State": "queued", "Tries": 0, "Milliseconds": None, "Note": None},
            waiting,
        )
        builders.run_lane(self.opened)
        (done,) = self.succeeds("job requests", uuid, "-f", "json").json
        self.assertEqual(("completed", 1), (done["State"], done["Tries"]))
        self.assertGreaterEqual(done["Milliseconds"], 0)

    def test_waiting_ends_when_all_is_done(self) -> None:
        uuid = self.accepted()
        line = self.fails("job wait", uuid, "--timeout", "0")
        self.assertIn(f"1 requests of job {uuid} are pending", line)
        builders.run_lane(self.opened)
        done = self.succeeds("job wait", uuid, "-f", "json").json
        self.assertEqual((1, 0, 0), (done["completed"], done["pending"], done["failed"]))

    def test_waiting_fails_when_a_request_failed(self) -> None:
        uuid = self.accepted()
        builders.run_lane(self.opened, RequestState.FAILED)
        self.assertIn("1 requests failed", self.fails("job wait", uuid))

    def test_a_failed_request_is_tried_again(self) -> None:
        uuid = self.accepted()
        builders.run_lane(self.opened, RequestState.FAILED)
        self.assertEqual("1 requests are queued again.\n", self.succeeds("job retry", uuid).out)
        (lane,) = lanes.of_subclouds(self.opened, [subclouds.get(self.opened, "one").id])
        self.assertIs(SyncRequest.REQUESTED, lane.sync_request)
        self.assertEqual("0 requests are queued again.\n", self.succeeds("job retry", uuid).out)

    def test_what_the_operator_accepts_is_looked_up_in_the_central_cloud(self) -> None:
        # With a central cloud: tests/functional/test_gateway.py.
        for operation, arguments in (
            (Operation.UPDATE, ()),
            (Operation.CREATE, ("--resource-id", "u9")),
        ):
            uuid = self.opened_job(operation, "u1" if operation is Operation.UPDATE else None)
            said = self.fails("job settle", uuid, "--accept", *arguments)
            self.assertIn("[central] auth_type: is not set", said)
            self.assertIs(IntentState.OPEN, jobs.get(self.opened, uuid).job.intent_state)

    def test_an_open_create_is_not_accepted_without_the_id_that_it_got(self) -> None:
        uuid = self.opened_job(Operation.CREATE, None)
        self.assertIn("--resource-id", self.fails("job settle", uuid, "--accept"))

    def test_an_open_job_is_dropped_by_the_operator(self) -> None:
        uuid = self.opened_job(Operation.UPDATE)
        self.succeeds("job settle", uuid, "--drop")
        self.assertIn(f"no job {uuid}", self.fails("job show", uuid))

    def test_an_unknown_job_is_one_line(self) -> None:
        for command in ("show", "requests", "wait", "retry", "settle --drop"):
            with self.subTest(command):
                self.assertEqual(
                    "There is no job nowhere; 'job list' shows all.",
                    self.fails(f"job {command}", "nowhere"),
                )

    def test_a_limit_that_makes_no_sense_is_refused(self) -> None:
        uuid = self.accepted()
        for limit in ("0", "-1", "many"):
            self.misused("job list", "--limit", limit)
            self.misused("job requests", "--limit", uuid, limit)


class InstallationCommandsTest(ManageTestCase):
    prepared = False

    def test_a_new_installation_is_prepared_by_two_commands(self) -> None:
        self.assertEqual("base\n", self.succeeds("db version").out)
        head = self.succeeds("db sync").out
        self.assertRegex(head, r"^The schema is \d+\.\n$")
        self.assertEqual(head, self.succeeds("db sync").out)
        self.assertIn(self.succeeds("db version").out.strip(), head)
        self.assertEqual(f"Wrote {self.state}/keys/1.\n", self.succeeds("secrets create").out)
        self.add()

    def test_without_a_schema_it_says_what_to_run(self) -> None:
        line = self.fails("subcloud list")
        self.assertIn(f"{self.file}: its schema is base", line)
        self.assertIn("'headwater-manage db sync'", line)

    def test_without_a_key_it_says_what_to_run(self) -> None:
        self.succeeds("db sync")
        line = self.fails("subcloud add", "one", "--auth-url", "http://h/v3")
        self.assertIn("'headwater-manage secrets create'", line)
        self.assertIn("holds no key", self.fails("secrets rotate"))

    def test_a_first_key_is_created_once(self) -> None:
        self.succeeds("secrets create")
        self.assertIn("holds keys already", self.fails("secrets create"))

    def test_a_rotation_reencrypts_everything(self) -> None:
        self.succeeds("db sync")
        self.succeeds("secrets create")
        self.add("one")
        self.add("two")
        out = self.succeeds("secrets rotate").out
        self.assertIn(f"Wrote {self.state}/keys/2.", out)
        self.assertIn("Encrypted 2 values with the newest key.", out)
        (self.state / "keys" / "1").unlink()
        ring = KeyRing(self.state / "keys")
        for stored in subclouds.list_page(self.database(), limit=10):
            self.assertEqual({"password": PASSWORD}, ring.decrypt(stored.credentials))

    def test_a_rotation_over_many_hosts_has_two_halves(self) -> None:
        self.succeeds("db sync")
        self.succeeds("secrets create")
        self.add("one")
        self.assertNotIn("Encrypted", self.succeeds("secrets rotate", "--only-add").out)
        out = self.succeeds("secrets rotate", "--only-encrypt").out
        self.assertEqual("Encrypted 1 values with the newest key.\n", out)

    def test_a_database_that_cannot_be_written_is_one_line_that_names_it(self) -> None:
        self.file.mkdir(parents=True)
        for command in ("db sync", "subcloud list"):
            self.assertIn(f"{self.file}: cannot be used", self.fails(command))

    def test_a_database_of_another_version_is_one_line(self) -> None:
        self.succeeds("db sync")
        with sqlite3.connect(self.file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        for command in ("subcloud list", "db sync"):
            self.assertIn("9999", self.fails(command))
        opened = self.database()
        self.assertEqual("9999", schema.version(opened))

    def test_a_configuration_file_that_is_missing_is_one_line(self) -> None:
        self.config.unlink()
        self.assertIn(str(self.config), self.fails("db version"))

    def test_a_value_that_cannot_work_is_one_line(self) -> None:
        self.config.write_text(f"[DEFAULT]\nstate_path = {self.state}\n[engine]\nlease = soon\n")
        self.assertIn("lease", self.fails("db version"))


class EndpointCommandsTest(ManageTestCase):
    prepared = False

    def test_recorded_calls_are_listed(self) -> None:
        rows = self.succeeds("endpoints list", "-f", "json").json
        self.assertIn(
            {
                "Endpoint type": "identity",
                "Resource": "user",
                "Method": "PATCH",
                "Path": "/v3/users/{user_id}",
                "Operation": "update",
            },
            rows,
        )

    def test_all_files_are_validated(self) -> None:
        self.assertRegex(
            self.succeeds("endpoints validate").out, r"identity is valid, \d+ resources\.\n"
        )

    def test_a_wrong_file_is_one_line_with_file_key_and_reason(self) -> None:
        file = self.directory / "pets.yaml"
        file.write_text(
            "endpoint_type: pets\nservice_type: pets\ndefault_port: no\nresources: {}\n"
        )
        line = self.fails("endpoints validate", str(file))
        self.assertRegex(line, rf"^{file}: (default_port|resources): ")

    def test_a_file_is_validated_without_any_configuration(self) -> None:
        self.config.unlink()
        file = self.directory / "pets.yaml"
        self.assertIn("cannot be read", self.fails("endpoints validate", str(file)))

    def test_a_type_that_is_disabled_is_not_listed(self) -> None:
        with self.config.open("a") as stream:
            stream.write("[endpoint_type:identity]\nenabled = false\n")
        self.assertIn("no endpoint type is enabled", self.fails("endpoints list"))


class HelpTest(unittest.TestCase):
    def test_every_command_has_help_without_any_configuration(self) -> None:
        for command in app.commands():
            with self.subTest(command):
                ran = manage(*command.split(), "--help")
                self.assertEqual((0, ""), (ran.code, ran.err))
                self.assertIn(f" {command} ", ran.out.splitlines()[0])

    def test_the_version_is_that_of_the_package(self) -> None:
        self.assertRegex(manage("--version").out, r"\d+\.\d+\.\d+")

    def test_an_unknown_command_is_refused(self) -> None:
        ran = manage("subcloud", "explode")
        self.assertEqual(2, ran.code)

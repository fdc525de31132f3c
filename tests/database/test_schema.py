# SPDX-License-Identifier: Apache-2.0
"""The schema goes up and down, and is what the models say."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from headwater.common.errors import ConfigurationError
from headwater.db import nodes, schema
from headwater.db.models import metadata
from tests.support import databases


@databases.on_every_backend
class SchemaTest(databases.DatabaseTestCase):
    migrated = False

    def tables(self) -> set[str]:
        return set(sa.inspect(self.database.engine).get_table_names()) - {"alembic_version"}

    def differences(self) -> list[object]:
        with self.database.read() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return compare_metadata(context, metadata)

    def test_an_empty_database_has_version_base(self) -> None:
        self.assertEqual("base", schema.version(self.database))

    def test_the_migrated_schema_is_that_of_the_models(self) -> None:
        schema.sync(self.database)
        self.assertEqual(set(metadata.tables), self.tables())
        self.assertEqual([], self.differences())

    def test_it_goes_up_and_down_and_up_again(self) -> None:
        head = schema.sync(self.database)
        self.assertEqual(head, schema.version(self.database))
        schema.downgrade(self.database)
        self.assertEqual("base", schema.version(self.database))
        self.assertEqual(set(), self.tables())
        self.assertEqual(head, schema.sync(self.database))
        self.assertEqual([], self.differences())

    def test_nodes_from_before_composition_are_kept(self) -> None:
        schema.sync(self.database, "0005")
        now = "2026-11-01 00:00:00"
        pod = {
            "name": "one",
            "driver": "fake",
            "addresses": "[]",
            "username": "admin",
            "credentials": "x",
            "availability_status": "online",
            "created_at": now,
            "updated_at": now,
        }
        machine = {
            "uuid": "m1",
            "pod_id": 1,
            "uri": "http://bmc/1",
            "uri_hash": "h",
            "name": "machine",
            "properties": "{}",
            "seen_at": now,
        }
        node = {
            "name": "n1",
            "machine_id": 1,
            "state": "ready",
            "requirements": '{"pod_name": null, "cpus": 4, "memory_mib": null}',
            "created_at": now,
        }
        with self.database.write() as connection:
            for table, row in (("pod", pod), ("machine", machine), ("node", node)):
                names = ", ".join(row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(
                    sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"),  # noqa: S608
                    row,
                )
        schema.sync(self.database)
        found = nodes.get(self.database, "n1")
        self.assertEqual(("m1", "one", 4), (found.uuid, found.pod_name, found.requirements.cpus))
        assert found.machine is not None
        self.assertEqual(("m1", False), (found.machine.uuid, bool(found.machine.composed)))
        schema.downgrade(self.database, "0005")
        with self.database.read() as connection:
            left = connection.execute(sa.text("SELECT name, machine_id FROM node")).all()
        self.assertEqual([("n1", 1)], [tuple(row) for row in left])

    def test_a_second_sync_changes_nothing(self) -> None:
        head = schema.sync(self.database)
        self.assertEqual(head, schema.sync(self.database))
        self.assertEqual([], self.differences())

    def test_the_check_passes_only_for_the_version_that_the_code_needs(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, r"schema is base.*'headwater-manage db"):
            schema.check(self.database)
        schema.sync(self.database)
        schema.check(self.database)

    def test_the_check_refuses_a_database_of_a_later_version(self) -> None:
        schema.sync(self.database)
        self.pretend_later_version()
        with self.assertRaisesRegex(ConfigurationError, "its schema is 9999"):
            schema.check(self.database)

    def test_a_sync_refuses_a_database_of_a_later_version_in_one_line(self) -> None:
        schema.sync(self.database)
        self.pretend_later_version()
        with self.assertRaisesRegex(ConfigurationError, r"\A.*9999.*\Z"):
            schema.sync(self.database)

    def pretend_later_version(self) -> None:
        with self.database.write() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


class CollationTest(databases.DatabaseTestCase):
    """Names are compared as bytes everywhere; MariaDB has to be told so for each table."""

    backend = databases.MARIADB

    def test_every_table_has_the_collation_of_its_model(self) -> None:
        with self.database.read() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT table_name, table_collation FROM information_schema.tables "
                    "WHERE table_schema = DATABASE()"
                )
            )
            found = {name: collation for name, collation in rows if name in metadata.tables}
        wanted = {
            table.name: table.dialect_options["mysql"]["collate"]
            for table in metadata.tables.values()
        }
        self.assertEqual(wanted, found)

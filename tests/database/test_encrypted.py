# SPDX-License-Identifier: Apache-2.0
"""Every encrypted value is found when keys are rotated."""

import pathlib
import tempfile

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import SecretUnreadable
from headwater.common.secrets import KeyRing
from headwater.db import encrypted, models, subclouds
from headwater.db.models import orch_job
from tests.support import builders, databases


@databases.on_every_backend
class RewriteTest(databases.DatabaseTestCase):
    def infos(self) -> list[str | None]:
        with self.database.read() as connection:
            statement = sa.select(orch_job.c.resource_info).order_by(orch_job.c.id)
            return list(connection.execute(statement).scalars())

    def test_every_value_of_both_tables_is_rewritten_once(self) -> None:
        builders.add_subcloud(self.database, credentials="c1")
        builders.add_subcloud(self.database, "two", credentials="c2")
        builders.accepted_job(self.database, resource_info="r1")
        self.assertEqual(3, encrypted.rewrite(self.database, lambda text: f"<{text}>"))
        found = subclouds.list_page(self.database, limit=10)
        self.assertEqual({"<c1>", "<c2>"}, {subcloud.credentials for subcloud in found})
        self.assertEqual(["<r1>"], self.infos())

    def test_it_goes_on_behind_the_first_page(self) -> None:
        now = clock.now()
        rows = [
            {
                "uuid": f"job{index}",
                "endpoint_type": "identity",
                "resource_type": "user",
                "operation_type": "update",
                "intent_state": "open",
                "overlapped": False,
                # Every seventh has dropped its secrets already.
                "resource_info": None if index % 7 == 0 else f"r{index}",
                "created_at": now,
            }
            for index in range(501)
        ]
        with self.database.write() as connection:
            connection.execute(orch_job.insert(), rows)
        kept = sum(row["resource_info"] is not None for row in rows)
        self.assertEqual(kept, encrypted.rewrite(self.database, lambda text: f"<{text}>"))
        self.assertEqual(
            [row["resource_info"] and f"<{row['resource_info']}>" for row in rows], self.infos()
        )

    def test_a_value_that_cannot_be_read_stops_it_and_is_kept(self) -> None:
        builders.add_subcloud(self.database, credentials="readable")
        builders.accepted_job(self.database, resource_info="unreadable")

        def renew(text: str) -> str:
            if text == "unreadable":
                raise SecretUnreadable(text)
            return text

        with self.assertRaises(SecretUnreadable):
            encrypted.rewrite(self.database, renew)
        self.assertEqual(["unreadable"], self.infos())

    def test_after_a_rotation_the_new_key_alone_reads_everything(self) -> None:
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        old = KeyRing.ensure(directory)
        builders.add_subcloud(self.database, credentials=old.encrypt({"password": "p"}))
        builders.accepted_job(self.database, resource_info=old.encrypt({"fields": {"a": 1}}))
        KeyRing.add_key(directory)
        self.assertEqual(2, encrypted.rewrite(self.database, KeyRing(directory).renew))
        (directory / "1").unlink()
        ring = KeyRing(directory)
        (subcloud,) = subclouds.list_page(self.database, limit=1)
        self.assertEqual({"password": "p"}, ring.decrypt(subcloud.credentials))
        self.assertEqual({"fields": {"a": 1}}, ring.decrypt(str(self.infos()[0])))

    def test_no_column_for_encrypted_text_is_forgotten(self) -> None:
        self.assertEqual(
            {
                "subcloud.credentials",
                "orch_job.resource_info",
                "pod.credentials",
                "task.parameters",
            },
            {str(column) for column in encrypted.COLUMNS},
        )
        # Whatever is called like a secret is one.
        for table in models.metadata.tables.values():
            for word in ("credentials", "password", "secret", "parameters"):
                if word in table.c:
                    self.assertIn(table.c[word], encrypted.COLUMNS)

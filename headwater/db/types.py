# SPDX-License-Identifier: Apache-2.0
"""Column types that are the same on SQLite, PostgreSQL and MariaDB."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds, stored without a zone on every database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Ask MariaDB for microseconds, which it does not keep by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Drop the zone of an aware time."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Add the zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


#: SQLite counts only INTEGER PRIMARY KEY up by itself.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: MariaDB's TEXT ends at 64 KB.
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
#: As long, for texts that are encrypted: the rotation of keys finds its columns by this type.
Encrypted = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

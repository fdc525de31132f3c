# SPDX-License-Identifier: Apache-2.0
"""Makes an empty database: `recreate_database.py NAME`, on the server of BASE_SQL_CONN.

With nothing more than the name it drops it; `--drop NAME` does only that.
"""

import os
import sys

import sqlalchemy as sa


def main(*arguments: str) -> None:
    name = arguments[-1]
    url = sa.make_url(os.environ["BASE_SQL_CONN"])
    if url.get_backend_name() == "postgresql":
        url = url.set(database="postgres")
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        if "--drop" not in arguments:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])

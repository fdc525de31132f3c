# SPDX-License-Identifier: Apache-2.0
"""Makes an empty database, in place of what there was: `recreate_database.py NAME`.

BASE_SQL_CONN in the environment is the URL of the server, without a database.
"""

import os
import sys

import sqlalchemy as sa


def main(name: str) -> None:
    url = sa.make_url(os.environ["BASE_SQL_CONN"])
    if url.get_backend_name() == "postgresql":
        url = url.set(database="postgres")
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")


if __name__ == "__main__":
    main(sys.argv[1])

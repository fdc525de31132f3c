# SPDX-License-Identifier: Apache-2.0
"""Flavors: sizes that nodes are composed in."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from headwater.common import clock
from headwater.common.errors import Conflict, NotFound
from headwater.db.connection import Database, retried
from headwater.db.models import flavor
from headwater.db.pod_records import Flavor, Requirements


def add(
    database: Database, name: str, description: str | None, requirements: Requirements
) -> Flavor:
    """Add a flavor; Conflict for a name in use."""
    try:
        _insert(database, name, description, requirements)
    except db_exception.DBDuplicateEntry as error:
        raise Conflict(f"There is already a flavor {name!r}.") from error
    return get(database, name)


@retried
def _insert(
    database: Database, name: str, description: str | None, requirements: Requirements
) -> None:
    with database.write() as connection:
        connection.execute(
            flavor.insert().values(
                name=name,
                description=description,
                requirements=json.dumps(asdict(requirements)),
                created_at=clock.now(),
            )
        )


def get(database: Database, name: str) -> Flavor:
    """One flavor by its name; raises NotFound."""
    found = _select(database, flavor.c.name == name, limit=1)
    if not found:
        raise NotFound(f"There is no flavor {name!r}; 'pod flavor list' shows all.")
    return found[0]


def list_page(database: Database, *, limit: int, marker: str = "") -> Sequence[Flavor]:
    """Flavors by name, those behind the name `marker`."""
    return _select(database, flavor.c.name > marker, limit=limit)


@retried
def delete(database: Database, name: str) -> None:
    """Forget a flavor; nodes that were composed in it stay. Raises NotFound."""
    with database.write() as connection:
        deleted = connection.execute(flavor.delete().where(flavor.c.name == name)).rowcount
    if not deleted:
        raise NotFound(f"There is no flavor {name!r}; 'pod flavor list' shows all.")


def _select(
    database: Database, *conditions: sa.ColumnElement[bool], limit: int
) -> Sequence[Flavor]:
    with database.read() as connection:
        rows = connection.execute(
            sa.select(flavor).where(*conditions).order_by(flavor.c.name).limit(limit)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Flavor:
    requirements = Requirements(**json.loads(row.requirements))
    return Flavor(row.name, row.description, requirements, row.created_at)

# SPDX-License-Identifier: Apache-2.0
"""Events that pods were asked to send: of each only the hash of the secret that lets them in."""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.errors import NotFound
from headwater.db.connection import Database, retried
from headwater.db.models import pod, pod_subscription
from headwater.db.telemetry_records import Subscription


def hash_of(secret: str) -> str:
    """What of a secret is kept: it is long and random, so that no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def of_pod(database: Database, pod_id: int) -> Sequence[Subscription]:
    """All of a pod, the oldest first."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(pod_subscription)
            .where(pod_subscription.c.pod_id == pod_id)
            .order_by(pod_subscription.c.id)
        ).all()
    return [_record(row) for row in rows]


def _record(row: sa.Row[Any]) -> Subscription:
    return Subscription(row.id, row.address, row.uri, row.secret_hash is not None, row.created_at)


def begin(database: Database, pod_id: int, secrets: Mapping[str, str]) -> Mapping[str, int]:
    """Write that addresses are about to be asked; the rows' ids by address.

    Before they are: a pod may send its first event before it answers. Raises NotFound where the
    pod was deleted.
    """
    return _begin(database, pod_id, {name: hash_of(each) for name, each in secrets.items()})


@retried
def _begin(database: Database, pod_id: int, hashes: Mapping[str, str]) -> Mapping[str, int]:
    now = clock.now()
    with database.write() as connection:
        there = connection.execute(
            sa.select(pod.c.id).where(pod.c.id == pod_id).with_for_update(key_share=True)
        ).scalar_one_or_none()
        if there is None:
            raise NotFound(f"There is no pod with id {pod_id} any more.")
        connection.execute(
            pod_subscription.insert(),
            [
                {"pod_id": pod_id, "address": address, "secret_hash": each, "created_at": now}
                for address, each in hashes.items()
            ],
        )
        rows = connection.execute(
            sa.select(pod_subscription.c.id, pod_subscription.c.address).where(
                pod_subscription.c.secret_hash.in_(sorted(hashes.values()))
            )
        ).all()
    return {row.address: row.id for row in rows}


@retried
def end(database: Database, row_id: int, uri: str | None) -> None:
    """Write what came of asking: with None as `uri` the address has no events.

    Earlier ones of the address are forgotten. Does nothing where the row is gone with its pod.
    """
    values: dict[str, Any] = {"uri": uri}
    if uri is None:
        values["secret_hash"] = None
    with database.write() as connection:
        row = connection.execute(
            sa.select(pod_subscription).where(pod_subscription.c.id == row_id).with_for_update()
        ).one_or_none()
        if row is None:
            return
        connection.execute(
            pod_subscription.update().where(pod_subscription.c.id == row_id).values(values)
        )
        connection.execute(
            pod_subscription.delete().where(
                pod_subscription.c.pod_id == row.pod_id,
                pod_subscription.c.address == row.address,
                pod_subscription.c.id < row_id,
            )
        )


@retried
def forget(database: Database, row_ids: Collection[int]) -> None:
    """Refuse what still comes because of them."""
    if not row_ids:
        return
    with database.write() as connection:
        connection.execute(
            pod_subscription.delete().where(pod_subscription.c.id.in_(sorted(row_ids)))
        )


def sender(database: Database, secret: str) -> tuple[int, str]:
    """The pod's row id and the address that a secret was given to; raises NotFound."""
    wanted = hash_of(secret)
    with database.read() as connection:
        row = connection.execute(
            sa.select(pod_subscription).where(pod_subscription.c.secret_hash == wanted)
        ).one_or_none()
    # The index compares hashes, of whose bytes nobody can choose one after the other; this does not
    # depend on how a database does it.
    if row is None or not hmac.compare_digest(row.secret_hash, wanted):
        raise NotFound("There is no such resource.")
    return row.pod_id, row.address

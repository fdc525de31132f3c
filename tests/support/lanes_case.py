# SPDX-License-Identifier: Apache-2.0
"""What the tests of lanes have in common: one managed subcloud and its lane."""

from typing import Any

import sqlalchemy as sa

from headwater.common import clock
from headwater.common.states import SyncRequest
from headwater.db import lanes, requests
from headwater.db.models import subcloud_sync
from headwater.db.records import ClaimedLane, Lane, Subcloud
from tests.support import builders, databases

#: Seconds: a rest that outlasts every test, and one that is over already.
LATER, EARLIER = 3600.0, -3600.0


class LanesTestCase(databases.DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subcloud = builders.add_subcloud(self.database)

    def lane(self, subcloud: Subcloud | None = None, endpoint_type: str = "identity") -> Lane:
        return builders.lane_of(self.database, subcloud or self.subcloud, endpoint_type)

    def column(self, name: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(
                sa.select(subcloud_sync.c[name]).where(
                    subcloud_sync.c.subcloud_id == self.subcloud.id
                )
            ).scalar_one()

    def set(self, subcloud: Subcloud, **values: object) -> None:
        with self.database.write() as connection:
            connection.execute(
                subcloud_sync.update()
                .where(subcloud_sync.c.subcloud_id == subcloud.id)
                .values(values)
            )

    def ask(self, *endpoint_types: str, **how: bool) -> int:
        return lanes.request(self.database, endpoint_types or ("identity",), **how)

    def release(
        self, lane: ClaimedLane, pause: float | None = None, error: str | None = None
    ) -> SyncRequest:
        """Release as the runner does, with the counter as it was at the last read."""
        batch = requests.next_batch(self.database, lane, 1000)
        lanes.release(
            self.database,
            lane,
            seen_wakeups=batch.wakeups,
            pause=pause,
            error=error,
        )
        with self.database.read() as connection:
            asked = connection.execute(
                sa.select(subcloud_sync.c.sync_request).where(subcloud_sync.c.id == lane.id)
            ).scalar_one()
        return SyncRequest(asked)

    def assert_later(self, lane: Lane) -> None:
        """The lane rests until LATER."""
        self.assertIsNotNone(lane.next_try_at)
        assert lane.next_try_at is not None
        rest = (lane.next_try_at - clock.now()).total_seconds()
        self.assertTrue(LATER - 60 < rest <= LATER, rest)

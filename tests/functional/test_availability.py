# SPDX-License-Identifier: Apache-2.0
"""Whether a subcloud answers is known also where nothing is sent to it."""

from typing import ClassVar

from headwater.common.states import Availability
from headwater.db import lanes, subclouds
from tests.functional.system import SystemTest
from tests.support.waiting import eventually


class Probes(SystemTest):
    """A subcloud that is idle, or waited for, goes and comes back."""

    regions: ClassVar = ("subcloud1",)
    options: ClassVar = {
        "subclouds": {"probe_interval": 0.2, "offline_probe_interval": 0.2, "probe_timeout": 1},
        # Only a probe ends such a rest before the test's patience does.
        "engine": {"retry_delay": 600, "max_retry_delay": 600, "poll_interval": 1},
    }

    def wait_for(self, wanted: Availability) -> None:
        def measured() -> bool:
            found = subclouds.get(self.system.database, "subcloud1")
            return found.availability_status is wanted

        eventually(measured, f"a subcloud that is {wanted}", every=0.05)

    def test_an_idle_subcloud_goes_offline_and_comes_back(self) -> None:
        cloud = self.system.subclouds["subcloud1"]
        self.wait_for(Availability.ONLINE)
        cloud.stop()
        self.addCleanup(cloud.start)
        self.wait_for(Availability.OFFLINE)
        cloud.start()
        self.wait_for(Availability.ONLINE)
        found = subclouds.get(self.system.database, "subcloud1")
        self.assertEqual((0, None), (found.failures, found.breaker_until))

    def test_one_that_hangs_is_offline_too(self) -> None:
        cloud = self.system.subclouds["subcloud1"]
        self.wait_for(Availability.ONLINE)
        cloud.pause()
        self.addCleanup(cloud.resume)
        self.wait_for(Availability.OFFLINE)
        cloud.resume()
        self.wait_for(Availability.ONLINE)

    def test_what_waits_for_a_subcloud_runs_seconds_after_its_return(self) -> None:
        cloud = self.system.subclouds["subcloud1"]
        self.wait_for(Availability.ONLINE)
        cloud.stop()
        self.addCleanup(cloud.start)
        name = self.unique("group")
        answer = self.system.call(
            "POST", "/v3/groups", {"group": {"name": name, "domain_id": "default"}}
        )
        subcloud = subclouds.get(self.system.database, "subcloud1")

        def rests() -> bool:
            (lane,) = lanes.of_subclouds(self.system.database, [subcloud.id])
            return lane.next_try_at is not None

        eventually(rests, "a lane that waits for its next try")
        cloud.start()
        self.system.wait(answer)
        self.one(cloud, "group", name=name)
        self.wait_for(Availability.ONLINE)

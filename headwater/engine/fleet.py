# SPDX-License-Identifier: Apache-2.0
"""What operators do to subclouds, with what follows for their lanes; behind commands and RPC."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from headwater.common.clock import isoformat
from headwater.common.states import Availability, Management
from headwater.db import audits, jobs, lanes, requests, subclouds
from headwater.db.connection import Database
from headwater.db.records import Job, NewSubcloud, Subcloud


class Fleet:
    """All subclouds of an installation. Whoever calls `sync` and alike wakes the workers itself."""

    def __init__(self, database: Database, endpoint_types: Collection[str]):
        self._database, self._endpoint_types = database, endpoint_types

    def add(self, new: NewSubcloud, labels: Mapping[str, str] = MappingProxyType({})) -> Subcloud:
        """Add a subcloud, unmanaged. Raises Conflict for a name in use."""
        return subclouds.add(self._database, new, self._endpoint_types, labels)

    def update(
        self,
        region_name: str,
        values: Mapping[str, str | None],
        *,
        labels: Mapping[str, str] | None = None,
        generation: int | None = None,
    ) -> Subcloud:
        """Change access data, description or labels, and let waiting lanes try at once.

        Raises NotFound, and Outdated where another than the given `generation` is the present one.
        """
        changed = subclouds.update(
            self._database, region_name, values, labels=labels, generation=generation
        )
        self.sync([region_name])
        return changed

    def set_states(
        self,
        region_name: str,
        management: Management | None = None,
        availability: Availability | None = None,
    ) -> Subcloud:
        """Change what is given; what is managed now runs its backlog and is aligned. NotFound.

        `availability` holds until UNKNOWN is given: from then on it is measured again. The second
        time does nothing.
        """
        subcloud = subclouds.get(self._database, region_name)
        if availability is not None:
            subclouds.override_availability(self._database, subcloud.id, availability)
        if management is not None:
            subclouds.set_management(self._database, region_name, management)
            joins = subcloud.management_state is not Management.MANAGED
            if management is Management.MANAGED and joins:
                # It may have missed anything while nobody wrote requests for it.
                self.initial_sync([region_name])
        self.sync([region_name])
        return subclouds.get(self._database, region_name)

    def drop_backlog(self, region_name: str) -> int:
        """Forget what an unmanaged subcloud has not had; returns how many requests. NotFound.

        When it is managed again, its initial sync brings what is still true.
        """
        number = subclouds.drop_backlog(
            self._database, subclouds.get(self._database, region_name).id
        )
        jobs.finish(self._database)
        return number

    def delete(self, region_name: str) -> None:
        """Forget an unmanaged subcloud with its backlog, its password, and bodies only it needed.

        Raises NotFound, and Conflict while it is managed. The cloud itself is not touched.
        """
        subclouds.delete(self._database, region_name)
        jobs.finish(self._database)

    def sync(
        self, region_names: Collection[str], endpoint_types: Collection[str] | None = None
    ) -> int:
        """Let what waits for some subclouds run now, whatever their back-offs.

        Returns how many lanes were asked. Raises NotFound for a name that is not known.
        """
        types = self._endpoint_types if endpoint_types is None else endpoint_types
        ids = self._ids(region_names)
        return lanes.request(self._database, types, subcloud_ids=ids, at_once=True)

    def audit(
        self, region_names: Collection[str], endpoint_types: Collection[str] | None = None
    ) -> int:
        """Have some subclouds compared with the central cloud now.

        Returns how many lanes were asked; those of unmanaged subclouds wait. Raises NotFound.
        """
        types = self._endpoint_types if endpoint_types is None else endpoint_types
        return audits.request(self._database, types, self._ids(region_names))

    def initial_sync(self, region_names: Collection[str]) -> int:
        """Have some subclouds brought to the central cloud's state, whatever the audit mode is.

        Returns how many lanes were asked; those of unmanaged subclouds wait. Raises NotFound.
        """
        ids = self._ids(region_names)
        return audits.request(self._database, self._endpoint_types, ids, initial=True)

    def retry(self, job: Job) -> int:
        """Let the failed requests of a job run again, now; returns how many. NotFound."""
        subcloud_ids = requests.retry(self._database, job.id)
        lanes.request(self._database, [job.endpoint_type], subcloud_ids=subcloud_ids, at_once=True)
        return len(subcloud_ids)

    def cancel(self, job: Job) -> tuple[int, int]:
        """Give up what a job has not brought to subclouds yet, and what failed.

        Returns how many requests that were, and how many run and end by themselves. Audits then
        say what the subclouds lack.
        """
        subcloud_ids, running = requests.cancel(self._database, job.id)
        jobs.finish(self._database, [job.id])
        audits.request(self._database, [job.endpoint_type], subcloud_ids)
        return len(subcloud_ids), running

    def _ids(self, region_names: Collection[str]) -> list[int]:
        return [subclouds.get(self._database, name).id for name in region_names]


def public_view(subcloud: Subcloud) -> dict[str, Any]:
    """What may be shown of a subcloud: everything but its credentials."""
    return {
        "name": subcloud.region_name,
        "description": subcloud.description,
        "management_state": subcloud.management_state.value,
        "availability_status": subcloud.availability_status.value,
        "availability_override": subcloud.availability_override
        and subcloud.availability_override.value,
        "failures": subcloud.failures,
        "generation": subcloud.generation,
        "breaker_until": isoformat(subcloud.breaker_until),
        "auth_url": subcloud.auth_url,
        "username": subcloud.username,
        "user_domain_name": subcloud.user_domain_name,
        "project_name": subcloud.project_name,
        "project_domain_name": subcloud.project_domain_name,
        "created_at": isoformat(subcloud.created_at),
        "updated_at": isoformat(subcloud.updated_at),
    }

# SPDX-License-Identifier: Apache-2.0
"""Which id a resource of the central cloud has in one subcloud, as one batch sees it.

Reads come from the database, many at a time; what a replay finds out stays here until the engine
writes it together with the request's result, under the lane's lease.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.db import requests, resources
from headwater.db.connection import Database
from headwater.db.records import MappingChange


@dataclass
class _Entry:
    natural_key: Mapping[str, Any] | None = None
    subcloud_id: str | None = None
    #: A delete of it was accepted in the central cloud.
    deleted: bool = False


class MappingView:
    """Used by one thread. Resources are named by (resource type, id in the central cloud)."""

    def __init__(
        self, database: Database, subcloud_id: int, endpoint_type: str, lane_id: int | None = None
    ):
        self._database, self._lane_id = database, lane_id
        self._subcloud_id, self._endpoint_type = subcloud_id, endpoint_type
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._read: set[str] = set()
        self._changes: list[MappingChange] = []

    def prefetch(self, master_ids: Collection[str]) -> None:
        """Read all that is known of some ids in one statement."""
        missing = set(master_ids) - self._read
        if not missing:
            return
        for row in resources.mapped(
            self._database, self._subcloud_id, self._endpoint_type, missing
        ):
            self._entries[row.resource_type, row.master_id] = _Entry(
                row.natural_key, row.subcloud_resource_id, row.deleted
            )
        self._read |= missing

    def find(self, resource_type: str, master_id: str) -> str | None:
        """The id in the subcloud, if it is known."""
        return self._entry(resource_type, master_id).subcloud_id

    def natural_key(self, resource_type: str, master_id: str) -> Mapping[str, Any] | None:
        """The last known natural key in the central cloud."""
        return self._entry(resource_type, master_id).natural_key

    def present_key(self, resource_type: str, master_id: str) -> Mapping[str, Any] | None:
        """The natural key by which the subcloud knows a resource now, if it is known.

        A rename that waits in the lane has changed it in the central cloud only.
        """
        if self._lane_id is not None:
            key = requests.pending_key(self._database, self._lane_id, resource_type, master_id)
            if key is not None:
                return key
        return self.natural_key(resource_type, master_id)

    def other_owner(self, resource_type: str, subcloud_id: str, master_id: str) -> str | None:
        """The living resource, other than `master_id`, whose counterpart a subcloud's resource is.

        None where there is none: then it may become the counterpart of `master_id`.
        """
        found = resources.owner(
            self._database, self._subcloud_id, self._endpoint_type, resource_type, subcloud_id
        )
        if found is not None:
            # What this batch has found out about it already counts more than the database.
            self._entry(resource_type, found.master_id)
        for (name, other), entry in self._entries.items():
            same = name == resource_type and entry.subcloud_id == subcloud_id
            if same and other != master_id and not entry.deleted:
                return other
        return None

    def learn(
        self,
        resource_type: str,
        master_id: str,
        subcloud_id: str,
        natural_key: Mapping[str, Any] | None,
    ) -> None:
        """Remember the id that a resource has in the subcloud."""
        for (name, _), other in self._entries.items():
            if name == resource_type and other.subcloud_id == subcloud_id:
                other.subcloud_id = None
        entry = self._entry(resource_type, master_id)
        entry.subcloud_id = subcloud_id
        entry.natural_key = natural_key or entry.natural_key
        self._note(resource_type, master_id, entry.natural_key, subcloud_id)

    def forget(self, resource_type: str, master_id: str) -> None:
        """Remember that the subcloud does not have the resource by the id that was known."""
        entry = self._entry(resource_type, master_id)
        if entry.subcloud_id is not None:
            entry.subcloud_id = None
            self._note(resource_type, master_id, entry.natural_key, None)

    def take_changes(self) -> tuple[MappingChange, ...]:
        """What was found out since the last call."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def _entry(self, resource_type: str, master_id: str) -> _Entry:
        self.prefetch([master_id])
        return self._entries.setdefault((resource_type, master_id), _Entry())

    def _note(
        self,
        resource_type: str,
        master_id: str,
        natural_key: Mapping[str, Any] | None,
        subcloud_id: str | None,
    ) -> None:
        self._changes.append(
            MappingChange(self._endpoint_type, resource_type, master_id, natural_key, subcloud_id)
        )

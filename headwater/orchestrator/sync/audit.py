# SPDX-License-Identifier: Apache-2.0
"""The reading half of an audit: lists a subcloud and the central cloud, and has them compared."""

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.common.endpoints.model import EndpointType
from headwater.common.endpoints.registry import Registry
from headwater.common.errors import LoginRefused, NoEndpoint, Unreachable
from headwater.common.states import AuditMode
from headwater.db import resources
from headwater.db.connection import Database
from headwater.db.records import MappingChange
from headwater.engine.audit import Audit, AuditFailed
from headwater.engine.outcome import Retry
from headwater.engine.task import LaneWork
from headwater.orchestrator.subclouds import SubcloudAccess
from headwater.orchestrator.sync import listing
from headwater.orchestrator.sync.central import CentralUnreadable
from headwater.orchestrator.sync.compare import Comparison, compare
from headwater.orchestrator.sync.listing import CloudState, Unlistable
from headwater.orchestrator.sync.snapshot import CentralSnapshot


@dataclass(frozen=True)
class AuditSettings:
    """How an endpoint type is audited; the age in seconds."""

    mode: AuditMode
    #: Oldest list of the central cloud that a periodic audit takes.
    age: float
    #: Also what headwater did not bring to a subcloud is removed there.
    remove_extra: bool = False


class Comparer:
    """Compares subclouds of all endpoint types. Safe for many threads; changes nothing."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        access: SubcloudAccess,
        snapshots: Mapping[str, CentralSnapshot],
        settings: Mapping[str, AuditSettings],
    ):
        self._database, self._registry, self._access = database, registry, access
        self._snapshots, self._settings = snapshots, settings

    def compare(self, batch: LaneWork, *, fresh: bool) -> Audit | AuditFailed | Retry:
        """List both clouds; with `fresh` the central cloud too from now on. SecretUnreadable."""
        lane = batch.lane
        endpoint_type = self._registry.endpoint_type(lane.endpoint_type)
        settings = self._settings[lane.endpoint_type]
        client = self._access.client(batch.subcloud, endpoint_type.service_type, batch.guard)
        # First, because a subcloud that is away must not cost a listing of the central cloud.
        try:
            there = listing.list_all(
                endpoint_type, lambda path, params: client.call("GET", path, params=params)
            )
        except Unlistable as error:
            return AuditFailed(f"The subcloud cannot be listed: {error}")
        except (LoginRefused, NoEndpoint) as error:
            return Retry(str(error), counts=True)
        except Unreachable as error:
            return Retry(str(error), counts=False, unreachable=True, after=error.retry_after)
        try:
            central = self._snapshots[lane.endpoint_type].get(0.0 if fresh else settings.age)
        except CentralUnreadable as error:
            return Retry(str(error), counts=False)
        except Unlistable as error:
            return AuditFailed(f"The central cloud cannot be listed: {error}")
        mapped = resources.of_subcloud(self._database, lane.subcloud_id, lane.endpoint_type)
        # The account by which headwater works there.
        own = frozenset({batch.subcloud.username, batch.subcloud.project_name})
        found = compare(endpoint_type, central.state, there, mapped, own)
        return Audit(
            listed_at=None if fresh else central.began,
            differences=found.differences,
            mappings=_mappings(endpoint_type, central.state, found),
            totals=found.totals,
            mode=settings.mode,
            remove_extra=settings.remove_extra,
        )


def _mappings(
    endpoint_type: EndpointType, central: CloudState, found: Comparison
) -> list[MappingChange]:
    learnt = [
        MappingChange(
            endpoint_type.name,
            name,
            master_id,
            endpoint_type.resources[name].natural_key(central[name][master_id]),
            subcloud_id,
        )
        for (name, master_id), subcloud_id in found.learnt.items()
    ]
    stale = [
        MappingChange(endpoint_type.name, name, master_id, None, None)
        for name, master_id in sorted(found.stale)
    ]
    return stale + learnt

# SPDX-License-Identifier: Apache-2.0
"""Replays requests on one subcloud: picks the strategy and gives every error its meaning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headwater.common.endpoints.model import EndpointType, ResourceType
from headwater.common.endpoints.registry import Registry
from headwater.common.errors import LoginRefused, NoEndpoint, NotFound, Unreachable
from headwater.common.redact import scrub, shorten
from headwater.common.states import Operation
from headwater.db.connection import Database
from headwater.engine.audit import Audit, AuditFailed, foreign_id
from headwater.engine.outcome import Done, Failed, Gone, Outcome, Retry
from headwater.engine.task import LaneWork, Work
from headwater.orchestrator.subclouds import SubcloudAccess
from headwater.orchestrator.sync.audit import Comparer
from headwater.orchestrator.sync.central import (
    CentralInconsistent,
    CentralReader,
    CentralUnreadable,
)
from headwater.orchestrator.sync.mapping import MappingView
from headwater.orchestrator.sync.strategies import STRATEGIES, Strategy
from headwater.orchestrator.sync.subject import (
    GoneInCentral,
    Occupied,
    OwnLogin,
    Refused,
    Subject,
    Unidentified,
)

#: Answers that say that the call itself is wrong: the same call gets the same answer.
_FINAL = frozenset({400, 405, 406, 413, 414, 415, 422})

_METHODS: Mapping[Operation, Callable[[Strategy], Callable[..., Done | Gone]]] = {
    Operation.CREATE: lambda strategy: strategy.create,
    Operation.UPDATE: lambda strategy: strategy.update,
    Operation.DELETE: lambda strategy: strategy.delete,
    Operation.ALIGN: lambda strategy: strategy.align,
}


class SyncHandler:
    """The engine's handler for lanes of all endpoint types."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        access: SubcloudAccess,
        readers: Mapping[str, CentralReader],
        comparer: Comparer,
    ):
        self._database, self._registry = database, registry
        self._access = access
        self._readers, self._comparer = readers, comparer

    def open(self, batch: LaneWork) -> "SubcloudReplay":
        """Prepare a batch: one read of all ids that it mentions."""
        lane = batch.lane
        endpoint_type = self._registry.endpoint_type(lane.endpoint_type)
        central = self._readers[lane.endpoint_type]
        mappings = MappingView(self._database, lane.subcloud_id, lane.endpoint_type, lane.id)
        mappings.prefetch(_mentioned(endpoint_type, batch.works))
        client = self._access.client(batch.subcloud, endpoint_type.service_type, batch.guard)
        return SubcloudReplay(self._registry, Subject(endpoint_type, client, central, mappings))

    def compare(self, batch: LaneWork, *, fresh: bool) -> Audit | AuditFailed | Retry:
        """Compare the subcloud of a lane with the central cloud."""
        return self._comparer.compare(batch, fresh=fresh)


class SubcloudReplay:
    """Executes the works of one batch on one subcloud."""

    def __init__(self, registry: Registry, subject: Subject):
        self._registry, self._subject = registry, subject

    def execute(self, work: Work) -> Outcome:
        """Replay one request. Safe to repeat; secrets never reach the outcome's text."""
        request = work.request
        try:
            resource = self._registry.resource(request.endpoint_type, request.resource_type)
        except NotFound as error:
            return Failed(str(error))
        outcome = self._outcome(resource, work)
        notes = self._subject.take_notes()
        if isinstance(outcome, Done | Gone):
            text = " ".join([*([outcome.note] if outcome.note else []), *notes]) or None
        else:
            text = outcome.reason
        mappings = self._subject.mappings.take_changes()
        if text is None:
            return replace(outcome, mappings=mappings)
        fields = work.info.fields or {}
        text = shorten(scrub(text, [fields.get(name) for name in resource.secrets]), 1000)
        if isinstance(outcome, Done | Gone):
            return replace(outcome, note=text, mappings=mappings)
        return replace(outcome, reason=text, mappings=mappings)

    def _outcome(self, resource: ResourceType, work: Work) -> Outcome:
        operation = Operation.ALIGN if work.request.superseded else work.request.operation
        foreign = foreign_id(work.request.master_id)
        method = _METHODS[operation](STRATEGIES[resource.strategy])
        try:
            if foreign is not None:
                return self._remove(resource, foreign)
            return method(self._subject, resource, work)
        except GoneInCentral as error:
            return self._gone(resource, work, error)
        except Occupied as error:
            return Retry(str(error), counts=True)
        except (Unidentified, OwnLogin) as error:
            return Failed(str(error))
        except Refused as error:
            if error.answer.status in _FINAL:
                return Failed(str(error))
            return Retry(str(error), counts=True)
        except (LoginRefused, NoEndpoint) as error:
            return Retry(str(error), counts=True)
        except CentralUnreadable as error:
            # What the cache holds for ten minutes must not hold up everything behind it.
            return Retry(str(error), counts=isinstance(error, CentralInconsistent))
        except Unreachable as error:
            return Retry(str(error), counts=False, unreachable=True, after=error.retry_after)

    def _remove(self, resource: ResourceType, subcloud_id: str) -> Done | Gone:
        """Remove what headwater did not bring, unless it was adopted since. Safe to repeat."""
        if self._subject.mappings.other_owner(resource.name, subcloud_id, "") is not None:
            return Gone("It is a counterpart of the central cloud's by now.")
        deleted = self._subject.delete(resource, subcloud_id)
        return Done() if deleted else Gone("The subcloud did not have it any more.")

    def _gone(self, resource: ResourceType, work: Work, error: GoneInCentral) -> Outcome:
        """A change is void when what it is about is gone, not merely something it refers to."""
        if resource.collection is None:  # a link without one of its ends
            return Gone(str(error))
        try:
            state = self._subject.central.state(resource, work.request.master_id)
        except CentralUnreadable as unreadable:
            return Retry(str(unreadable), counts=False)
        return Gone(str(error)) if state is None else Failed(str(error))


def _mentioned(endpoint_type: EndpointType, works: Sequence[Work]) -> set[str]:
    """All ids of the central cloud that a batch will need."""
    ids = set()
    for work in works:
        resource = endpoint_type.resources.get(work.request.resource_type)
        if resource is None or foreign_id(work.request.master_id) is not None:
            continue
        ids.add(work.request.master_id)
        if resource.collection is None:
            ids.update(resource.parameters(work.request.master_id).values())
        for fields in (work.info.fields, work.info.key_before):
            values = ((fields or {}).get(name) for name in resource.references)
            ids.update(value for value in values if isinstance(value, str))
    return ids

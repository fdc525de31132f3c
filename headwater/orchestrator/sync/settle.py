# SPDX-License-Identifier: Apache-2.0
"""Settles open intents: changes whose answer was lost on the way from the central cloud.

What the central cloud shows decides. What happened is queued, what did not is dropped; what cannot
be told, such as a password change, stays open for the operator (`headwater-manage job settle`).
Safe to run in many processes: a job is accepted or dropped once.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any

from headwater.common.endpoints.model import ResourceType
from headwater.common.endpoints.registry import Registry
from headwater.common.errors import HeadwaterError, NotFound
from headwater.common.secrets import KeyRing
from headwater.common.states import Operation
from headwater.db import jobs, resources
from headwater.db.connection import Database
from headwater.db.records import Job
from headwater.engine.submission import enqueue_work
from headwater.engine.task import ResourceInfo
from headwater.orchestrator.sync.central import CentralReader

LOG = logging.getLogger(__name__)

#: Intents that one round looks at.
_PAGE = 100


class Verdict(Enum):
    """What the central cloud tells about an open intent."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did not happen"
    UNKNOWN = "unknown"


class Settler:
    """Looks at intents that are open for longer than any exchange takes."""

    def __init__(
        self,
        database: Database,
        key_ring: KeyRing,
        registry: Registry,
        readers: Mapping[str, CentralReader],
        wake: Callable[[Collection[str]], None],
        *,
        age: float,
    ):
        self._database, self._key_ring, self._registry = database, key_ring, registry
        self._readers, self._wake, self._age = readers, wake, age
        #: Undecidable jobs that were logged; one line each is enough.
        self._told: set[str] = set()

    def run(self) -> int:
        """Settle what can be settled now; returns how many intents were."""
        settled, last = 0, 0
        while page := jobs.open_since(self._database, self._age, limit=_PAGE, after=last):
            for job, encrypted in page:
                last = job.id
                if job.endpoint_type in self._readers:
                    settled += self._try(job, encrypted)
        return settled

    def _try(self, job: Job, encrypted: str) -> bool:
        """Settle one intent; whatever is wrong with it keeps no other from being settled."""
        try:
            return self._settle(job, encrypted)
        except HeadwaterError as error:
            LOG.warning("Job %s stays open: %s", job.uuid, error)
        except Exception:
            LOG.exception("Job %s stays open", job.uuid)
        return False

    def _settle(self, job: Job, encrypted: str) -> bool:
        resource = self._registry.resource(job.endpoint_type, job.resource_type)
        info = ResourceInfo.from_json(self._key_ring.decrypt(encrypted))
        verdict, operation, state = self._judge(job, resource, info)
        if verdict is Verdict.UNKNOWN:
            if job.uuid not in self._told:
                self._told.add(job.uuid)
                LOG.warning(
                    "Job %s stays open: nobody can read whether the central cloud did it; decide "
                    "with 'headwater-manage job settle'",
                    job.uuid,
                )
            return False
        LOG.info("Job %s is settled: it %s", job.uuid, verdict.value)
        if verdict is Verdict.DID_NOT_HAPPEN:
            jobs.drop_intent(self._database, job.id)
            return True
        master_id = job.master_id or str((state or {})["id"])
        try:
            enqueue_work(
                self._database,
                self._key_ring,
                job,
                operation=operation,
                master_id=master_id,
                natural_key=resource.natural_key(state or {}) or info.key_before,
                resource_name=job.resource_name,
                has_secrets=bool(resource.secrets & set(info.fields or ())),
                info=info,
            )
        except NotFound:
            return False  # another process, or the gateway itself, was quicker
        self._wake([job.endpoint_type])
        return True

    def _judge(
        self, job: Job, resource: ResourceType, info: ResourceInfo
    ) -> tuple[Verdict, Operation, Mapping[str, Any] | None]:
        """The verdict, what to replay if it happened, and the resource's present state."""
        reader = self._readers[job.endpoint_type]
        if job.master_id is None:
            return self._judge_create(job, resource, info, reader)
        state = reader.state(resource, job.master_id)
        there = state is not None
        if job.operation is Operation.DELETE:
            verdict = Verdict.DID_NOT_HAPPEN if there else Verdict.HAPPENED
            return verdict, Operation.DELETE, None
        if not there:
            return Verdict.DID_NOT_HAPPEN, job.operation, None
        if job.operation is Operation.CREATE:  # of a link: its id is in its path
            return Verdict.HAPPENED, Operation.CREATE, state
        if resource.secrets & set(info.fields or ()):
            return Verdict.UNKNOWN, job.operation, state
        # Whether it happened or not, the central cloud's present state is right.
        return Verdict.HAPPENED, Operation.ALIGN, state

    def _judge_create(
        self, job: Job, resource: ResourceType, info: ResourceInfo, reader: CentralReader
    ) -> tuple[Verdict, Operation, Mapping[str, Any] | None]:
        fields = info.fields or {}
        key = {name: fields[name] for name in resource.match if fields.get(name) is not None}
        if not key:
            return Verdict.DID_NOT_HAPPEN, job.operation, None
        candidates = [
            state
            for state in reader.find(resource, key)
            if not self._known_before(job, resource, str(state["id"]))
        ]
        if not candidates:
            # Nobody has the name, or somebody who had it before: then the create was refused.
            return Verdict.DID_NOT_HAPPEN, job.operation, None
        alike = [state for state in candidates if _agrees(resource, fields, state)]
        if len(alike) != 1 or resource.secrets & set(fields):
            # It may be older than the gateway, and then a password must not be replayed.
            return Verdict.UNKNOWN, job.operation, None
        return Verdict.HAPPENED, Operation.ALIGN, alike[0]

    def _known_before(self, job: Job, resource: ResourceType, master_id: str) -> bool:
        """Whether headwater had met a resource before the intent was written."""
        met = resources.known_since(self._database, job.endpoint_type, resource.name, master_id)
        return met is not None and met < job.created_at


def _agrees(resource: ResourceType, fields: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether a resource has all the values that a create asked for, as far as can be read."""
    return all(
        state.get(name) == value
        for name, value in fields.items()
        if name not in resource.secrets and name in state
    )

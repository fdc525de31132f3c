# SPDX-License-Identifier: Apache-2.0
"""Writes changes down: the intent before forwarding, the job and its requests after."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.api_proxy import interpreter
from headwater.api_proxy.interpreter import Change, master_id
from headwater.api_proxy.router import Recorded
from headwater.common.concurrency import LateWork
from headwater.common.context import Caller
from headwater.common.errors import DatabaseUnavailable, HeadwaterError, NotFound
from headwater.common.secrets import KeyRing
from headwater.common.states import Operation
from headwater.db import jobs, resources
from headwater.db.connection import Database
from headwater.db.records import Job, NewIntent
from headwater.engine.notifier import Notifier
from headwater.engine.submission import enqueue_work
from headwater.engine.task import ResourceInfo

LOG = logging.getLogger(__name__)


class Recorder:
    """The gateway's side of the database, for one endpoint type."""

    def __init__(
        self, database: Database, key_ring: KeyRing, notifier: Notifier, endpoint_type: str
    ):
        self._database, self._key_ring, self._notifier = database, key_ring, notifier
        self._endpoint_type = endpoint_type
        self._late = LateWork("late-recorder", DatabaseUnavailable)

    def known_key(self, meaning: Recorded) -> Mapping[str, Any] | None:
        """The natural key that the resource has now, if headwater has met it before."""
        known = master_id(meaning)
        if known is None or not meaning.resource.match:
            return None
        return resources.natural_key(
            self._database, self._endpoint_type, meaning.resource.name, known
        )

    def open(self, meaning: Recorded, info: ResourceInfo, caller: Caller) -> Job:
        """Write the intent. Raises DatabaseUnavailable; then nothing may be forwarded."""
        return jobs.open_intent(
            self._database,
            NewIntent(
                endpoint_type=self._endpoint_type,
                resource_type=meaning.resource.name,
                operation=meaning.call.operation,
                master_id=master_id(meaning),
                resource_name=interpreter.name(info.fields, info.key_before),
                key_before=info.key_before,
                resource_info=self._key_ring.encrypt(info.to_json()),
                caller=caller,
            ),
        )

    def drop(self, job: Job) -> None:
        """Forget an intent whose change did not happen. Never raises: an open one is settled."""
        try:
            jobs.drop_intent(self._database, job.id)
        except HeadwaterError:
            LOG.exception("Job %s stays open although its change was refused", job.uuid)

    def close(self, job: Job, change: Change, request_id: str | None) -> str:
        """Queue a change that the central cloud accepted, and wake the engine.

        Returns the uuid of the job that replays it. Never raises: the client's answer is the
        central cloud's. While the database is away the change is kept in memory and queued as soon
        as it is back; after a crash the job is found open.
        """
        try:
            return self._close(job, change, request_id)
        except DatabaseUnavailable as error:
            LOG.warning("Job %s is queued later: %s", job.uuid, error)
            self._late.add(lambda: self._close(job, change, request_id))
        except Exception:  # the client's answer must not depend on anything that is ours
            LOG.exception("Job %s stays open although the central cloud accepted it", job.uuid)
        return job.uuid

    def stop(self, timeout: float) -> None:
        """Try no more to queue what waits for the database; its jobs stay open."""
        self._late.stop(timeout)

    def _close(self, job: Job, change: Change, request_id: str | None) -> str:
        try:
            number = self._enqueue(job, change, request_id)
        except NotFound:
            job = self._reopen(job)
            number = self._enqueue(job, change, request_id)
        LOG.info(
            "Job %s: %s %s %s for %d subclouds",
            job.uuid,
            change.operation,
            job.resource_type,
            change.master_id,
            number,
        )
        if number:
            self._notifier.notify(self._endpoint_type)
        return job.uuid

    def _enqueue(self, job: Job, change: Change, request_id: str | None) -> int:
        natural_key = change.natural_key
        if natural_key is None and change.operation is not Operation.DELETE:
            natural_key = change.info.key_before
        return enqueue_work(
            self._database,
            self._key_ring,
            job,
            operation=change.operation,
            master_id=change.master_id,
            natural_key=natural_key,
            resource_name=self._name(change),
            info=change.info,
            has_secrets=change.has_secrets,
            request_id=request_id,
        )

    def _name(self, change: Change) -> str | None:
        """What the change was about: the resource's name, or those of a link's ends."""
        found = interpreter.name(change.info.fields, change.natural_key, change.info.key_before)
        if found is not None or "/" not in change.master_id:
            return found
        ends = change.master_id.split("/")
        keys = resources.natural_keys(self._database, self._endpoint_type, ends)
        return " / ".join(interpreter.name(keys.get(end)) or end for end in ends)

    def _reopen(self, job: Job) -> Job:
        """Write an intent again that was settled while its exchange was still under way.

        Whatever the engine read in the central cloud may be older than the change, and what else
        was accepted meanwhile older or younger: the change becomes an `align`. A job that was
        queued already keeps its uuid, and this one gets another.
        """
        try:
            jobs.get(self._database, job.uuid)
        except NotFound:
            known = job.uuid
        else:
            known = str(uuid.uuid4())
            LOG.warning("Job %s was settled too early; job %s follows it", job.uuid, known)
        nothing = self._key_ring.encrypt({})
        return jobs.reopen_intent(
            self._database, replace(job, uuid=known), nothing, overlapped=True
        )

# SPDX-License-Identifier: Apache-2.0
"""Accepted changes become work."""

from collections.abc import Mapping
from typing import Any

from headwater.common.secrets import KeyRing
from headwater.common.states import Operation
from headwater.db import jobs
from headwater.db.connection import Database
from headwater.db.records import AcceptedChange, Job
from headwater.engine.task import ResourceInfo


def enqueue_work(
    database: Database,
    key_ring: KeyRing,
    job: Job,
    *,
    operation: Operation,
    master_id: str,
    natural_key: Mapping[str, Any] | None,
    resource_name: str | None,
    info: ResourceInfo,
    has_secrets: bool = False,
    request_id: str | None = None,
) -> int:
    """Accept an open job and queue one request per managed subcloud, in one transaction.

    Returns the number of requests. `request_id` is kept where the client gave none of its own.
    Raises DatabaseUnavailable; then the job stays open and nothing is queued.
    """
    return jobs.accept(
        database,
        job,
        AcceptedChange(
            operation=operation,
            master_id=master_id,
            natural_key=natural_key,
            resource_name=resource_name,
            has_secrets=has_secrets,
            resource_info=key_ring.encrypt(info.to_json()),
            request_id=request_id,
        ),
    )

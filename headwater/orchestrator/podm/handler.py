# SPDX-License-Identifier: Apache-2.0
"""The engine's handler for tasks: finds the pod and the action, and gives errors their meaning."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.common.errors import (
    InvalidInput,
    LoginRefused,
    NotFound,
    SecretUnreadable,
    Unreachable,
)
from headwater.common.redact import scrub
from headwater.db import pods
from headwater.db.connection import Database
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import Result, TaskWork
from headwater.orchestrator.podm.access import PodAccess
from headwater.orchestrator.podm.actions import Action, Place
from headwater.orchestrator.podm.drivers import PodRefused
from headwater.orchestrator.podm.image import boot_image
from headwater.orchestrator.podm.power import power
from headwater.orchestrator.podm.release import release
from headwater.orchestrator.podm.settings import boot, media
from headwater.orchestrator.podm.sync import sync

#: By the names that tasks have in the database.
ACTIONS: Mapping[str, Action] = {
    "sync-pod": sync,
    "power-machine": power,
    "release-node": release,
    "boot-node": boot,
    "media-node": media,
    "boot-image-node": boot_image,
}


class PodHandler:
    """Executes tasks of all services."""

    def __init__(self, database: Database, access: PodAccess):
        self._database, self._access = database, access

    def execute(self, work: TaskWork) -> Result:
        """Do the next step of a task. Safe to repeat; no secret reaches the result's texts."""
        result = self._execute(work)
        # Pods repeat in their errors what they were given, and an address may be a signed one.
        image = work.parameters.get("image")
        if image is None:
            return result
        changes: dict[str, Any] = {
            name: scrub(text, [image])
            for name in ("reason", "message")
            if (text := getattr(result, name, None)) is not None
        }
        return replace(result, **changes)

    def _execute(self, work: TaskWork) -> Result:
        action = ACTIONS.get(work.task.action)
        if action is None:
            return Failed(f"Unknown action {work.task.action!r}: asked for by a later version.")
        try:
            pod = pods.by_id(self._database, work.task.pod_id)
            machine = None
            if work.task.target:
                machine = pods.get_machine(self._database, work.task.target)
            place = Place(self._database, pod, self._access.driver(pod), machine)
            return action(work, place)
        except (NotFound, InvalidInput, PodRefused) as error:
            return Failed(str(error))
        except (SecretUnreadable, LoginRefused) as error:
            return Retry(str(error), counts=isinstance(error, LoginRefused))
        except Unreachable as error:
            return Retry(str(error), counts=False, unreachable=True, after=error.retry_after)

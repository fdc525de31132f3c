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
from headwater.common.redact import scrub, secrets_among, secrets_in
from headwater.common.secrets import KeyRing
from headwater.common.states import NodeState
from headwater.db import pods, telemetry
from headwater.db.connection import Database
from headwater.engine.outcome import Failed, Retry
from headwater.engine.tracked import Result, TaskWork
from headwater.orchestrator.podm.access import PodAccess
from headwater.orchestrator.podm.actions import Action, Place
from headwater.orchestrator.podm.compose import compose
from headwater.orchestrator.podm.drivers import PodChanged, PodRefused
from headwater.orchestrator.podm.firmware import read_firmware, update_firmware
from headwater.orchestrator.podm.image import boot_image
from headwater.orchestrator.podm.network import read_ports
from headwater.orchestrator.podm.own import own_only
from headwater.orchestrator.podm.power import power
from headwater.orchestrator.podm.release import release
from headwater.orchestrator.podm.settings import bios, boot, media, read_bios
from headwater.orchestrator.podm.storage import (
    add_volume,
    attach,
    delete_volume,
    detach,
    read_storage,
)
from headwater.orchestrator.podm.subscribe import subscribe
from headwater.orchestrator.podm.sync import read_machine, sync
from headwater.orchestrator.podm.telemetry import poll_machine, poll_pod

#: By the names that tasks have in the database.
ACTIONS: Mapping[str, Action] = {
    "sync-pod": sync,
    "read-machine": read_machine,
    "power-machine": power,
    "compose-node": compose,
    "release-node": release,
    "boot-node": boot,
    "media-node": media,
    "boot-image-node": boot_image,
    "read-bios": read_bios,
    "bios-node": bios,
    "read-firmware": read_firmware,
    "firmware-node": update_firmware,
    "read-storage": read_storage,
    "add-volume-node": add_volume,
    "delete-volume-node": delete_volume,
    "attach-node": attach,
    "detach-node": detach,
    "read-ports": read_ports,
    telemetry.POLL_POD: poll_pod,
    telemetry.POLL_MACHINE: poll_machine,
    telemetry.SUBSCRIBE_POD: subscribe,
}


def _stranger(work: TaskWork, place: Place) -> str | None:
    """Why a task that has not begun must not: its machine was somebody else's when it was ordered.

    `owner` is the uuid of the node that the machine had then, or empty for none.
    """
    owner = work.parameters.get("owner")
    if owner is None or work.position:
        return None
    known = place.the_node()
    if (known.uuid if known is not None else "") == owner and (
        known is None or known.state is NodeState.READY
    ):
        return None
    if known is None:
        return "The node that this was ordered for is gone."
    return f"The machine belongs to the node {known.name!r}, which is {known.state}, by now."


class PodHandler:
    """Executes tasks of all services."""

    def __init__(self, database: Database, access: PodAccess, key_ring: KeyRing):
        self._database, self._access, self._key_ring = database, access, key_ring

    def execute(self, work: TaskWork) -> Result:
        """Do the next step of a task. Safe to repeat; no secret reaches the result's texts."""
        result = self._execute(work)
        # Pods repeat in their errors what they were given: an address may be a signed one, and a
        # setting a password.
        secrets = [
            *secrets_in(work.parameters.get("image")),
            *secrets_among(work.parameters.get("attributes", {})),
        ]
        if not secrets:
            return result
        changes: dict[str, Any] = {
            name: scrub(text, secrets)
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
            place = Place(
                self._database,
                pod,
                own_only(self._access.driver(pod), pod.addresses),
                work.task.target,
                self._key_ring.encrypt,
            )
            stranger = _stranger(work, place)
            return Failed(stranger) if stranger is not None else action(work, place)
        except PodChanged as error:
            return Retry(str(error), counts=True)
        except (NotFound, InvalidInput, PodRefused) as error:
            return Failed(str(error))
        except (SecretUnreadable, LoginRefused) as error:
            return Retry(str(error), counts=isinstance(error, LoginRefused))
        except Unreachable as error:
            return Retry(str(error), counts=False, unreachable=True, after=error.retry_after)

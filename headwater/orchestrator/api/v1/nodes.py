# SPDX-License-Identifier: Apache-2.0
"""/v1/nodes: machines that somebody has to himself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from headwater.common.errors import Conflict, NotFound
from headwater.common.states import ComponentKind, NodeState, PodService
from headwater.db import flavors, inventory, nodes, pods
from headwater.db import tasks as tasks_db
from headwater.db.pod_records import Candidate, Machine, NewNode, Node, Requirements
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.tasks import Wish, accepted, awaited, new_task, submit

#: Times that others may take what was found free.
_TRIES = 20


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    page = nodes.list_page(parts.database, limit=call.limit, marker=call.query.get("marker", ""))
    return call.page("nodes", [views.node(each) for each in page], lambda last: last["name"])


def compose(parts: Parts, call: Call) -> Reply:
    """Reserve what fits best; of resource blocks a machine is made then."""
    given = dict(call.body["node"])
    name = given.pop("name")
    machine = given.pop("machine", None)
    if machine is not None:
        return _made(parts, call, _adopt(parts, call, name, machine))
    flavor = given.pop("flavor", None)
    base = Requirements() if flavor is None else flavors.get(parts.database, flavor).requirements
    requirements = needs(parts, given, base)
    made = parts.scheduler.compose(name, requirements, call.caller, call.body["deadline"])
    if made.machine is None:
        parts.wake_service(PodService.COMPUTE)
    return _made(parts, call, made)


def needs(parts: Parts, given: Mapping[str, Any], base: Requirements) -> Requirements:
    """What a body asks for, over what a flavor does. NotFound for a pod that does not exist."""
    values = dict(given)
    if "pod" in values:
        values["pod_name"] = pods.get(parts.database, values.pop("pod")).name
    return replace(base, **values)


def _adopt(parts: Parts, call: Call, name: str, machine_id: str) -> Node:
    found = pods.get_machine(parts.database, machine_id)
    if found.composed and nodes.is_composing(parts.database, found.pod_id):
        raise Conflict(
            "A node of this pod is being composed or released, and the machine may be its own; try "
            "again when that has ended."
        )
    if tasks_db.open_of(parts.database, found.pod_id, found.uuid) is not None:
        raise Conflict(f"The machine {found.name!r} has tasks that have not ended.")
    new = NewNode(name, Requirements(), call.caller)
    candidate = Candidate(found.pod_id, 0, found.cpus, found.memory_mib, machine_id=found.id)
    made = nodes.reserve(parts.database, new, candidate)
    if made is None:
        raise Conflict(
            f"The machine {found.name!r} belongs to a node, or has tasks that have not ended."
        )
    return made


def _made(parts: Parts, call: Call, made: Node) -> Reply:
    location = f"{call.base}/v1/nodes/{quote(made.name, safe='')}"
    status = 202 if made.machine is None else 201
    return Reply({"node": views.node(made)}, status, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One."""
    return Reply({"node": views.node(_get(parts, call))})


def release(parts: Parts, call: Call) -> Reply:
    """Take it apart; where that is under way, answer with the task that does it."""
    known = _get(parts, call)
    target = known.uuid if known.machine is None else known.machine.uuid
    if known.state is NodeState.COMPOSING:
        # Its task sees this at its next step, and leaves nothing half made.
        open_task = tasks_db.open_of(parts.database, known.pod_id, target)
        if open_task is not None:
            tasks_db.cancel(parts.database, open_task.uuid)
    wish = Wish(PodService.COMPUTE, "release-node", known.pod_id, target)
    written = nodes.begin_release(parts.database, known, new_task(parts, call, wish))
    parts.wake_service(PodService.COMPUTE)
    task = (
        tasks_db.open_of(parts.database, known.pod_id, target)
        if written is None
        else tasks_db.get(parts.database, written)
    )
    if task is None:
        raise NotFound(f"The node {known.name!r} is gone.")
    return accepted(call, task)


def forget(parts: Parts, call: Call) -> Reply:
    """Forget it without asking its pod."""
    known = _get(parts, call)
    targets = {known.uuid} if known.machine is None else {known.uuid, known.machine.uuid}
    tasks_db.cancel_all(parts.database, known.pod_id, targets)
    nodes.forget(parts.database, known)
    return Reply(None, status=204)


def power(parts: Parts, call: Call) -> Reply:
    """Press the power button of its machine."""
    return _order(parts, call, "power-machine", {"action": call.body["action"]})


def boot(parts: Parts, call: Call) -> Reply:
    """Let its machine boot from something else."""
    parameters = {"device": call.body["device"], "once": call.body["once"]}
    return _order(parts, call, "boot-node", parameters)


def media(parts: Parts, call: Call) -> Reply:
    """Insert an image, or eject what is there."""
    return _order(parts, call, "media-node", {"image": call.body["image"]})


def boot_image(parts: Parts, call: Call) -> Reply:
    """Boot from an image, once."""
    return _order(parts, call, "boot-image-node", {"image": call.body["image"]})


def set_bios(parts: Parts, call: Call) -> Reply:
    """Change settings of its firmware."""
    return _order(parts, call, "bios-node", {"attributes": call.body["attributes"]})


def show_bios(parts: Parts, call: Call) -> Reply:
    """Read the settings of its firmware."""
    return _read(parts, call, "read-bios", "bios")


def update_firmware(parts: Parts, call: Call) -> Reply:
    """Install an image."""
    return _order(parts, call, "firmware-node", {"image": call.body["image"]})


def show_firmware(parts: Parts, call: Call) -> Reply:
    """Read the versions of its firmware."""
    return _read(parts, call, "read-firmware", "firmware")


def add_volume(parts: Parts, call: Call) -> Reply:
    """Make a volume of its drives."""
    volume = call.body["volume"]
    return _order(parts, call, "add-volume-node", volume, PodService.STORAGE)


def delete_volume(parts: Parts, call: Call) -> Reply:
    """Delete a volume."""
    _, machine = _ready(parts, call)
    volume = inventory.get_component(parts.database, call.parameters["volume"])
    if volume.kind is not ComponentKind.VOLUME or volume.machine != machine.uuid:
        raise NotFound(f"The node has no volume {call.parameters['volume']!r}.")
    parameters = {"volume": volume.uri}
    return _order(parts, call, "delete-volume-node", parameters, PodService.STORAGE)


def attach(parts: Parts, call: Call) -> Reply:
    """Reserve a resource block with drives, and attach it."""
    known, machine = _ready(parts, call)
    for _ in range(_TRIES):
        found = nodes.free_storage(parts.database, known, call.body["size_gib"])
        if found is None:
            raise Conflict("No free resource block of the node's zones has so much.")
        block, uri = found
        wish = Wish(PodService.STORAGE, "attach-node", machine.pod_id, machine.uuid, {"block": uri})
        written = nodes.take_block(parts.database, known.id, block, new_task(parts, call, wish))
        if written is not None:
            parts.wake_service(PodService.STORAGE)
            return accepted(call, tasks_db.get(parts.database, written))
    raise Conflict("Others took all fitting resource blocks at the same moment; try again.")


def detach(parts: Parts, call: Call) -> Reply:
    """Take a resource block from it."""
    block = inventory.get_component(parts.database, call.body["block"])
    if block.node_name != call.parameters["name"]:
        raise NotFound(f"The node has no resource block {call.body['block']!r}.")
    if block.cpus or block.memory_mib:
        raise Conflict(
            f"The resource block {block.name!r} has the node's processors or memory; only those "
            "with nothing but drives are detached. 'node delete' gives all of them back."
        )
    return _order(parts, call, "detach-node", {"block": block.uri}, PodService.STORAGE)


def _order(
    parts: Parts,
    call: Call,
    action: str,
    parameters: Mapping[str, Any],
    service: PodService = PodService.COMPUTE,
) -> Reply:
    known, machine = _ready(parts, call)
    given = {**parameters, "owner": known.uuid}
    return submit(parts, call, Wish(service, action, machine.pod_id, machine.uuid, given))


def _read(parts: Parts, call: Call, action: str, noun: str) -> Reply:
    """What a machine itself says now, or 202 with the task that reads it."""
    _, machine = _ready(parts, call)
    wish = Wish(PodService.COMPUTE, action, machine.pod_id, machine.uuid)
    read = awaited(parts, call, call.query.get("wait", schemas.USUAL_PATIENCE), wish)
    if isinstance(read, Reply):
        return read
    return Reply({noun: read[0].result}, headers={"Cache-Control": "no-store"})


def _ready(parts: Parts, call: Call) -> tuple[Node, Machine]:
    """A node that is ready, and its machine; raises NotFound and Conflict."""
    found = _get(parts, call)
    if found.state is not NodeState.READY or found.machine is None:
        raise Conflict(f"The node {found.name!r} is {found.state}.")
    return found, found.machine


def _get(parts: Parts, call: Call) -> Node:
    return nodes.get(parts.database, call.parameters["name"])


_PATH = "/v1/nodes/{name}"

#: All of /v1/nodes.
ROUTES = (
    Route(
        "GET",
        "/v1/nodes",
        "List nodes by name.",
        list_page,
        "headwater:nodes:list",
        policies.FLEET_READER,
        query=schemas.paged("name"),
        answers={200: schemas.listed("nodes", "Node")},
    ),
    Route(
        "POST",
        "/v1/nodes",
        "Compose a node of what fits best, or adopt a machine; 202 where a machine is made for it.",
        compose,
        "headwater:nodes:compose",
        policies.ADMIN,
        body=schemas.NEW_NODE,
        answers={201: schemas.single("node", "Node"), 202: schemas.single("node", "Node")},
    ),
    Route(
        "GET",
        _PATH,
        "Show a node and its machine.",
        show,
        "headwater:nodes:show",
        policies.FLEET_READER,
        answers={200: schemas.single("node", "Node")},
    ),
    Route(
        "POST",
        f"{_PATH}/power",
        "Switch a node on or off, shut it down or reset it.",
        power,
        "headwater:nodes:power",
        policies.ADMIN,
        body=schemas.POWER,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/boot",
        "Let a node boot from something else, once or from now on.",
        boot,
        "headwater:nodes:boot",
        policies.ADMIN,
        body=schemas.BOOT,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/media",
        "Insert an image into a node's virtual CD drive, or eject what is there.",
        media,
        "headwater:nodes:media",
        policies.ADMIN,
        body=schemas.MEDIA,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/boot_image",
        "Boot a node from an image: virtual CD, boot once, power.",
        boot_image,
        "headwater:nodes:boot_image",
        policies.ADMIN,
        body=schemas.BOOT_IMAGE,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/bios",
        "Change settings of a node's firmware; they hold from its next start on.",
        set_bios,
        "headwater:nodes:bios",
        policies.ADMIN,
        body=schemas.BIOS,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/firmware",
        "Let a node install firmware from an image.",
        update_firmware,
        "headwater:nodes:firmware",
        policies.ADMIN,
        body=schemas.FIRMWARE,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/volumes",
        "Make a volume of a node's drives.",
        add_volume,
        "headwater:nodes:add_volume",
        policies.ADMIN,
        body=schemas.NEW_VOLUME,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/attach",
        "Attach a resource block with drives to a composed node.",
        attach,
        "headwater:nodes:attach",
        policies.ADMIN,
        body=schemas.ATTACH,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "POST",
        f"{_PATH}/detach",
        "Take a resource block from a composed node.",
        detach,
        "headwater:nodes:detach",
        policies.ADMIN,
        body=schemas.DETACH,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "GET",
        f"{_PATH}/bios",
        "Read the settings of a node's firmware.",
        show_bios,
        "headwater:nodes:show_bios",
        policies.FLEET_READER,
        query=schemas.PATIENCE,
        answers={200: schemas.single("bios", "Bios"), 202: schemas.single("task", "Task")},
    ),
    Route(
        "GET",
        f"{_PATH}/firmware",
        "Read the versions of a node's firmware.",
        show_firmware,
        "headwater:nodes:show_firmware",
        policies.FLEET_READER,
        query=schemas.PATIENCE,
        answers={200: schemas.single("firmware", "Firmware"), 202: schemas.single("task", "Task")},
    ),
    Route(
        "DELETE",
        f"{_PATH}/volumes/{{volume}}",
        "Delete a volume of a node with what is on it.",
        delete_volume,
        "headwater:nodes:delete_volume",
        policies.ADMIN,
        answers={202: schemas.single("task", "Task")},
    ),
    Route(
        "DELETE",
        _PATH,
        "Forget a node without asking its pod, for pods that are gone: its machine counts as free.",
        forget,
        "headwater:nodes:forget",
        policies.ADMIN,
        answers={204: None},
    ),
    Route(
        "POST",
        f"{_PATH}/release",
        "Take a node apart: its machine is switched off, and then free for others or taken apart.",
        release,
        "headwater:nodes:release",
        policies.ADMIN,
        body=schemas.DEADLINE_ONLY,
        answers={202: schemas.single("task", "Task")},
    ),
)

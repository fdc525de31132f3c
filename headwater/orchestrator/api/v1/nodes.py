# SPDX-License-Identifier: Apache-2.0
"""/v1/nodes: machines that somebody has to himself."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headwater.common.errors import Conflict
from headwater.common.states import NodeState, PodService
from headwater.db import nodes, pods
from headwater.db.pod_records import Node, Requirements
from headwater.orchestrator.api import policies, schemas
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Call, Reply, Route
from headwater.orchestrator.api.v1 import views
from headwater.orchestrator.api.v1.tasks import submit


def list_page(parts: Parts, call: Call) -> Reply:
    """A page."""
    page = nodes.list_page(parts.database, limit=call.limit, marker=call.query.get("marker", ""))
    return call.page("nodes", [views.node(each) for each in page], lambda last: last["name"])


def compose(parts: Parts, call: Call) -> Reply:
    """Reserve a machine that fits."""
    given = call.body["node"]
    pod_name = given.get("pod")
    if pod_name is not None:
        pods.get(parts.database, pod_name)
    requirements = Requirements(pod_name, given.get("cpus"), given.get("memory_mib"))
    made = nodes.compose(parts.database, given["name"], requirements, call.caller)
    location = f"{call.base}/v1/nodes/{quote(made.name, safe='')}"
    return Reply({"node": views.node(made)}, 201, {"Location": location})


def show(parts: Parts, call: Call) -> Reply:
    """One."""
    return Reply({"node": views.node(_get(parts, call))})


def release(parts: Parts, call: Call) -> Reply:
    """Switch the machine off, and let others have it then."""
    nodes.begin_release(parts.database, call.parameters["name"])
    machine = _get(parts, call).machine
    return submit(parts, call, PodService.COMPUTE, "release-node", machine.pod_id, machine.uuid)


def power(parts: Parts, call: Call) -> Reply:
    """Press the power button of its machine."""
    return _order(parts, call, "power-machine", {"action": call.body["action"]})


def boot(parts: Parts, call: Call) -> Reply:
    """Let its machine boot from something else."""
    parameters = {"device": call.body["device"], "once": call.body.get("once", True)}
    return _order(parts, call, "boot-node", parameters)


def media(parts: Parts, call: Call) -> Reply:
    """Insert an image, or eject what is there."""
    return _order(parts, call, "media-node", {"image": call.body["image"]})


def boot_image(parts: Parts, call: Call) -> Reply:
    """Boot from an image, once."""
    return _order(parts, call, "boot-image-node", {"image": call.body["image"]})


def _order(parts: Parts, call: Call, action: str, parameters: Mapping[str, Any]) -> Reply:
    found = _get(parts, call)
    if found.state is not NodeState.READY:
        raise Conflict(f"The node {found.name!r} is being released.")
    machine = found.machine
    return submit(parts, call, PodService.COMPUTE, action, machine.pod_id, machine.uuid, parameters)


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
        "Compose a node: reserve the smallest free machine that fits.",
        compose,
        "headwater:nodes:compose",
        policies.ADMIN,
        body=schemas.NEW_NODE,
        answers={201: schemas.single("node", "Node")},
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
        f"{_PATH}/release",
        "Take a node apart: its machine is switched off, and then free for others.",
        release,
        "headwater:nodes:release",
        policies.ADMIN,
        body=schemas.DEADLINE_ONLY,
        answers={202: schemas.single("task", "Task")},
    ),
)

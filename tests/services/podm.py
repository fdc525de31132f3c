# SPDX-License-Identifier: Apache-2.0
"""A pod manager that composes: a layer of our own over a real sushy-emulator.

Nobody's emulator composes, updates firmware or makes volumes. This layer has resource blocks, zones
and tasks, and gives each composed system the body of one of the emulator's machines, which does
power, boot source and virtual media. It follows DMTF's DSP2050 and DSP0266 as we read them: what is
tested against it alone proves nothing about real pod managers.
"""

import json
import threading
import typing
from collections.abc import Callable, Mapping

import requests

from tests.services.emulator import Emulator
from tests.support.redfish import Handler, RedfishPeer
from tests.support.waiting import PATIENCE

ROOT = "/redfish/v1"
SYSTEMS = f"{ROOT}/Systems"
COMPOSITION = f"{ROOT}/CompositionService"
BLOCKS = f"{COMPOSITION}/ResourceBlocks"
ZONES = f"{COMPOSITION}/ResourceZones"
TASKS = f"{ROOT}/TaskService/Tasks"
UPDATE = f"{ROOT}/UpdateService"
SIMPLE_UPDATE = f"{UPDATE}/Actions/UpdateService.SimpleUpdate"
BMC = f"{UPDATE}/FirmwareInventory/BMC"

Json = dict[str, typing.Any]

#: Zone, processors, memory in MiB, drives in GiB.
Block = tuple[str, int, int, int]

_GIB = 2**30

USUAL_BLOCKS: Mapping[str, Block] = {
    "compute-1": ("1", 8, 32768, 0),
    "compute-2": ("1", 16, 65536, 0),
    "drives-1": ("1", 0, 0, 500),
    "drives-2": ("1", 0, 0, 1000),
    "compute-3": ("2", 32, 131072, 0),
    "drives-3": ("2", 0, 0, 2000),
}


class ComposingPod(RedfishPeer):
    """Serves at `url` as long as it is entered; the emulator's machines are the slots."""

    def __init__(self, emulator: Emulator, blocks: Mapping[str, Block] = USUAL_BLOCKS) -> None:
        super().__init__()
        self._emulator = emulator
        self._lock = threading.RLock()
        self._blocks = dict(blocks)
        self._slots: list[str] = [
            each["@odata.id"].rpartition("/")[2]
            for each in requests.get(emulator.url + SYSTEMS, timeout=PATIENCE).json()["Members"]
        ]
        #: Names of blocks by the slot that has them, and the composed systems' names.
        self.composed: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._bios: dict[str, Json] = {}
        self._pending: dict[str, Json] = {}
        self._volumes: dict[str, Json] = {}
        self.version = "1.0"
        #: Looks that an operation takes; 0: orders are answered when they are done.
        self.looks = 0
        #: Operations end as soon as this is set, however many looks are left.
        self.hurry = threading.Event()
        #: Operations end with this message, and change nothing.
        self.breaks: str | None = None
        self._tasks: dict[str, tuple[int, Callable[[], str | None]]] = {}
        self._ended: dict[str, Json] = {}
        self._number = 0

    def free(self) -> set[str]:
        """Names of the blocks that no system has."""
        with self._lock:
            taken = {name for names in self.composed.values() for name in names}
            return set(self._blocks) - taken

    def serve(self, handler: Handler, method: str, path: str) -> None:
        """Answer what the emulator cannot, and let it answer the rest."""
        with self._lock:
            document = self._document(path) if method == "GET" else None
            if document is not None:
                handler.answer(200, document)
            elif not self._ordered(handler, method, path):
                self._forward(handler, method, path)

    def _document(self, path: str) -> Json | None:
        parts = path.removeprefix(ROOT).strip("/").split("/")
        if path == SYSTEMS:
            return _collection(path, self.composed)
        if path in (BLOCKS, ZONES):
            zones = sorted({zone for zone, *_ in self._blocks.values()})
            return _collection(path, self._blocks if path == BLOCKS else zones)
        if path.startswith(f"{ZONES}/"):
            return {"@odata.id": path, "Id": parts[2], "Name": f"Zone {parts[2]}"}
        if path.startswith(f"{BLOCKS}/") and parts[2] in self._blocks:
            return self._block(path, parts[2], parts[3:])
        if path == COMPOSITION:
            return {
                "@odata.id": path,
                "Id": "CompositionService",
                "Name": "Composition Service",
                "ResourceBlocks": {"@odata.id": BLOCKS},
                "ResourceZones": {"@odata.id": ZONES},
            }
        if path.startswith(f"{TASKS}/"):
            return self._task(path)
        if path == UPDATE:
            return {
                "@odata.id": path,
                "Id": "UpdateService",
                "Name": "Update Service",
                "FirmwareInventory": {"@odata.id": f"{UPDATE}/FirmwareInventory"},
                "Actions": {"#UpdateService.SimpleUpdate": {"target": SIMPLE_UPDATE}},
            }
        if path == f"{UPDATE}/FirmwareInventory":
            return _collection(path, ["BMC"])
        if path == BMC:
            return {"@odata.id": path, "Id": "BMC", "Name": "BMC", "Version": self.version}
        return self._part(path, parts)

    def _part(self, path: str, parts: list[str]) -> Json | None:
        """Of a composed system: its BIOS and its storage."""
        if len(parts) < 3 or parts[0] != "Systems" or parts[1] not in self.composed:
            return None
        slot, rest = parts[1], "/".join(parts[2:])
        at = f"{SYSTEMS}/{slot}"
        if rest == "Bios":
            return {
                "@odata.id": path,
                "Attributes": self._bios[slot],
                "@Redfish.Settings": {"SettingsObject": {"@odata.id": f"{at}/Bios/Settings"}},
            }
        if rest == "Bios/Settings":
            return {"@odata.id": path, "Attributes": self._pending[slot]}
        if rest == "Storage":
            return _collection(path, ["1"])
        if rest == "Storage/1":
            return {
                "@odata.id": path,
                "Id": "1",
                "Drives": [{"@odata.id": f"{at}/Storage/1/Drives/1"}],
                "Volumes": {"@odata.id": f"{at}/Storage/1/Volumes"},
            }
        if rest == "Storage/1/Drives/1":
            return {"@odata.id": path, "Id": "1", "Name": "disk", "CapacityBytes": 960 * _GIB}
        if rest == "Storage/1/Volumes":
            mine = [each.rpartition("/")[2] for each in self._volumes if each.startswith(path)]
            return _collection(path, mine)
        return self._volumes.get(path)

    def _block(self, path: str, name: str, rest: list[str]) -> Json:
        zone, cpus, memory, drives = self._blocks[name]
        if rest:
            sizes = {
                "Processors": {"TotalCores": cpus},
                "Memory": {"CapacityMiB": memory},
                "Drives": {"CapacityBytes": drives * _GIB},
            }
            return {"@odata.id": path, "Id": rest[-1], **sizes[rest[0]]}
        holder = next((slot for slot, names in self.composed.items() if name in names), None)
        links: Json = {"Zones": [{"@odata.id": f"{ZONES}/{zone}"}]}
        if holder is not None:
            links["ComputerSystems"] = [{"@odata.id": f"{SYSTEMS}/{holder}"}]
        parts = {
            kind: [{"@odata.id": f"{path}/{kind}/1"}]
            for kind, size in (("Processors", cpus), ("Memory", memory), ("Drives", drives))
            if size
        }
        return {
            "@odata.id": path,
            "Id": name,
            "Name": name,
            "ResourceBlockType": ["Storage" if drives else "Compute"],
            "CompositionStatus": {"CompositionState": "Unused" if holder is None else "Composed"},
            "Status": {"State": "Enabled", "Health": "OK"},
            "Links": links,
            **parts,
        }

    def _ordered(self, handler: Handler, method: str, path: str) -> bool:
        """Whether it was an order that is taken here."""
        slot = path.removeprefix(f"{SYSTEMS}/").partition("/")[0]
        rest = path.removeprefix(f"{SYSTEMS}/{slot}")
        if method == "POST" and path == SYSTEMS:
            self._compose(handler)
        elif method == "POST" and path == SIMPLE_UPDATE:
            self._answer(handler, self._update)
        elif path.startswith(f"{SYSTEMS}/") and slot not in self.composed:
            handler.refuse(404)
        elif method == "DELETE" and not rest:
            self._answer(handler, lambda: self._decompose(slot))
        elif method == "PATCH" and rest == "/Bios/Settings":
            self._pending[slot].update(handler.document["Attributes"])
            handler.answer(204)
        elif method == "POST" and rest == "/Storage/1/Volumes":
            wanted = handler.document
            self._answer(handler, lambda: self._add_volume(path, wanted))
        elif method == "DELETE" and path in self._volumes:
            self._answer(handler, lambda: self._volumes.pop(path) and None)
        elif method == "POST" and rest.endswith("ResourceBlock"):
            block = handler.document["ResourceBlock"]["@odata.id"].rpartition("/")[2]
            self._answer(handler, lambda: self._change(slot, block, add=".Add" in rest))
        else:
            return False
        return True

    def _compose(self, handler: Handler) -> None:
        links = handler.document["Links"]["ResourceBlocks"]
        names = [each["@odata.id"].rpartition("/")[2] for each in links]
        wanted = str(handler.document["Name"])
        if not set(names) <= self.free():
            handler.refuse(409, "A resource block is in use.")
        elif len({self._blocks[name][0] for name in names}) > 1:
            handler.refuse(400, "The resource blocks are of different zones.")
        else:
            self._answer(handler, lambda: self._make(wanted, names))

    def _make(self, name: str, blocks: list[str]) -> str:
        slot = next(each for each in self._slots if each not in self.composed)
        self.composed[slot], self._names[slot] = blocks, name
        self._bios[slot] = {"BootMode": "Uefi", "NumLock": True}
        self._pending[slot] = {}
        return f"{SYSTEMS}/{slot}"

    def _decompose(self, slot: str) -> None:
        for each in (self.composed, self._names, self._bios, self._pending):
            each.pop(slot)

    def _update(self) -> None:
        self.version = f"{float(self.version) + 1:.1f}"

    def _add_volume(self, path: str, wanted: Json) -> str:
        self._number += 1
        at = f"{path}/{self._number}"
        self._volumes[at] = {"@odata.id": at, "Id": str(self._number), **wanted}
        return at

    def _change(self, slot: str, block: str, *, add: bool) -> None:
        names = self.composed[slot]
        self.composed[slot] = [*names, block] if add else [each for each in names if each != block]

    def _answer(self, handler: Handler, finish: Callable[[], str | None]) -> None:
        """Do it at once, or as a task."""
        if not self.looks:
            made = finish()
            handler.answer(
                204 if made is None else 201, None, **({"Location": made} if made else {})
            )
            return
        self._number += 1
        path = f"{TASKS}/{self._number}"
        self._tasks[path] = (self.looks, finish)
        document = {"@odata.id": path, "Id": str(self._number), "TaskState": "New"}
        handler.answer(202, document, Location=f"{path}/Monitor")

    def _task(self, path: str) -> Json | None:
        task = {"@odata.id": path, "Id": path.rpartition("/")[2], "Name": "Task"}
        if path in self._tasks:
            left, finish = self._tasks[path]
            if left and not self.hurry.is_set():
                self._tasks[path] = (left - 1, finish)
                percent = 100 - 100 * left // (self.looks + 1)
                return {**task, "TaskState": "Running", "PercentComplete": percent}
            del self._tasks[path]
            if self.breaks is not None:
                messages = [{"Message": self.breaks}]
                self._ended[path] = {"TaskState": "Exception", "Messages": messages}
            else:
                finish()
                self._ended[path] = {"TaskState": "Completed", "PercentComplete": 100}
        ended = self._ended.get(path)
        return None if ended is None else {**task, **ended}

    def _forward(self, handler: Handler, method: str, path: str) -> None:
        headers = {"Content-Type": "application/json"} if handler.body else {}
        answer = requests.request(
            method,
            self._emulator.url + path,
            data=handler.body or None,
            headers=headers,
            timeout=PATIENCE,
        )
        if method == "POST" and path.endswith("ComputerSystem.Reset") and answer.ok:
            self._started(path.split("/")[4], json.loads(handler.body)["ResetType"])
        if not answer.content:
            handler.answer(answer.status_code)
            return
        document = answer.json()
        if path == ROOT:
            document["CompositionService"] = {"@odata.id": COMPOSITION}
            document["UpdateService"] = {"@odata.id": UPDATE}
        slot = path.removeprefix(f"{SYSTEMS}/")
        if slot in self.composed:
            self._dress(document, slot)
        handler.answer(answer.status_code, document)

    def _started(self, slot: str, reset_type: str) -> None:
        if reset_type in ("On", "ForceRestart") and slot in self._bios:
            self._bios[slot].update(self._pending[slot])
            self._pending[slot].clear()

    def _dress(self, document: Json, slot: str) -> None:
        """What the emulator's machine says of itself, as the composed system."""
        at = f"{SYSTEMS}/{slot}"
        blocks = self.composed[slot]
        document["Name"] = self._names[slot]
        document["SystemType"] = "Composed"
        document["ProcessorSummary"] = {"Count": sum(self._blocks[each][1] for each in blocks)}
        memory = sum(self._blocks[each][2] for each in blocks) / 1024
        document["MemorySummary"] = {"TotalSystemMemoryGiB": memory}
        document["Bios"] = {"@odata.id": f"{at}/Bios"}
        document["Storage"] = {"@odata.id": f"{at}/Storage"}
        document["Links"]["ResourceBlocks"] = [{"@odata.id": f"{BLOCKS}/{each}"} for each in blocks]
        for action in ("AddResourceBlock", "RemoveResourceBlock"):
            target = f"{at}/Actions/ComputerSystem.{action}"
            document["Actions"][f"#ComputerSystem.{action}"] = {"target": target}


def _collection(path: str, names: typing.Iterable[str]) -> Json:
    members = [{"@odata.id": f"{path}/{name}"} for name in names]
    return {"@odata.id": path, "Name": "Collection", "Members": members}

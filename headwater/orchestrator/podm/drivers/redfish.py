# SPDX-License-Identifier: Apache-2.0
"""The drivers `bmc_fleet` and `redfish`: BMCs, and pod managers that compose (DMTF DSP2050)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import sushy

from headwater.common.errors import ExchangeError, HeadwaterError
from headwater.common.redact import secrets_among, secrets_in
from headwater.common.states import BootDevice, PowerAction
from headwater.db.pod_records import Reading, SeenComponent, SeenMachine
from headwater.orchestrator.podm.drivers import (
    Bios,
    Boot,
    DriverSettings,
    Inventory,
    NewVolume,
    Operation,
    PodRefused,
    Polled,
    Progress,
    documents,
)
from headwater.orchestrator.podm.drivers.connections import Absent, Connections, split
from headwater.orchestrator.podm.drivers.documents import Json, link, links, part

_RESETS: Mapping[PowerAction, Any] = {
    PowerAction.ON: sushy.RESET_ON,
    PowerAction.OFF: sushy.RESET_FORCE_OFF,
    PowerAction.SHUTDOWN: sushy.RESET_GRACEFUL_SHUTDOWN,
    PowerAction.RESET: sushy.RESET_FORCE_RESTART,
}

_SYSTEMS = "/redfish/v1/Systems"


class BmcFleet:
    """A list of BMCs as one pod: each address is one BMC with the systems that it shows."""

    def __init__(self, settings: DriverSettings):
        self._connections = Connections(settings)

    def inventory(self, address: str) -> Inventory:
        """Read the systems and the chassis of one BMC."""
        unread: list[str] = []
        machines = [
            documents.machine(uri, document)
            for uri, document in self._members(address, self._systems(address), unread)
        ]
        racks = [
            documents.chassis(uri, document)
            for uri, document in self._members(address, self._linked(address, "Chassis"), unread)
        ]
        return Inventory(machines, unread, racks)

    def drives(self, uri: str) -> Sequence[SeenComponent]:
        """Read the drives and volumes of all storage controllers."""
        address, _ = split(uri)
        found: list[SeenComponent] = []
        for _, controller in self._controllers(uri):
            for path in links(controller, "Drives"):
                found.append(
                    documents.drive(address + path, self._connections.read(address + path))
                )
            volumes = link(controller, "Volumes")
            found += [
                documents.volume(at, document) for at, document in self._all(address, volumes)
            ]
        return found

    def ports(self, uri: str) -> Sequence[SeenComponent]:
        """Read the Ethernet interfaces."""
        address, _ = split(uri)
        path = link(self._connections.read(uri), "EthernetInterfaces")
        return [documents.port(at, document) for at, document in self._all(address, path)]

    def poll(self, uri: str) -> Polled | None:
        """Read it and the sensors of the chassis that it is in."""
        document = self._connections.read_if_any(uri)
        if document is None:
            return None
        try:
            readings: Sequence[Reading] | None = list(self._readings(split(uri)[0], document))
        except (ExchangeError, PodRefused):
            readings = None
        return Polled(documents.machine(uri, document), readings)

    def _readings(self, address: str, system: Json) -> Iterator[Reading]:
        for path in links(part(system, "Links"), "Chassis"):
            chassis = self._connections.read(address + path)
            shown = {
                name: self._shown(address, chassis, name)
                for name in ("Thermal", "Power", "EnvironmentMetrics")
            }
            if not shown["Thermal"]:
                # What DMTF has put into its place.
                thermal = self._shown(address, chassis, "ThermalSubsystem")
                shown["ThermalMetrics"] = self._shown(address, thermal, "ThermalMetrics")
            yield from documents.readings(shown)

    def _shown(self, address: str, document: Json, name: str) -> Json:
        """What a document links to; empty where it does not, or where nothing is there."""
        path = link(document, name)
        return {} if path is None else self._connections.read_if_any(address + path) or {}

    def system(self, uri: str) -> SeenMachine | None:
        """Read it anew."""
        document = self._connections.read_if_any(uri)
        return None if document is None else documents.machine(uri, document)

    def power_state(self, uri: str) -> str | None:
        """Read it anew."""
        return documents.word(self._connections.read(uri).get("PowerState"))

    def power(self, uri: str, action: PowerAction) -> Operation | None:
        """Order it once."""
        return self._connections.order_system(
            uri, lambda system: system.reset_system(_RESETS[action])
        )

    def boot(self, uri: str) -> Boot:
        """Read the override of the boot source."""
        said = part(self._connections.read(uri), "Boot")
        enabled = said.get("BootSourceOverrideEnabled")
        if enabled not in ("Once", "Continuous"):
            return Boot(None, once=False)
        return Boot(documents.word(said.get("BootSourceOverrideTarget")), once=enabled == "Once")

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> Operation | None:
        """Override the boot source."""
        enabled = sushy.BOOT_SOURCE_ENABLED_ONCE if once else sushy.BOOT_SOURCE_ENABLED_CONTINUOUS
        source = sushy.BootSource(device.value)
        return self._connections.order_system(
            uri, lambda system: system.set_system_boot_options(source, enabled)
        )

    def media(self, uri: str) -> str | None:
        """Read the virtual CD drive."""
        said = self._connections.system(uri, lambda system: _cd_drive(system).json)
        image = said.get("Image")
        return image if said.get("Inserted") and isinstance(image, str) else None

    def set_media(self, uri: str, image: str | None) -> Operation | None:
        """Insert or eject; a drive that is full is emptied first."""
        drive = self._connections.system(uri, _cd_drive)
        ordered = None
        with self._connections.hiding(secrets_in(image)):
            if drive.json.get("Inserted"):
                ordered = self._connections.order_system(uri, lambda system: drive.eject_media())
            if image is not None:
                ordered = self._connections.order_system(
                    uri, lambda system: drive.insert_media(image)
                )
        return ordered

    def bios(self, uri: str) -> Bios:
        """Read what holds, and what waits for the next start."""
        address, path = self._bios(uri)
        now = self._connections.read(address + path)
        settings = link(now, "@Redfish.Settings", "SettingsObject")
        waits: Json = {}
        if settings is not None:
            waits = part(self._connections.read(address + settings), "Attributes")
        holds = part(now, "Attributes")
        # Some show all attributes there, also those that stay.
        pending = {name: value for name, value in waits.items() if holds.get(name) != value}
        return Bios(dict(holds), pending)

    def set_bios(self, uri: str, attributes: Mapping[str, Any]) -> Operation | None:
        """Change some where the service wants changes to be made."""
        address, path = self._bios(uri)
        now = self._connections.read(address + path)
        unknown = sorted(set(attributes) - set(part(now, "Attributes")))
        if unknown:
            raise PodRefused(f"The machine has no such BIOS attributes: {', '.join(unknown)}.")
        settings = link(now, "@Redfish.Settings", "SettingsObject") or path
        with self._connections.hiding(secrets_among(attributes)):
            return self._connections.change(
                address + settings, lambda present: {"Attributes": dict(attributes)}
            )

    def firmware(self, uri: str) -> Mapping[str, str]:
        """Read the inventory of the service behind the machine's address."""
        address, _ = split(uri)
        path = link(self._update_service(address), "FirmwareInventory")
        return {
            str(document.get("Name") or document.get("Id") or at): document["Version"]
            for at, document in self._all(address, path)
            if isinstance(document.get("Version"), str)
        }

    def update_firmware(self, uri: str, image: str) -> Operation | None:
        """SimpleUpdate; the machine is named where the service has several."""
        address, path = split(uri)
        service = self._update_service(address)
        action = documents.target(service, "#UpdateService.SimpleUpdate")
        if action is None:
            raise PodRefused("The service cannot update firmware from an address.")
        body: dict[str, Any] = {
            "ImageURI": image,
            "TransferProtocol": urlsplit(image).scheme.upper(),
        }
        if len(self._systems(address)) > 1:
            body["Targets"] = [path]
        with self._connections.hiding(secrets_in(image)):
            return self._connections.order("POST", address + action, body)

    def add_volume(self, uri: str, volume: NewVolume) -> Operation | None:
        """Make it on the first controller that has volumes."""
        address, _ = split(uri)
        for _, controller in self._controllers(uri):
            path = link(controller, "Volumes")
            if path is not None:
                body: dict[str, Any] = {
                    "Name": volume.name,
                    "CapacityBytes": volume.size_gib * 2**30,
                }
                if volume.raid is not None:
                    body["RAIDType"] = volume.raid
                return self._connections.order("POST", address + path, body)
        raise PodRefused("No storage controller of the machine can make volumes.")

    def delete_volume(self, uri: str, volume: str) -> Operation | None:
        """Delete one of the machine's own."""
        if split(volume)[0] != split(uri)[0]:
            raise PodRefused("The volume is not behind the machine's address.")
        try:
            return self._connections.order("DELETE", volume)
        except Absent:
            return None

    def compose(self, name: str, blocks: Sequence[str]) -> Operation | None:
        """Refused: these machines are what they are."""
        raise PodRefused(_FIXED)

    def composed(self, blocks: Sequence[str]) -> str | None:
        """Never."""
        return None

    def is_composing(self, blocks: Sequence[str]) -> bool:
        """Never."""
        return False

    def decompose(self, uri: str) -> Operation | None:
        """Refused."""
        raise PodRefused(_FIXED)

    def blocks(self, uri: str) -> Sequence[str]:
        """None."""
        return []

    def attach(self, uri: str, block: str) -> Operation | None:
        """Refused."""
        raise PodRefused(_FIXED)

    def detach(self, uri: str, block: str) -> Operation | None:
        """Refused."""
        raise PodRefused(_FIXED)

    def operation(self, uri: str) -> Progress:
        """Read its task or its monitor."""
        return self._connections.progress(uri)

    def subscribe(self, address: str, destination: str, context: str) -> str | None:
        """Subscribe where the service has events, instead of an earlier time with this context."""
        path = self._linked(address, "EventService")
        if path is None:
            return None
        subscriptions = link(self._connections.read(address + path), "Subscriptions")
        if subscriptions is None:
            return None
        # BMCs have few places for them: one whose answer was lost must not keep its.
        for uri in self._subscriptions(address, subscriptions, context):
            self.unsubscribe(uri)
        wanted = {
            "Destination": destination,
            "Context": context,
            "Protocol": "Redfish",
            "EventFormatType": "Event",
        }
        # Its last part is a secret, and BMCs repeat in their errors what they were given.
        with self._connections.hiding([destination.rpartition("/")[2]]):
            self._connections.order("POST", address + subscriptions, wanted)
        made = self._connections.created()
        if made is not None:
            return address + made
        return next(iter(self._subscriptions(address, subscriptions, context)), None)

    def _subscriptions(self, address: str, collection: str, context: str) -> list[str]:
        """Those with a context."""
        return [
            uri
            for uri, document in self._members(address, collection, [])
            if document.get("Context") == context
        ]

    def unsubscribe(self, subscription: str) -> None:
        """Delete it."""
        try:
            self._connections.order("DELETE", subscription)
        except Absent:
            return

    def _bios(self, uri: str) -> tuple[str, str]:
        path = link(self._connections.read(uri), "Bios")
        if path is None:
            raise PodRefused("The machine does not show its BIOS settings.")
        return split(uri)[0], path

    def _update_service(self, address: str) -> Json:
        path = self._linked(address, "UpdateService")
        if path is None:
            raise PodRefused("The service cannot update firmware.")
        return self._connections.read(address + path)

    def _controllers(self, uri: str) -> Iterator[tuple[str, Json]]:
        address, _ = split(uri)
        return self._all(address, link(self._connections.read(uri), "Storage"))

    def _linked(self, address: str, name: str) -> str | None:
        """Where the root leads to."""
        return link(self._connections.root(address), name)

    def _systems(self, address: str) -> list[str]:
        return self._connections.members(address, self._linked(address, "Systems") or _SYSTEMS)

    def _all(self, address: str, collection: str | None) -> Iterator[tuple[str, Json]]:
        """URIs and documents of a collection; none where there is no collection."""
        if collection is None:
            return
        paths = self._connections.members(address, collection)
        for uri, document in self._connections.read_all(address, paths):
            if isinstance(document, HeadwaterError):
                raise document
            yield uri, document

    def _members(
        self, address: str, where: str | list[str] | None, unread: list[str]
    ) -> Iterator[tuple[str, Json]]:
        """Like `_all`; members that cannot be read are named in `unread` and not skipped."""
        if where is None:
            return
        if isinstance(where, list):
            paths = where
        else:
            try:
                paths = self._connections.members(address, where)
            except PodRefused:
                unread.append(address + where)
                return
        for uri, document in self._connections.read_all(address, paths):
            if isinstance(document, HeadwaterError):
                unread.append(uri)
            else:
                yield uri, document


class PodManager(BmcFleet):
    """A pod manager: one address, whose machines are composed of resource blocks."""

    def inventory(self, address: str) -> Inventory:
        """Read systems, chassis, resource blocks and zones."""
        found = super().inventory(address)
        service = self._linked(address, "CompositionService")
        if service is None:
            return found
        document = self._connections.read(address + service)
        unread = list(found.unread)
        zones = self._members(address, link(document, "ResourceZones"), unread)
        blocks = self._members(address, link(document, "ResourceBlocks"), unread)
        components = [
            *found.components,
            *(documents.zone(uri, zone) for uri, zone in zones),
            *(self._block(uri, address, block) for uri, block in blocks),
        ]
        return Inventory(found.machines, unread, components)

    def _block(self, uri: str, address: str, document: Json) -> SeenComponent:
        names = ("Processors", "Memory", "Drives", "ComputerSystems")
        paths = [path for name in names for path in links(document, name)]
        read = self._connections.read_all(address, paths)
        # A part that cannot be read counts nothing; the block is there.
        parts = {split(at)[1]: each for at, each in read if not isinstance(each, HeadwaterError)}
        return documents.block(uri, address, document, parts)

    def compose(self, name: str, blocks: Sequence[str]) -> Operation | None:
        """Specific composition: a POST of the blocks to the systems.

        PodRefused where one of them is in use: the inventory may be old, and a machine of theirs
        would be taken for ours.
        """
        address, _ = split(blocks[0])
        for each in blocks:
            self._check_free(each)
        path = self._linked(address, "Systems") or _SYSTEMS
        return self._connections.order(
            "POST",
            address + path,
            {"Name": name, "Links": {"ResourceBlocks": [_reference(each) for each in blocks]}},
        )

    def composed(self, blocks: Sequence[str]) -> str | None:
        """Read which system the first of the blocks is in, and whether it has the others."""
        address, _ = split(blocks[0])
        block = self._connections.read_if_any(blocks[0]) or {}
        for path in links(part(block, "Links"), "ComputerSystems"):
            if set(self.blocks(address + path)) == set(blocks):
                return address + path
        return None

    def is_composing(self, blocks: Sequence[str]) -> bool:
        """Read what the blocks say; one that is gone says nothing."""
        found = (self._connections.read_if_any(each) or {} for each in blocks)
        return any(_composition_state(each) == "Composing" for each in found)

    def _check_free(self, block: str) -> None:
        document = self._connections.read(block)
        state = _composition_state(document)
        used = links(part(document, "Links"), "ComputerSystems")
        if used or state not in (None, "Unused") or document.get("Reserved") is True:
            raise PodRefused(
                f"The resource block {split(block)[1]} is in use ({state}); 'pod sync' reads the "
                "inventory anew."
            )

    def decompose(self, uri: str) -> Operation | None:
        """Delete the system; one that is gone is taken apart."""
        try:
            return self._connections.order("DELETE", uri)
        except Absent:
            return None

    def blocks(self, uri: str) -> Sequence[str]:
        """Read them of the system; none where it is gone."""
        address, _ = split(uri)
        document = self._connections.read_if_any(uri) or {}
        return [address + path for path in links(part(document, "Links"), "ResourceBlocks")]

    def attach(self, uri: str, block: str) -> Operation | None:
        """By the system's action, or (before DSP0268 2021.1) by its list of blocks."""
        path = split(block)[1]
        return self._change(uri, "AddResourceBlock", path, lambda present: [*present, path])

    def detach(self, uri: str, block: str) -> Operation | None:
        """The same the other way round."""
        path = split(block)[1]
        return self._change(
            uri, "RemoveResourceBlock", path, lambda present: [e for e in present if e != path]
        )

    def _change(
        self, uri: str, action: str, block: str, whole: Callable[[list[str]], list[str]]
    ) -> Operation | None:
        address, _ = split(uri)
        target = documents.target(self._connections.read(uri), f"#ComputerSystem.{action}")
        if target is not None:
            body = {"ResourceBlock": {"@odata.id": block}}
            return self._connections.order("POST", address + target, body)

        def listed(document: Json) -> Json:
            paths = whole(links(part(document, "Links"), "ResourceBlocks"))
            return {"Links": {"ResourceBlocks": [{"@odata.id": path} for path in paths]}}

        return self._connections.change(uri, listed)


_FIXED = "These machines are what they are: only a pod manager composes (driver redfish)."


def _composition_state(block: Json) -> object:
    return part(block, "CompositionStatus").get("CompositionState")


def _reference(uri: str) -> dict[str, str]:
    return {"@odata.id": split(uri)[1]}


def _cd_drive(system: Any) -> Any:
    """The virtual CD drive of a machine: its own, or (as it was before) its manager's."""
    if "VirtualMedia" in system.json:
        found = system.virtual_media.get_members()
    else:
        found = [drive for each in system.managers for drive in each.virtual_media.get_members()]
    for drive in found:
        kinds = drive.json.get("MediaTypes") or []
        if "CD" in kinds or "DVD" in kinds:
            return drive
    raise PodRefused("The machine has no virtual CD drive.")

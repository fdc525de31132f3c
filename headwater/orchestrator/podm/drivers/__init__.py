# SPDX-License-Identifier: Apache-2.0
"""Drivers: the only door to pods. Others are found by the entry points `headwater.pod_drivers`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from headwater.common.errors import HeadwaterError, Unreachable
from headwater.common.states import BootDevice, PowerAction
from headwater.db.pod_records import Reading, SeenComponent, SeenMachine


class PodRefused(HeadwaterError):
    """A pod answered that it will not do what it was asked, or with what nobody can read.

    `status` is that of its answer, where there is one.
    """

    def __init__(self, message: str, status: int | None = None):
        self.status = status
        super().__init__(message)


class Busy(Unreachable):
    """A pod was not asked, or has no time: that it does not answer is not said with it."""


class PodChanged(PodRefused):
    """What was to be changed was changed by somebody else meanwhile: nothing was written."""


@dataclass(frozen=True)
class DriverSettings:
    """How a driver reaches a pod; times in seconds."""

    username: str
    password: str
    #: File with the certificates of authorities; None: the system's.
    cafile: str | None
    connect_timeout: float
    #: Silence after which an answer is given up.
    timeout: float
    #: Use connections again.
    keep_alive: bool = False
    #: SHA-256 of the one certificate that is trusted, in hexadecimal, instead of authorities.
    fingerprint: str | None = None
    #: Calls of one process to one address at a time.
    calls_per_address: int = 4
    #: Calls in a row without an answer, after which an address is left alone for `pause`.
    breaker_failures: int = 3
    pause: float = 30.0


@dataclass(frozen=True)
class Inventory:
    """What one address of a pod shows."""

    machines: Sequence[SeenMachine]
    #: Members that are listed and could not be read: nothing is known about them now.
    unread: Sequence[str] = ()
    #: Chassis, resource blocks and zones.
    components: Sequence[SeenComponent] = ()


@dataclass(frozen=True)
class Polled:
    """What a machine showed at one time."""

    machine: SeenMachine
    #: None: its sensors could not be read.
    readings: Sequence[Reading] | None


@dataclass(frozen=True)
class Boot:
    """From what a machine boots next."""

    #: As the machine says it; None: as its own settings say.
    device: str | None
    #: Only the next time.
    once: bool


@dataclass(frozen=True)
class Operation:
    """An order that the pod took and works on; `uri` tells how far it has come."""

    uri: str


class Stage(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    #: The pod does not know it any more: it ended, nobody can tell how.
    GONE = "gone"


@dataclass(frozen=True)
class Progress:
    """How far an operation has come."""

    stage: Stage
    percent: int | None = None
    message: str | None = None
    #: Seconds after which the pod wants to be asked again.
    after: float | None = None


@dataclass(frozen=True)
class Bios:
    """Settings of a machine's firmware, as it names them."""

    attributes: Mapping[str, Any]
    #: Those that wait for the next start.
    pending: Mapping[str, Any]


@dataclass(frozen=True)
class NewVolume:
    """A volume that shall be made."""

    name: str
    size_gib: int
    #: As Redfish names it, such as RAID1; None: as the controller likes.
    raid: str | None = None


class PodDriver(Protocol):
    """One pod. Safe for many threads.

    Every method raises Unreachable (no answer, or "not now"), LoginRefused and PodRefused. Those
    that order something return an Operation where the pod is still at it, and raise NoAnswer where
    the order may have been taken. What a kind of pod cannot do is PodRefused.
    """

    def inventory(self, address: str) -> Inventory:
        """Read what stands behind one address of the pod."""

    def drives(self, uri: str) -> Sequence[SeenComponent]:
        """The drives and volumes of a machine."""

    def ports(self, uri: str) -> Sequence[SeenComponent]:
        """The network ports of a machine."""

    def poll(self, uri: str) -> Polled | None:
        """A machine and what its sensors show; None where there is none any more.

        Sensors that cannot be read raise nothing: power and health are known all the same.
        """

    def system(self, uri: str) -> SeenMachine | None:
        """A machine; None where there is none any more."""

    def power_state(self, uri: str) -> str | None:
        """`On`, `Off` or what else the machine says, None where it says nothing."""

    def power(self, uri: str, action: PowerAction) -> Operation | None:
        """Press the power button; the machine reaches the new state later."""

    def boot(self, uri: str) -> Boot:
        """From what the machine boots next."""

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> Operation | None:
        """Let it boot from something else."""

    def media(self, uri: str) -> str | None:
        """Address of the image that is in its virtual CD drive."""

    def set_media(self, uri: str, image: str | None) -> Operation | None:
        """Insert an image, instead of what is there, or (with None) eject what is there."""

    def bios(self, uri: str) -> Bios:
        """The settings of its firmware."""

    def set_bios(self, uri: str, attributes: Mapping[str, Any]) -> Operation | None:
        """Change some; they hold from its next start on."""

    def firmware(self, uri: str) -> Mapping[str, str]:
        """Versions of what can be updated in it, by name."""

    def update_firmware(self, uri: str, image: str) -> Operation | None:
        """Let it fetch an image and install it."""

    def add_volume(self, uri: str, volume: NewVolume) -> Operation | None:
        """Make a volume of its drives."""

    def delete_volume(self, uri: str, volume: str) -> Operation | None:
        """Delete one, by its URI, with what is on it."""

    def compose(self, name: str, blocks: Sequence[str]) -> Operation | None:
        """Make a machine of resource blocks, by their URIs."""

    def composed(self, blocks: Sequence[str]) -> str | None:
        """URI of the machine that is made of just these blocks; None while there is none."""

    def is_composing(self, blocks: Sequence[str]) -> bool:
        """Whether the pod is at making a machine of any of these blocks."""

    def decompose(self, uri: str) -> Operation | None:
        """Take a composed machine apart; its blocks are free then."""

    def blocks(self, uri: str) -> Sequence[str]:
        """URIs of the resource blocks that a machine is made of."""

    def attach(self, uri: str, block: str) -> Operation | None:
        """Add a resource block to a machine."""

    def detach(self, uri: str, block: str) -> Operation | None:
        """Take a resource block from a machine."""

    def operation(self, uri: str) -> Progress:
        """How far an operation has come."""

    def subscribe(self, address: str, destination: str, context: str) -> str | None:
        """Let events be sent to `destination`; the subscription's URI, None where it has none.

        One that was made with the same `context` before ends.
        """

    def unsubscribe(self, subscription: str) -> None:
        """End that; of one that is gone nothing is said."""


#: Makes a driver; nothing is sent yet.
DriverFactory = Callable[[DriverSettings], PodDriver]

# SPDX-License-Identifier: Apache-2.0
"""Drivers: the only door to pods. Others are found by the entry points `headwater.pod_drivers`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from headwater.common.errors import HeadwaterError
from headwater.common.states import BootDevice, PowerAction
from headwater.db.pod_records import SeenMachine


class PodRefused(HeadwaterError):
    """A pod answered that it will not do what it was asked, or with what nobody can read."""


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


@dataclass(frozen=True)
class Inventory:
    """What one address of a pod shows."""

    machines: Sequence[SeenMachine]
    #: Members that are listed and could not be read: nothing is known about them now.
    unread: Sequence[str] = ()


@dataclass(frozen=True)
class Boot:
    """From what a machine boots next."""

    #: As the machine says it; None: as its own settings say.
    device: str | None
    #: Only the next time.
    once: bool


class PodDriver(Protocol):
    """One pod. Safe for many threads.

    Every method raises Unreachable (no answer, or "not now"), LoginRefused and PodRefused; those
    that order something raise NoAnswer where the order may have been taken.
    """

    def inventory(self, address: str) -> Inventory:
        """Read what stands behind one address of the pod."""

    def power_state(self, uri: str) -> str | None:
        """`On`, `Off` or what else the machine says, None where it says nothing."""

    def power(self, uri: str, action: PowerAction) -> None:
        """Press the power button; the machine reaches the new state later."""

    def boot(self, uri: str) -> Boot:
        """From what the machine boots next."""

    def set_boot(self, uri: str, device: BootDevice, *, once: bool) -> None:
        """Let it boot from something else."""

    def media(self, uri: str) -> str | None:
        """Address of the image that is in its virtual CD drive."""

    def set_media(self, uri: str, image: str | None) -> None:
        """Insert an image, instead of what is there, or (with None) eject what is there."""


#: Makes a driver; nothing is sent yet.
DriverFactory = Callable[[DriverSettings], PodDriver]

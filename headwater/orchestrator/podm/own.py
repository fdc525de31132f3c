# SPDX-License-Identifier: Apache-2.0
"""Keeps our login from addresses that were taken out of a pod: others may have them by now."""

from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from headwater.orchestrator.podm.drivers import PodDriver, PodRefused

#: Ends what was begun at addresses that the pod had; nothing else goes there.
_ENDS = "unsubscribe"

_USUAL_PORTS = {"http": ":80", "https": ":443"}


class Foreign(PodRefused):
    """What a task is about is behind an address that the pod does not have: nothing was sent."""


def address_of(uri: str) -> str:
    """The address that a URI is behind, in one spelling."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        # Nobody could call it; it must not keep the others of its pod from being called.
        return uri.lower()
    usual = _USUAL_PORTS.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(usual)


def own_only(driver: PodDriver, addresses: Sequence[str]) -> PodDriver:
    """`driver`, which raises Foreign instead of calling any other address."""
    return cast("PodDriver", _OwnOnly(driver, addresses))


class _OwnOnly:
    """Looks at what each call is about, whatever methods a driver has."""

    def __init__(self, driver: PodDriver, addresses: Sequence[str]):
        self._driver = driver
        self._own = frozenset(map(address_of, addresses))

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._driver, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            # What a machine shall be called comes before what it is made of.
            about = arguments[1 if name == "compose" else 0]
            for uri in [about] if isinstance(about, str) else about:
                self._check(uri)
            return method(*arguments, **keywords)

        return method if name == _ENDS else call

    def _check(self, uri: str) -> None:
        address = address_of(uri)
        if address not in self._own:
            raise Foreign(
                f"The address {address} is no longer one of the pod's: nothing is sent there. "
                "Add it again with 'pod set --address', or forget a node that has machines there "
                "with 'node delete --force'."
            )

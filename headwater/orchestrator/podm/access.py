# SPDX-License-Identifier: Apache-2.0
"""Access to pods: a driver per pod, with that pod's own credentials."""

import os
import tempfile
import weakref
from dataclasses import dataclass
from importlib import metadata

import stevedore

from headwater.common.errors import InvalidInput
from headwater.common.secrets import KeyRing
from headwater.common.sessions import SessionCache
from headwater.db.pod_records import Pod
from headwater.orchestrator.podm.drivers import DriverSettings, PodDriver

_NAMESPACE = "headwater.pod_drivers"


@dataclass(frozen=True)
class PodAccessSettings:
    """The values of [pods]; times in seconds."""

    connect_timeout: float
    timeout: float
    keep_alive: bool = False
    calls_per_address: int = 4
    breaker_failures: int = 3
    pause: float = 30.0


def known_drivers() -> list[str]:
    """The names of the drivers that are installed; none of them is imported."""
    return sorted({found.name for found in metadata.entry_points(group=_NAMESPACE)})


class PodAccess:
    """Keeps one driver per pod, with its connections, until its access data change."""

    def __init__(self, key_ring: KeyRing, settings: PodAccessSettings):
        self._key_ring, self._settings = key_ring, settings
        self._drivers = SessionCache()

    def driver(self, pod: Pod) -> PodDriver:
        """The driver of a pod; nothing is sent yet. SecretUnreadable, InvalidInput."""
        made: PodDriver = self._drivers.get(pod.id, pod.updated_at, lambda: self._make(pod))
        return made

    def _make(self, pod: Pod) -> PodDriver:
        if pod.driver not in known_drivers():
            raise InvalidInput(
                f"Pod {pod.name!r} needs the driver {pod.driver!r}, which is not installed here; "
                f"installed are: {', '.join(known_drivers())}."
            )
        # Imported with its first pod: not every installation has one.
        factory = stevedore.DriverManager(_NAMESPACE, pod.driver).driver
        cafile = None if pod.ca_certificates is None else _file(pod.ca_certificates)
        made: PodDriver = factory(
            DriverSettings(
                username=pod.username,
                password=self._key_ring.decrypt(pod.credentials)["password"],
                cafile=cafile,
                connect_timeout=self._settings.connect_timeout,
                timeout=self._settings.timeout,
                keep_alive=self._settings.keep_alive,
                fingerprint=pod.tls_fingerprint,
                calls_per_address=self._settings.calls_per_address,
                breaker_failures=self._settings.breaker_failures,
                pause=self._settings.pause,
            )
        )
        if cafile is not None:
            # With the driver, or with the process.
            weakref.finalize(made, os.unlink, cafile)
        return made


def _file(certificates: str) -> str:
    """A file with certificates, as TLS libraries want it."""
    handle, path = tempfile.mkstemp(prefix="headwater-ca-", suffix=".pem")
    with os.fdopen(handle, "w") as file:
        file.write(certificates)
    return path

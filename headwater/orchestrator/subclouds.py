# SPDX-License-Identifier: Apache-2.0
"""Access to subclouds: a client per subcloud and service, with that subcloud's own credentials."""

from collections.abc import Callable
from dataclasses import dataclass

from headwater.common.secrets import KeyRing
from headwater.common.sessions import ServiceClient, SessionCache, password_session
from headwater.db.records import Subcloud


@dataclass(frozen=True)
class AccessSettings:
    """The values of [subclouds]; the timeout in seconds."""

    interface: str
    timeout: float
    cafile: str | None


class SubcloudAccess:
    """Makes clients; keeps one login session per subcloud until its access data change."""

    def __init__(self, key_ring: KeyRing, settings: AccessSettings):
        self._key_ring, self._settings = key_ring, settings
        self._sessions = SessionCache()

    def client(
        self, subcloud: Subcloud, service_type: str, guard: Callable[[], None]
    ) -> ServiceClient:
        """A client for one service, which calls `guard` before each call; nothing is sent yet.

        Raises SecretUnreadable.
        """

        def make() -> object:
            return password_session(
                auth_url=subcloud.auth_url,
                username=subcloud.username,
                password=self._key_ring.decrypt(subcloud.credentials)["password"],
                user_domain_name=subcloud.user_domain_name,
                project_name=subcloud.project_name,
                project_domain_name=subcloud.project_domain_name,
                timeout=self._settings.timeout,
                cafile=self._settings.cafile,
            )

        return ServiceClient(
            self._sessions.get(subcloud.id, subcloud.updated_at, make),
            service_type=service_type,
            interface=self._settings.interface,
            region_name=subcloud.region_name,
            guard=guard,
        )

# SPDX-License-Identifier: Apache-2.0
"""What proxies in front of a service say of its clients, and whose word counts."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from headwater.common.errors import ConfigurationError

_Address = IPv4Address | IPv6Address


class TrustedProxies:
    """The networks of `trusted_proxies`: what a peer in them says is believed, and no other's word.

    Raises ConfigurationError, which names `option`, for a text that is no address and no network.
    """

    def __init__(self, option: str = "", networks: Sequence[str] = ()):
        self._networks = []
        for text in networks:
            try:
                self._networks.append(ip_network(text))
            except ValueError as error:
                raise ConfigurationError(f"{option} = {text}: {error}.") from None

    def scheme(self, environ: Mapping[str, Any]) -> str:
        """The scheme by which a client came: its proxy's X-Forwarded-Proto, or the server's own."""
        said = str(environ.get("HTTP_X_FORWARDED_PROTO", "")).strip().lower()
        if said in ("http", "https") and self._trusts(_address(environ.get("REMOTE_ADDR"))):
            return said
        return str(environ.get("wsgi.url_scheme", "http"))

    def client(self, environ: Mapping[str, Any]) -> str:
        """The address of a client: the last one of X-Forwarded-For that no proxy of ours has."""
        peer = str(environ.get("REMOTE_ADDR") or "")
        said = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        for each in reversed(said.split(",")):
            if not self._trusts(_address(peer)):
                break
            found = _address(each)
            if found is None:
                break
            peer = str(found)
        return peer

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: object) -> _Address | None:
    """An address, also as a proxy may write it: with a port, or in brackets."""
    said = str(text or "").strip()
    if said.startswith("["):
        said = said[1:].partition("]")[0]
    elif said.count(":") == 1:
        said = said.partition(":")[0]
    try:
        found = ip_address(said)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found

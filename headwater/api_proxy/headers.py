# SPDX-License-Identifier: Apache-2.0
"""Which headers pass the gateway, and in which form."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address

from headwater.api_proxy.faults import Fault

Headers = Sequence[tuple[str, str]]

#: RFC 9110, 7.6.1: they belong to one connection and are never forwarded. `Expect` is answered by
#: the server in front, which has the body already when we forward.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

#: What keystonemiddleware's auth_token adds; a client must not be able to say it upstream.
_IDENTITY_PREFIXES = (
    "x-domain-",
    "x-identity-",
    "x-is-admin-project",
    "x-project-",
    "x-role",
    "x-service-catalog",
    "x-service-domain-",
    "x-service-identity-",
    "x-service-project-",
    "x-service-role",
    "x-service-user-",
    "x-system-scope",
    "x-tenant",
    "x-token-info",
    "x-user",
    "openstack-system-scope",
)

#: What a client must not say of itself either: services believe these words of a proxy, RFC 7239's
#: before the others.
_SAID_BY_PROXIES = frozenset(
    {
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
    }
)

#: How the gateway names itself in Via, and by which it knows its own exchanges.
_PSEUDONYM = "headwater"


def upstream(headers: Headers, *, scheme: str, host: str, peer: str, version: str) -> Headers:
    """The headers of a client's exchange as the central cloud gets them."""
    dropped = HOP_BY_HOP | _connection_options(headers)
    kept = []
    via, forwarded_for = [], []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "via":
            via.append(value)
        elif lowered == "x-forwarded-for":
            forwarded_for.append(value)
        # To a WSGI application X_User_Id and X-User-Id are the same: names with an underscore are
        # dropped, as other gateways do.
        elif lowered in dropped or "_" in lowered or lowered.startswith(_IDENTITY_PREFIXES):
            continue
        elif lowered not in _SAID_BY_PROXIES and lowered != "content-length":
            kept.append((name, value))
    if not any(name.lower() == "host" for name, _ in kept):  # HTTP/1.0
        kept.append(("Host", host))
    kept += [
        ("X-Forwarded-For", ", ".join([*forwarded_for, _address(peer)])),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", scheme),
        ("Via", ", ".join([*via, f"{version} {_PSEUDONYM}"])),
    ]
    return kept


def refuse_loop(headers: Headers) -> None:
    """Raise Fault 508 when an exchange has passed the gateway before."""
    via = (value for name, value in headers if name.lower() == "via")
    if any(_names_us(element) for value in via for element in value.split(",")):
        raise Fault(508, "The exchange has passed this gateway before: an upstream points to it.")


def downstream(
    headers: Iterable[tuple[str, str]], *, chunked: bool = False
) -> list[tuple[str, str]]:
    """The headers of the central cloud's answer as the client gets them.

    A Content-Length beside a chunked body is wrong (RFC 9112, 6.3).
    """
    listed = list(headers)
    dropped = HOP_BY_HOP | _connection_options(listed)
    if chunked:
        dropped |= {"content-length"}
    return [(name, value) for name, value in listed if name.lower() not in dropped]


def _connection_options(headers: Headers) -> frozenset[str]:
    """Names that a Connection header adds to the hop-by-hop ones."""
    return frozenset(
        option.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for option in value.split(",")
    )


def _names_us(element: str) -> bool:
    parts = element.split()
    return len(parts) > 1 and parts[1] == _PSEUDONYM


def _address(peer: str) -> str:
    """A peer's address as X-Forwarded-For writes it; `unknown` for a Unix socket."""
    try:
        address = ip_address(peer)
    except ValueError:
        return "unknown"
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)

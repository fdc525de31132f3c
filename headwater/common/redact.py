# SPDX-License-Identifier: Apache-2.0
"""Keeps secrets out of texts that are logged, stored or shown."""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

_MASK = "***"
#: A shorter secret would mask harmless parts of a text and so give itself away.
_SHORTEST = 3

#: What settings say all the time and no password is: masked, no error about one could be read.
_COMMON = frozenset({"auto", "default", "disabled", "enabled", "false", "none", "true"})


def scrub(text: str, secrets: Iterable[object]) -> str:
    """`text` with every occurrence of a secret value masked; values that are no strings too."""
    values = set()
    for secret in secrets:
        if secret is not None:
            # As it is, and as JSON writes it.
            plain = str(secret)
            values |= {plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _MASK)
    return text


def shorten(text: str, limit: int = 300) -> str:
    """`text` on one line of at most `limit` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def storable(text: str) -> str:
    """A text as every database takes it: without NUL and without halves of characters.

    Clouds' answers have both, as JSON allows them.
    """
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def printable(text: str) -> str:
    """A storable text without characters that do something to a terminal."""
    return "".join(each if each.isprintable() else " " for each in storable(text))


def fitting(text: str | None) -> str | None:
    """A text that only people read, storable and as long as most columns."""
    return None if text is None else storable(text)[:255]


def secrets_in(address: str | None) -> list[str]:
    """What of an address must not be told: all of it, and its query, which may be a signature."""
    if address is None:
        return []
    query = urlsplit(address).query
    return [each for each in (address, unquote(address), query, unquote(query)) if each]


def secrets_among(settings: Mapping[str, object]) -> list[str]:
    """The texts among settings that may be passwords: nothing but the machine knows which are.

    So all of them, also where that masks a harmless word; those that are too short for any
    password that a machine would take are left to `scrub`.
    """
    return [
        value
        for value in settings.values()
        if isinstance(value, str) and value.casefold() not in _COMMON
    ]

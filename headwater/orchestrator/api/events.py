# SPDX-License-Identifier: Apache-2.0
"""Progress as server-sent events, as it comes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from headwater.common.errors import NotFound
from headwater.orchestrator.watch import Watch

_Record = TypeVar("_Record")

#: Seconds after which a stream says that it still lives.
_ALIVE = 15.0


def events_of(
    watching: Watch[_Record],
    record: _Record,
    view: Callable[[_Record], dict[str, Any]],
    last: str | None,
) -> Iterator[bytes]:
    """The stream of a record's progress, as text/event-stream, until it has ended.

    Each event has the whole document, so one that was missed is no loss: a client that comes back
    with the id of its last event gets the present state, unless it has that already.
    """
    while True:
        document = view(record)
        key = _event_id(document)
        ended = watching.ended(record)
        if key != last or ended:
            last = key
            yield _event("end" if ended else "progress", key, document)
        if ended:
            return
        try:
            now = watching.changed(record, _ALIVE)
        except NotFound:
            yield _event("end", key, document)
            return
        if now == record:
            yield b": alive\n\n"
        record = now


def _event(name: str, key: str, document: dict[str, Any]) -> bytes:
    data = json.dumps(document, separators=(",", ":"))
    return f"id: {key}\nevent: {name}\ndata: {data}\n\n".encode()


def _event_id(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

# SPDX-License-Identifier: Apache-2.0
"""How jobs and tasks come on, as the service tells it: event streams that are taken up again."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from osc_lib import exceptions

from headwater.client.rest import Api, Json, path_of

#: Seconds before a stream that broke off is taken up again.
_PAUSE = 1.0

#: Breaks in a row without any news after which the user is told.
_MOST_BREAKS = 30


@dataclass(frozen=True)
class Kind:
    """What can be followed."""

    #: In paths, and for people.
    noun: str
    one: str
    #: The command that shows one.
    show: str
    #: States in which it does not come on any more by itself.
    ends: tuple[str, ...]


JOB = Kind("jobs", "job", "orchestration job show", ("completed", "failed"))
TASK = Kind("tasks", "task", "pod task show", ("completed", "failed", "cancelled", "timed-out"))


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    key: str
    name: str
    data: str


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream (HTML standard, section 9.2); comments are skipped."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), fields["data"])
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            value = f"{fields['data']}\n{value}"
        if name:
            fields[name] = value


def follow(
    api: Api, kind: Kind, name: str, pause: Callable[[float], object] = time.sleep
) -> Iterator[Json]:
    """The document each time it has come on, the last time when it has ended.

    A stream that breaks off is taken up where it was. Raises CommandError.
    """
    last, breaks = None, 0
    while True:
        try:
            for event in parse(api.stream(path_of(kind.noun, name, "events"), last)):
                last, breaks = event.key, 0
                yield json.loads(event.data)
                if event.name == "end":
                    return
        except ConnectionError:
            pass
        breaks += 1
        if breaks > _MOST_BREAKS:
            raise exceptions.CommandError(
                f"The connection to headwater's API breaks again and again. The {kind.one} goes "
                f"on; 'openstack {kind.show} {name}' tells how far it is."
            )
        pause(_PAUSE)

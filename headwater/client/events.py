# SPDX-License-Identifier: Apache-2.0
"""How a job comes on, as the service tells it: an event stream that is taken up again."""

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

#: States of a job in which nothing is left to run.
ENDS = ("completed", "failed")


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


def follow(api: Api, job_id: str, pause: Callable[[float], object] = time.sleep) -> Iterator[Json]:
    """The job each time it has come on, the last time when nothing of it is left to run.

    A stream that breaks off is taken up where it was. Raises CommandError.
    """
    last, breaks = None, 0
    while True:
        try:
            for event in parse(api.stream(path_of("jobs", job_id, "events"), last)):
                last, breaks = event.key, 0
                yield json.loads(event.data)
                if event.name == "end":
                    return
        except ConnectionError:
            pass
        breaks += 1
        if breaks > _MOST_BREAKS:
            raise exceptions.CommandError(
                f"The connection to headwater's API breaks again and again. The job goes on; "
                f"'openstack orchestration job show {job_id}' tells how far it is."
            )
        pause(_PAUSE)

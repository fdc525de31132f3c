# SPDX-License-Identifier: Apache-2.0
"""POST /v1/pod_events/SECRET: where pods send the events that they were asked for.

Pods have no token. The secret, which only one address of one pod was given, says who is sending; it
is taken out of the path before anything can log it. Nothing that comes is believed further than
that: it is bounded, cleaned, written down as that pod's, and lets its machine be read.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import webob

from headwater.common.errors import HeadwaterError, InvalidInput
from headwater.common.redact import printable, scrub, shorten
from headwater.common.states import EventSource, PodService, Severity
from headwater.db import pod_events, subscriptions, telemetry
from headwater.db.telemetry_records import NewEvent
from headwater.orchestrator.api import errors
from headwater.orchestrator.api.parts import Parts

_PREFIX = "/v1/pod_events/"
_SECRET = "headwater.event_secret"  # noqa: S105 - a key

#: Bytes of the longest body, and events of one that are taken.
_LONGEST_BODY, _MOST_EVENTS = 65536, 50

#: Events of one address that one process takes within a minute.
_MOST_PER_MINUTE = 300

_FORM = re.compile(r"[A-Za-z0-9_-]{43}\Z")

_SEVERITIES: Mapping[str, Severity] = {
    "OK": Severity.OK,
    "Warning": Severity.WARNING,
    "Critical": Severity.CRITICAL,
}


def claims(environ: dict[str, Any]) -> bool:
    """Whether a call is for the receiver; the secret is out of its path then."""
    # Proxies and clients may double slashes; the secret must be found all the same.
    path = re.sub("/+", "/", environ.get("PATH_INFO", ""))
    secret = path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else ""
    if not secret:
        return False
    environ[_SECRET], environ["PATH_INFO"] = secret, f"{_PREFIX}***"
    return True


@dataclass(frozen=True)
class Received:
    """An event as a pod sent it, cleaned."""

    kind: str
    severity: Severity
    message: str
    #: What it is about, on the address that sent it.
    path: str | None


class Receiver:
    """A WSGI application for the calls that it claims."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._lock = threading.Lock()
        #: Events of this minute by pod and address.
        self._minute, self._taken = 0, Counter[tuple[int, str]]()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Take the events of one call (PEP 3333); 204, or why they are not taken."""
        request_id = environ[errors.REQUEST_ID]
        try:
            refusal = self._take(environ)
        except HeadwaterError as error:
            status = errors.status(error)
            refusal = (status, str(error) if status < 500 else None)
        if refusal is None:
            answer = webob.Response(status=204)
        else:
            # The body may be unread, and then the connection cannot be used again.
            extra = {"Connection": "close"}
            if refusal[0] == 405:
                extra["Allow"] = "POST"
            answer = errors.response(*refusal, request_id, extra)
        answered: Iterable[bytes] = answer(environ, start_response)
        return answered

    def _take(self, environ: Mapping[str, Any]) -> tuple[int, str | None] | None:
        secret = environ[_SECRET]
        if not _FORM.match(secret):
            return 404, None
        # Before the body is read: whoever does not know a secret costs one look at an index.
        pod_id, address = subscriptions.sender(self._parts.database, secret)
        if environ["REQUEST_METHOD"] != "POST":
            return 405, None
        received = parse(_body(environ), secret)
        room = self._room(pod_id, address, len(received))
        if room:
            self._store(pod_id, address, received[:room])
        return None

    def _room(self, pod_id: int, address: str, wanted: int) -> int:
        """How many events of an address are taken now: a BMC that is broken silences no other."""
        with self._lock:
            minute = int(time.monotonic() // 60)
            if minute != self._minute:
                self._minute, self._taken = minute, Counter()
            room = min(wanted, max(0, _MOST_PER_MINUTE - self._taken[pod_id, address]))
            self._taken[pod_id, address] += room
        return room

    def _store(self, pod_id: int, address: str, received: list[Received]) -> None:
        database = self._parts.database
        # Without a path too: where an address has one machine, it is that.
        paths = sorted({each.path or "" for each in received})
        machines = pod_events.machines_of(database, pod_id, address, paths)
        about = [machines.get(each.path or "") for each in received]
        events = [
            NewEvent(
                None if machine is None else machine[0],
                each.kind,
                each.severity,
                each.message,
                EventSource.REDFISH,
            )
            for each, machine in zip(received, about, strict=True)
        ]
        taken = pod_events.receive(database, pod_id, events)
        if not taken or not telemetry.policies_of(database, pod_id):
            # Nothing is polled that no policy is about.
            return
        if None in about[:taken]:
            telemetry.ask_pod(database, pod_id)
        parameters = self._parts.key_ring.encrypt({})
        asked = [
            telemetry.ask_machine(database, pod_id, uuid, parameters)
            for uuid in sorted({machine[1] for machine in about[:taken] if machine})
        ]
        if any(asked):
            self._parts.wake_service(PodService.TELEMETRY)


def _body(environ: Mapping[str, Any]) -> object:
    """The JSON of a body that is not too long. Raises InvalidInput."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise InvalidInput("The header Content-Length is no number.") from None
    if "HTTP_TRANSFER_ENCODING" in environ or not 0 < length <= _LONGEST_BODY:
        raise InvalidInput(
            f"The body must have 1 to {_LONGEST_BODY} bytes, and a Content-Length that says so."
        )
    try:
        return json.loads(environ["wsgi.input"].read(length))
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON.") from None


def parse(document: object, secret: str) -> list[Received]:
    """The first events of a Redfish Event (DSP0266). Raises InvalidInput."""
    events = document.get("Events") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise InvalidInput("The body is no Redfish Event: it has no list of Events.")
    return [_event(each, secret) for each in events[:_MOST_EVENTS] if isinstance(each, dict)]


def _event(said: Mapping[str, Any], secret: str) -> Received:
    def text(*names: str) -> str:
        found = next((said[name] for name in names if isinstance(said.get(name), str)), "")
        return shorten(scrub(printable(found), [secret]), 1000)

    kind = text("MessageId", "EventType") or "event"
    severity = _SEVERITIES.get(text("MessageSeverity", "Severity"), Severity.OK)
    return Received(kind, severity, text("Message") or kind, _path(said))


def _path(said: Mapping[str, Any]) -> str | None:
    """OriginOfCondition: a link, or a text as before Redfish 1.0.5."""
    origin = said.get("OriginOfCondition")
    path = origin.get("@odata.id") if isinstance(origin, dict) else origin
    if not isinstance(path, str) or not path.startswith("/") or len(path) > 1024:
        return None
    try:
        return printable(urlsplit(path).path) or None
    except ValueError:
        # Such as brackets that are no address.
        return None

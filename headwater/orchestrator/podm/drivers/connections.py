# SPDX-License-Identifier: Apache-2.0
"""Redfish services, through sushy: connections, logins, answers and their meanings.

Nothing outside this package knows sushy, whose traps are gone round here:

- An order is sent once: sushy would send it again when the answer is late.
- `Retry-After`, which its errors do not carry, is taken from the answer itself.
- Answers that are no JSON raise something that is no error of sushy's.
- After a 412 it writes again without the condition: here nothing is written then.
- Its task monitor takes any answer of a task for its end, and breaks on a number of seconds: an
  operation is judged by its TaskState alone (DSP0266, "Asynchronous operations").
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import sushy
from requests.adapters import HTTPAdapter
from sushy import connector, exceptions

from headwater.common.errors import HeadwaterError, LoginRefused, NoAnswer, Unreachable
from headwater.common.redact import shorten
from headwater.orchestrator.podm.drivers import (
    DriverSettings,
    Operation,
    PodChanged,
    PodRefused,
    Progress,
    Stage,
)

_Result = TypeVar("_Result")

#: Answers that say "not now".
_BUSY = frozenset({429, 502, 503, 504})

#: The answer to a write whose condition, an ETag, does not hold.
_CHANGED = 412

#: Answers that say "there is no such thing".
_ABSENT = frozenset({404, 410})

#: What calls raise; the latter three where an answer has another shape than sushy expects.
_KNOWN_ERRORS = (exceptions.SushyError, ValueError, AttributeError, TypeError)

#: States in which a task has ended, after DMTF's schema Task.
_SUCCEEDED = frozenset({"Completed"})
_FAILED = frozenset({"Exception", "Killed", "Cancelled"})

Json = Mapping[str, Any]


@dataclass
class _Address:
    """What is known about one address of a pod."""

    root: Any = None
    connector: Any = None
    #: Calls in a row without an answer.
    silences: int = 0
    #: Until when (monotonic) it is left alone.
    closed_until: float = 0.0
    #: One login at a time: a hundred calls that begin at once need one.
    login: threading.Lock = field(default_factory=threading.Lock)


class Connections:
    """One root per address is kept: logging in costs more than a call. Safe for many threads."""

    def __init__(self, settings: DriverSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._addresses: dict[str, _Address] = {}
        self._limits: dict[str, threading.BoundedSemaphore] = {}
        self._last = threading.local()

    def root(self, address: str) -> Json:
        """The service's root document, as it was at the login."""
        document: Json = self._call(address, lambda known: known.root.json)
        return document

    def system(self, uri: str, use: Callable[[Any], _Result]) -> _Result:
        """What `use` makes of sushy's object of a system, read anew; changes nothing."""
        address, path = split(uri)
        return self._call(address, lambda known: use(known.root.get_system(path)))

    def order_system(self, uri: str, use: Callable[[Any], object]) -> Operation | None:
        """Let `use` order one thing with sushy's object of a system."""
        address, path = split(uri)
        system = self._call(address, lambda known: known.root.get_system(path))
        return self._ordered(address, lambda known: use(system))

    def read(self, uri: str) -> Json:
        """A document; PodRefused where it is no JSON object."""
        address, path = split(uri)

        def get(known: _Address) -> Json:
            document = known.connector.get(path).json()
            if not isinstance(document, dict):
                raise PodRefused(f"{path}: no JSON object.")
            return document

        return self._call(address, get)

    def read_if_any(self, uri: str) -> Json | None:
        """A document; None where the service says that there is none."""
        try:
            return self.read(uri)
        except Absent:
            return None

    def order(self, method: str, uri: str, body: Json | None = None) -> Operation | None:
        """Send an order once."""
        address, path = split(uri)
        return self._ordered(
            address,
            lambda known: getattr(known.connector, method.lower())(path, data=body),
        )

    def created(self) -> str | None:
        """The path in the Location of this thread's last answer."""
        location: str | None = getattr(self._last, "location", None)
        return location

    def progress(self, uri: str) -> Progress:
        """How far an operation has come, by what its task or its monitor says."""
        try:
            state = self.read_state(uri)
        except Absent:
            return Progress(Stage.GONE)
        except PodRefused as error:
            # A monitor answers as the order itself would have: it was refused in the end.
            return Progress(Stage.FAILED, message=str(error))
        return state

    def read_state(self, uri: str) -> Progress:
        """Read the task or the monitor. Raises what reading raises."""
        address, path = split(uri)

        def get(known: _Address) -> Progress:
            answer = known.connector.get(path)
            document: Any = {}
            if answer.content:
                document = answer.json()
            said = document if isinstance(document, dict) else {}
            return _progress(answer.status_code, said, self._retry_after())

        return self._call(address, get)

    def _ordered(self, address: str, send: Callable[[_Address], object]) -> Operation | None:
        def ordered(known: _Address) -> Operation | None:
            self._last.operation = None
            # sushy makes something of the answer to an order, and may break on it: what it said was
            # taken down before that.
            with contextlib.suppress(exceptions.MissingHeaderError):
                send(known)
            path: str | None = self._last.operation
            return None if path is None else Operation(address + path)

        return self._call(address, ordered, order=True)

    def _call(
        self, address: str, call: Callable[[_Address], _Result], *, order: bool = False
    ) -> _Result:
        """Call, and translate errors by meaning."""
        with self._turn(address) as known:
            self._last.retry_after = ""
            self._last.location = None
            began = False
            try:
                if known.root is None:
                    self._log_in(address, known)
                began = True
                result = call(known)
            except _KNOWN_ERRORS as error:
                raise self._meant(known, error, order=order and began) from error
            known.silences = 0
            return result

    @contextlib.contextmanager
    def _turn(self, address: str) -> Iterator[_Address]:
        """Hold one of the few places of an address. Unreachable: it is left alone, or busy."""
        settings = self._settings
        with self._lock:
            known = self._addresses.setdefault(address, _Address())
            places = self._limits.setdefault(
                address, threading.BoundedSemaphore(settings.calls_per_address)
            )
        self._check_open(known)
        if not places.acquire(timeout=settings.timeout):
            raise Unreachable(
                f"{settings.calls_per_address} calls to {address} are still unanswered."
            )
        try:
            # It may have been closed while this call waited for its turn.
            self._check_open(known)
            yield known
        finally:
            places.release()

    def _check_open(self, known: _Address) -> None:
        left = known.closed_until - time.monotonic()
        if left > 0:
            raise Unreachable(
                f"Left alone after {known.silences} calls without an answer; it is asked again in "
                f"{left:.0f} s.",
                retry_after=left,
            )

    def _silent(self, known: _Address) -> None:
        known.silences += 1
        if known.silences >= self._settings.breaker_failures:
            known.closed_until = time.monotonic() + self._settings.pause

    def _meant(self, known: _Address, error: Exception, *, order: bool) -> HeadwaterError:
        """What an error means for whoever called."""
        match error:
            case exceptions.AccessError():
                return LoginRefused(f"Login refused: {shorten(error.message)}")
            case exceptions.HTTPError():
                text = shorten(f"{error.status_code}: {error.detail or error.message}")
                if error.status_code in _BUSY:
                    return Unreachable(text, self._retry_after())
                if error.status_code == _CHANGED:
                    return PodChanged(text)
                return Absent(text) if error.status_code in _ABSENT else PodRefused(text)
            case exceptions.ConnectionError():
                self._silent(known)
                text = shorten(error.message)
                if order and not _never_sent(error):
                    return NoAnswer(text)
                return Unreachable(text)
        return PodRefused(shorten(f"{type(error).__name__}: {error}"))

    def _log_in(self, address: str, known: _Address) -> None:
        with known.login:
            if known.root is not None:
                return
            settings = self._settings
            made = _Connector(
                address,
                verify=settings.fingerprint is None and (settings.cafile or True),
                response_callback=self._heard,
                # With 0 it would try three times, and orders as well.
                server_side_retries=1,
                server_side_retries_delay=1,
                default_request_timeout=settings.timeout,
                connect_timeout=settings.connect_timeout,
            )
            if settings.keep_alive:
                # sushy wants a new connection for each call and has no option for it.
                del made._session.headers["Connection"]
            if settings.fingerprint is not None:
                made._session.mount("https://", _Pinned(settings.fingerprint))
            known.root = sushy.Sushy(address, settings.username, settings.password, connector=made)
            known.connector = made

    def _heard(self, response: requests.Response) -> None:
        """Take down of an answer what sushy does not hand on."""
        self._last.retry_after = response.headers.get("Retry-After", "")
        location = response.headers.get("Location", "")
        # Its path only: a service does not send us, with our session, to another one.
        self._last.location = urlsplit(location).path or None
        self._last.operation = None
        if response.status_code == 202:
            self._last.operation = _task_path(response) or self._last.location

    def _retry_after(self) -> float | None:
        said: str = getattr(self._last, "retry_after", "")
        return float(said) if said.isascii() and said.isdigit() else None


class _Connector(connector.Connector):  # type: ignore[misc]
    """Never repeats a write without its condition, as sushy does after a 412."""

    def patch(
        self,
        path: str = "",
        data: object = None,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        **options: Any,
    ) -> Any:
        condition = {} if etag is None else {"If-Match": etag}
        try:
            return self._op("PATCH", path, data, {**(headers or {}), **condition}, **options)
        except exceptions.HTTPError as error:
            if error.status_code != _CHANGED or etag is None or not etag.startswith("W/"):
                raise
        # Some services give weak ETags and take strong ones only: it is the same condition.
        condition = {"If-Match": etag.removeprefix("W/")}
        return self._op("PATCH", path, data, {**(headers or {}), **condition}, **options)


class Absent(PodRefused):
    """The service says that there is no such thing."""


class _Pinned(HTTPAdapter):
    """Trusts the one certificate that has a fingerprint, and no authority."""

    def __init__(self, fingerprint: str):
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, **keywords)


def split(uri: str) -> tuple[str, str]:
    """Address and path of a URI."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/"


def _task_path(response: requests.Response) -> str | None:
    """The path of the task that the body of a 202 is, or shows."""
    try:
        said = response.json()
    except ValueError:
        return None
    path = said.get("@odata.id") if isinstance(said, dict) and "TaskState" in said else None
    return path if isinstance(path, str) and path.startswith("/") else None


def _progress(status: int, said: Json, after: float | None) -> Progress:
    state = said.get("TaskState")
    percent = said.get("PercentComplete")
    number = percent if isinstance(percent, int) and 0 <= percent <= 100 else None
    message = _messages(said)
    if isinstance(state, str):
        if state in _FAILED or (state in _SUCCEEDED and said.get("TaskStatus") == "Critical"):
            return Progress(Stage.FAILED, number, message or f"The task ended as {state}.")
        stage = Stage.DONE if state in _SUCCEEDED else Stage.RUNNING
        return Progress(stage, number, message, after)
    # A monitor: it answers 202 until it has the order's own answer.
    return Progress(Stage.RUNNING if status == 202 else Stage.DONE, number, message, after)


def _messages(said: Json) -> str | None:
    """The last of a task's messages, for a person."""
    found = said.get("Messages")
    texts = [
        each["Message"]
        for each in (found if isinstance(found, list) else [])
        if isinstance(each, dict) and isinstance(each.get("Message"), str)
    ]
    return shorten(texts[-1]) if texts else None


def _never_sent(error: BaseException) -> bool:
    """Whether no connection could be made for a call."""
    cause = error.__context__
    if isinstance(cause, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    # requests has one class for connections that failed and those that broke.
    return isinstance(cause, requests.exceptions.ConnectionError) and (
        "NewConnectionError" in repr(cause) or "Failed to establish" in str(cause)
    )

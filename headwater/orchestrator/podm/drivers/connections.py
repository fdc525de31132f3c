# SPDX-License-Identifier: Apache-2.0
"""Redfish services, through sushy: connections, logins, answers and their meanings.

Nothing outside this package knows sushy, whose traps are gone round here:

- An order is sent once: sushy would send it again when the answer is late.
- `Retry-After`, which its errors do not carry, is taken from the answer itself.
- Answers that are no JSON raise something that is no error of sushy's.
- It follows redirects and links to other hosts, with its login: here nobody is followed anywhere.
- It takes some orders that were refused for obeyed: the last answer counts.
- It waits for an answer that trickles without an end: `limits` gives it one.
- After a 412 it writes again without the condition: here nothing is written then.
- Its task monitor takes any answer of a task for its end, and breaks on a number of seconds: an
  operation is judged by its TaskState alone (DSP0266, "Asynchronous operations").
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import sushy
from sushy import connector, exceptions

from headwater.common.errors import HeadwaterError, LoginRefused, NoAnswer, Unreachable
from headwater.common.redact import scrub, shorten
from headwater.orchestrator.podm.drivers import (
    Busy,
    DriverSettings,
    Operation,
    PodChanged,
    PodRefused,
    Progress,
    Stage,
)
from headwater.orchestrator.podm.drivers.documents import links, own_path
from headwater.orchestrator.podm.drivers.limits import Bounded

_Result = TypeVar("_Result")

#: Members of a collection after which a service that never ends its pages is believed no more.
_MOST_MEMBERS = 100_000

#: Documents below which reading several at a time is not worth its threads.
_FEW = 8

#: Answers that say "not now".
_BUSY = frozenset({429, 502, 503, 504})

#: Answers to an order after which nobody knows whether it was taken: the service broke over it, or
#: a proxy before it waited no longer.
_DOUBTFUL = frozenset({500, 502, 504})

#: Longest wait in seconds that a service may ask for.
_LONGEST_WAIT = 300.0

#: Seconds for which a call waits for its turn at an address, or for somebody else's login there.
_TURN = 2.0

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

    #: Calls to it at a time.
    places: threading.BoundedSemaphore
    root: Any = None
    connector: Any = None
    #: Calls in a row without an answer.
    silences: int = 0
    #: Of the last one.
    reason: str = ""
    #: Until when (monotonic) it is left alone; then one call tries it.
    closed_until: float = 0.0
    tried: bool = False
    #: One login at a time: a hundred calls that begin at once need one.
    login: threading.Lock = field(default_factory=threading.Lock)


class Connections:
    """One root per address is kept: logging in costs more than a call. Safe for many threads."""

    def __init__(self, settings: DriverSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._addresses: dict[str, _Address] = {}
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

    def change(self, uri: str, make: Callable[[Json], Json]) -> Operation | None:
        """Write to a document what `make` makes of it, unless somebody else changed it meanwhile.

        Raises PodChanged then, where the service tells (by an ETag).
        """
        document = self.read(uri)
        etag: str | None = self._last.etag
        address, path = split(uri)
        body = make(document)
        return self._ordered(
            address, lambda known: known.connector.patch(path, data=body, etag=etag)
        )

    def members(self, address: str, collection: str) -> list[str]:
        """The paths of all members of a collection, page after page."""
        found: list[str] = []
        seen: set[str] = set()
        page: str | None = collection
        while page is not None and page not in seen and len(found) < _MOST_MEMBERS:
            seen.add(page)
            document = self.read(address + page)
            found += links(document, "Members")
            page = own_path(document.get("Members@odata.nextLink"))
        return found

    def read_all(
        self, address: str, paths: Sequence[str]
    ) -> Iterator[tuple[str, Json | HeadwaterError]]:
        """URIs and documents, a few at a time, in order; what cannot be read is its error."""

        def read(path: str) -> Json | HeadwaterError:
            try:
                return self.read(address + path)
            except PodRefused as error:
                return error

        if len(paths) < _FEW:
            yield from ((address + path, read(path)) for path in paths)
            return
        pool = ThreadPoolExecutor(
            self._settings.calls_per_address, thread_name_prefix="read-members"
        )
        try:
            asked = [pool.submit(read, path) for path in paths]
            for path, each in zip(paths, asked, strict=True):
                yield address + path, each.result()
        finally:
            # Whoever reads no further lets nothing more be asked.
            pool.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def hiding(self, secrets: Iterable[str]) -> Iterator[None]:
        """Mask texts, such as a signed address, in errors of this thread before they are cut."""
        self._last.hidden = list(secrets)
        try:
            yield
        finally:
            self._last.hidden = []

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
            return self._read_progress(uri)
        except Absent:
            return Progress(Stage.GONE)
        except PodRefused as error:
            status = error.status or 0
            if 400 <= status < 500:
                # A monitor answers as the order itself would have: it was refused in the end.
                return Progress(Stage.FAILED, message=str(error))
            # A service that updates itself says anything.
            raise Unreachable(f"The operation cannot be looked at now: {error}") from error

    def _read_progress(self, uri: str) -> Progress:
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
            self._last.operation = self._last.refused = None
            # sushy makes something of the answer to an order, and may break on it: what it said was
            # taken down before that.
            with contextlib.suppress(exceptions.MissingHeaderError):
                send(known)
            refused: requests.Response | None = self._last.refused
            if refused is not None:
                # Such as that of ejecting an image, of which sushy raises next to nothing.
                method = str(refused.request.method)
                exceptions.raise_for_response(method, refused.url, refused)
            path: str | None = self._last.operation
            return None if path is None else Operation(address + path)

        return self._call(address, ordered, order=True)

    def _call(
        self, address: str, call: Callable[[_Address], _Result], *, order: bool = False
    ) -> _Result:
        """Call, and translate errors by meaning."""
        with self._turn(address) as known:
            self._last.retry_after, self._last.location = "", None
            self._last.etag = self._last.status = None
            self._last.taken = False
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
            known = self._addresses.get(address)
            if known is None:
                known = _Address(threading.BoundedSemaphore(settings.calls_per_address))
                self._addresses[address] = known
        self._check_open(known)
        # A thread that waits for a hung address is one that nobody else has.
        if not known.places.acquire(timeout=min(_TURN, settings.timeout)):
            raise Busy(f"{settings.calls_per_address} calls to {address} are still unanswered.")
        tries = False
        try:
            # It may have been closed while this call waited for its turn.
            self._check_open(known)
            if known.silences >= settings.breaker_failures:
                with self._lock:
                    if known.tried:
                        raise Busy(f"Another call tries whether {address} answers again.")
                    known.tried = tries = True
            yield known
        finally:
            if tries:
                known.tried = False
            known.places.release()

    def _check_open(self, known: _Address) -> None:
        left = known.closed_until - time.monotonic()
        if left > 0:
            raise Unreachable(
                f"Left alone after {known.silences} calls without an answer ({known.reason}); "
                f"it is asked again in {left:.0f} s.",
                retry_after=left,
            )

    def _silent(self, known: _Address, reason: str) -> None:
        known.silences += 1
        known.reason = reason
        if known.silences >= self._settings.breaker_failures:
            known.closed_until = time.monotonic() + self._settings.pause

    def _meant(self, known: _Address, error: Exception, *, order: bool) -> HeadwaterError:
        """What an error means for whoever called."""
        hidden: list[str] = getattr(self._last, "hidden", [])

        def told(text: object) -> str:
            return shorten(scrub(str(text), hidden))

        status: int | None = self._last.status
        if order and self._last.taken:
            # It was carried out, whatever is wrong with how that was said.
            known.silences = 0
            text = f"The order was answered with {status}, and the answer cannot be read: {error}"
            return NoAnswer(told(text))
        match error:
            case exceptions.AccessError():
                known.silences = 0
                return LoginRefused(f"Login refused: {told(error.message)}")
            case exceptions.ConnectionError():
                text = told(error.message)
                self._silent(known, text)
                if order and not _never_sent(error):
                    return NoAnswer(text)
                return Unreachable(text)
            case exceptions.HTTPError():
                status = error.status_code
                text = told(f"{status}: {error.detail or error.message}")
            case _:
                # sushy itself breaks on some bodies of errors.
                text = told(_unexpected(error))
        known.silences = 0
        if order and status in _DOUBTFUL:
            return NoAnswer(text)
        if status in _BUSY:
            return Busy(text, self._retry_after())
        if status == _CHANGED:
            return PodChanged(text, status)
        return Absent(text, status) if status in _ABSENT else PodRefused(text, status)

    def _log_in(self, address: str, known: _Address) -> None:
        if not known.login.acquire(timeout=min(_TURN, self._settings.timeout)):
            raise Busy(f"Another call is logging in at {address}.")
        try:
            if known.root is not None:
                return
            self._check_open(known)
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
            pinned = settings.fingerprint
            made._session.mount("http://", Bounded())
            made._session.mount("https://", Bounded() if pinned is None else _Pinned(pinned))
            known.root = sushy.Sushy(address, settings.username, settings.password, connector=made)
            known.connector = made
        finally:
            known.login.release()

    def _heard(self, response: requests.Response) -> None:
        """Take down of an answer what sushy does not hand on."""
        self._last.status = response.status_code
        # First of all: what follows may break on what the answer has.
        self._last.taken = response.request.method != "GET" and response.status_code < 300
        self._last.refused = response if response.status_code >= 400 else None
        self._last.retry_after = response.headers.get("Retry-After", "")
        self._last.etag = response.headers.get("ETag")
        self._last.location = _location(response)
        self._last.operation = None
        if response.status_code == 202:
            self._last.operation = _task_path(response) or self._last.location

    def _retry_after(self) -> float | None:
        said: str = getattr(self._last, "retry_after", "")
        if not (said.isascii() and said.isdigit()):
            return None
        return min(float(said), _LONGEST_WAIT)


class _Connector(connector.Connector):  # type: ignore[misc]
    """Goes nowhere else, and never repeats a write without its condition after a 412."""

    def _op(self, method: str, path: str = "", *arguments: Any, **options: Any) -> Any:
        if split(urljoin(self._url, path))[0] != split(self._url)[0]:
            raise PodRefused(f"The service sends us to {shorten(path)}, which is not itself.")
        options.setdefault("allow_redirects", False)
        answer = super()._op(method, path, *arguments, **options)
        if 300 <= answer.status_code < 400:
            where = shorten(answer.headers.get("Location", "somewhere"))
            raise PodRefused(
                f"The service sends us to {where}. Give the address that answers itself, such as "
                "https instead of http.",
                answer.status_code,
            )
        return answer

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


class _Pinned(Bounded):
    """Trusts the one certificate that has a fingerprint, and no authority."""

    def __init__(self, fingerprint: str):
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, **keywords)


def split(uri: str) -> tuple[str, str]:
    """Address and path, with its query, of a URI."""
    parts = urlsplit(uri)
    path = parts.path or "/"
    return f"{parts.scheme}://{parts.netloc}", f"{path}?{parts.query}" if parts.query else path


def _unexpected(error: Exception) -> str:
    """What an error that is none of sushy's says."""
    if isinstance(error, UnicodeError):
        # Its own text would show a character of the password.
        return "The user name or the password cannot be sent by HTTP."
    return f"{type(error).__name__}: {error}"


def _location(response: requests.Response) -> str | None:
    """The path in a Location only: a service does not send us, with our session, to another."""
    try:
        return own_path(urlsplit(response.headers.get("Location", "")).path)
    except ValueError:
        return None


def _task_path(response: requests.Response) -> str | None:
    """The path of the task that the body of a 202 is, or shows."""
    try:
        said = response.json()
    except ValueError:
        return None
    is_task = isinstance(said, dict) and "TaskState" in said
    return own_path(said.get("@odata.id")) if is_task else None


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
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    if isinstance(cause, requests.exceptions.SSLError):
        # Of a certificate it is known before anything is sent; TLS can break later, too.
        return "CERTIFICATE_VERIFY_FAILED" in repr(cause) or "ingerprint" in repr(cause)
    # requests has one class for connections that failed and those that broke.
    return isinstance(cause, requests.exceptions.ConnectionError) and (
        "NewConnectionError" in repr(cause) or "Failed to establish" in str(cause)
    )

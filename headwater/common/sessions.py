# SPDX-License-Identifier: Apache-2.0
"""Authenticated HTTP to clouds: the door to keystoneauth."""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import exceptions, loading
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from oslo_config import cfg

from headwater.common.errors import ConfigurationError, LoginRefused, NoEndpoint, Unreachable
from headwater.common.redact import shorten

LOG = logging.getLogger(__name__)

#: Answers that say "not now" for the whole service and nothing about the call.
_BUSY = frozenset({429, 502, 503, 504})
_ERRNO = re.compile(r"\[Errno -?\d+\] ([\w ,-]+)")
#: Characters; far more than is stored, so that secrets are masked before anything is cut.
_LONGEST_REASON = 10_000
_VERSION_SUFFIX = re.compile(r"/v\d+(\.\d+)?/?$")


@dataclass(frozen=True)
class Answer:
    """The answer to one call: status, JSON body (None where there is none), text for messages."""

    status: int
    body: Any
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class ServiceClient:
    """One service of one cloud, found in that cloud's own catalog. Safe for many threads.

    `guard` is called before each call, and may refuse it by raising.
    """

    def __init__(
        self,
        session: Session,
        *,
        service_type: str,
        interface: str,
        region_name: str,
        guard: Callable[[], None] | None = None,
    ):
        self._session, self._guard = session, guard
        self._filter = {
            "service_type": service_type,
            "interface": interface,
            "region_name": region_name,
        }

    def root(self) -> str:
        """The service's address without version and trailing slash.

        Raises NoEndpoint, LoginRefused or Unreachable.
        """
        url = _guarded(lambda: self._session.get_endpoint(**self._filter))
        if not url:
            raise NoEndpoint(
                "The catalog has no {interface} endpoint of {service_type} in region "
                "{region_name!r}.".format(**self._filter)
            )
        return _VERSION_SUFFIX.sub("", str(url).rstrip("/"))

    def user_id(self) -> str | None:
        """Id of the user that it logs in as. Raises LoginRefused or Unreachable."""
        found: str | None = _guarded(self._session.get_user_id)
        return found

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call with a token; a token that expired is renewed once.

        Returns whatever the service says about the call. Raises NoEndpoint, LoginRefused, and
        Unreachable when there is no answer in time or one that says "not now"; and what the guard
        raises, before anything is sent.
        """
        url = self.root() + path
        if self._guard is not None:
            # After the login, which may take long.
            self._guard()
        response = _guarded(
            lambda: self._session.request(
                url,
                method,
                json=json,
                params=params,
                headers=dict(headers or {}),
                raise_exc=False,
                redirect=False,
                # Its log lines would show bodies, with passwords in them.
                log=False,
            )
        )
        answer = _answer(response)
        if answer.status in _BUSY:
            raise Unreachable(
                f"{method} {path}: {answer.status} {answer.reason}", _retry_after(response.headers)
            )
        return answer


class Greeter:
    """Asks clouds for nothing but an answer, without logging in. Safe for many threads."""

    def __init__(self, timeout: float, cafile: str | None):
        self._session = Session(timeout=timeout, verify=cafile or True)

    def answers(self, url: str) -> bool:
        """Whether something that is no mere proxy answers at an address in time."""
        try:
            answer = self._session.get(
                url, authenticated=False, raise_exc=False, redirect=False, log=False
            )
        except exceptions.ClientException as error:
            LOG.debug("No answer from %s: %s", url, error)
            return False
        return answer.status_code not in _BUSY


def password_session(
    *,
    auth_url: str,
    username: str,
    password: str,
    user_domain_name: str,
    project_name: str,
    project_domain_name: str,
    timeout: float,
    cafile: str | None,
) -> Session:
    """A session that logs in by password when it first needs a token."""
    auth = v3.Password(
        auth_url=auth_url,
        username=username,
        password=password,
        user_domain_name=user_domain_name,
        project_name=project_name,
        project_domain_name=project_domain_name,
        reauthenticate=True,
    )
    return Session(auth=auth, timeout=timeout, verify=cafile or True)


def configured_session(conf: cfg.ConfigOpts, group: str) -> Session:
    """The session that keystoneauth's options in a group describe; ConfigurationError if none."""
    try:
        auth = loading.load_auth_from_conf_options(conf, group)
        session = loading.load_session_from_conf_options(conf, group, auth=auth)
    except (exceptions.MissingRequiredOptions, exceptions.NoMatchingPlugin) as error:
        raise ConfigurationError(f"[{group}]: {error}") from error
    if auth is None:
        raise ConfigurationError(
            f"[{group}] auth_type: is not set; name how to log in, such as 'password', "
            "and the options that it needs."
        )
    return session


class SessionCache:
    """Sessions by key, the least recently used forgotten beyond `limit`."""

    def __init__(self, limit: int = 2000):
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, tuple[object, Session]] = OrderedDict()

    def get(self, key: int, version: object, make: Callable[[], Session]) -> Session:
        """The session of `key`, made anew when its `version` is another than it was."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != version:
                entry = (version, make())
                self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)
            return entry[1]


def _guarded(call: Callable[[], Any]) -> Any:
    """Translate keystoneauth's errors by meaning."""
    try:
        return call()
    except exceptions.Unauthorized as error:
        raise LoginRefused(f"Login refused: {shorten(str(error))}") from error
    except (exceptions.ConnectFailure, exceptions.ConnectionError) as error:
        raise Unreachable(f"No answer: {_cause(error)}") from error
    except exceptions.HttpError as error:
        # Only logins and discovery raise these; calls return theirs as answers.
        raise Unreachable(shorten(f"Login failed: {error}")) from error
    except exceptions.ClientException as error:
        raise Unreachable(shorten(f"No usable answer: {error}")) from error


def _cause(error: Exception) -> str:
    """The operating system's words inside an error of several libraries, or its start."""
    text = str(error)
    found = _ERRNO.search(text)
    if found:
        return found[1].strip()
    return "timed out" if "timed out" in text.lower() else shorten(text, 120)


def _answer(response: Any) -> Answer:
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
    return Answer(response.status_code, body, _reason(response, body))


def _reason(response: Any, body: Any) -> str:
    """The message of an OpenStack error document, or the start of the text."""
    if isinstance(body, dict):
        for value in body.values():
            if isinstance(value, dict) and isinstance(value.get("message"), str):
                return shorten(value["message"], _LONGEST_REASON)
    if response.status_code < 400:
        return str(response.reason or "")
    return shorten(response.text or str(response.reason or ""), _LONGEST_REASON)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait in seconds that an answer asks for; dates are not used by OpenStack services."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None

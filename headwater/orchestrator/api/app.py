# SPDX-License-Identifier: Apache-2.0
"""The API as a plain WSGI callable: Pecan behind auth_token."""

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pecan
import webob

from headwater.common.auth import Refusals, WsgiApp
from headwater.common.policy import Policy
from headwater.common.proxies import TrustedProxies
from headwater.orchestrator.api import errors, openapi, receiver
from headwater.orchestrator.api.controller import QUERY, V1Controller
from headwater.orchestrator.api.health import Health
from headwater.orchestrator.api.hooks import ErrorHook
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.receiver import Receiver
from headwater.orchestrator.api.root import RootController
from headwater.orchestrator.api.route import RouteTable
from headwater.orchestrator.api.scraping import Scraper
from headwater.orchestrator.api.v1 import ROUTES

LOG = logging.getLogger(__name__)

#: One line of JSON per call that changes something, or tried to: an audit trail of its own.
TRAIL = logging.getLogger("headwater.trail")

#: Paths that are answered without a token; nothing there tells about clouds or changes.
OPEN_PATHS = frozenset({"", "/v1", "/v1/openapi.json", "/healthcheck"})

#: Bytes of the longest body.
_LONGEST_BODY = 65536

#: Header of every answer.
_REQUEST_ID_HEADER = "X-Openstack-Request-Id"


class Api:
    """Answers the open paths and what pods send, and all else behind `token_filter`.

    Every answer has a request id, and every error the form of the errors document.
    """

    def __init__(
        self,
        health: Health,
        parts: Parts,
        policy: Policy,
        token_filter: Callable[[WsgiApp, Refusals], WsgiApp],
        version: str,
        scraper: Scraper | None = None,
        proxies: TrustedProxies | None = None,
    ):
        self._receiver = Receiver(parts)
        self._scraper = scraper or Scraper(None)
        self._proxies = proxies or TrustedProxies()
        table = RouteTable(ROUTES)
        v1 = V1Controller(parts, policy, table, openapi.document(table, version))
        self._open: WsgiApp = pecan.make_app(
            RootController(health, v1),
            hooks=[ErrorHook()],
            # A path and the same with a slash are one resource; no path has a file's ending.
            force_canonical=False,
            guess_content_type_from_ext=False,
        )
        self._authenticated = token_filter(self._checked, Refusals(_unavailable, _unauthorized))

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one exchange (PEP 3333)."""
        request_id = environ[errors.REQUEST_ID] = f"req-{uuid.uuid4()}"
        scheme, address = self._proxies.scheme(environ), self._proxies.client(environ)
        environ["wsgi.url_scheme"], environ["REMOTE_ADDR"] = scheme, address
        app, is_open = self._gate(environ)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if not is_open and environ["REQUEST_METHOD"] not in ("GET", "HEAD", "OPTIONS"):
                _trail(environ, status)
            return start_response(status, [*headers, (_REQUEST_ID_HEADER, request_id)], *rest)

        try:
            answer: Iterable[bytes] = app(environ, start)
        except Exception:  # the server in front would answer without a word in any log
            LOG.exception("%s %s broke", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            answer = errors.response(500, None, request_id)(environ, start)
        return answer

    def _gate(self, environ: dict[str, Any]) -> tuple[WsgiApp, bool]:
        """What answers a call, and whether that needs no token."""
        if receiver.claims(environ):
            return self._receiver, True
        if environ.get("PATH_INFO", "").rstrip("/") in OPEN_PATHS:
            return self._open, True
        return (self._checked if self._scraper.passes(environ) else self._authenticated), False

    def _checked(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Behind auth_token: refuse what cannot be read, and bodies before any of them is."""
        refusal = _unreadable(environ) or _refused_body(environ)
        if refusal is not None:
            # The body stays unread, and the connection cannot be used again.
            answer = errors.response(*refusal, environ[errors.REQUEST_ID], {"Connection": "close"})
            refused: Iterable[bytes] = answer(environ, start_response)
            return refused
        # Pecan would parse both as well, and stumble over what we refuse.
        environ["CONTENT_TYPE"] = "application/octet-stream"
        environ[QUERY], environ["QUERY_STRING"] = environ.get("QUERY_STRING", ""), ""
        answered: Iterable[bytes] = self._open(environ, start_response)
        return answered


def _unreadable(environ: Mapping[str, Any]) -> tuple[int, str] | None:
    try:
        environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
    except UnicodeError:
        return 400, "The path is not UTF-8."
    return None


def _refused_body(environ: Mapping[str, Any]) -> tuple[int, str] | None:
    if "HTTP_TRANSFER_ENCODING" in environ:
        return 411, "The header Content-Length is needed; bodies in chunks are not taken."
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 400, "The header Content-Length is no number."
    if length > _LONGEST_BODY:
        return 413, f"The body may have {_LONGEST_BODY} bytes."
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if length and kind != "application/json":
        return 415, "The body must be application/json."
    return None


def _trail(environ: Mapping[str, Any], status: str) -> None:
    """Write down who did what from where, and what came of it; never a body."""
    event = {
        "event": "api",
        "request_id": environ[errors.REQUEST_ID],
        "user_id": environ.get("HTTP_X_USER_ID"),
        "user_name": environ.get("HTTP_X_USER_NAME"),
        "project_id": environ.get("HTTP_X_PROJECT_ID"),
        "roles": environ.get("HTTP_X_ROLES"),
        "from": environ.get("REMOTE_ADDR"),
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("PATH_INFO"),
        "status": int(status.split(" ", 1)[0]),
    }
    TRAIL.info("%s", json.dumps(event))


def _unavailable(environ: Mapping[str, Any]) -> webob.Response:
    detail = "The token cannot be checked now: the central Keystone does not answer."
    return errors.response(503, detail, environ[errors.REQUEST_ID])


def _unauthorized(environ: Mapping[str, Any]) -> webob.Response:
    detail = "The token is missing, wrong or expired."
    return errors.response(401, detail, environ[errors.REQUEST_ID])

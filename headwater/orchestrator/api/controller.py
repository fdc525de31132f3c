# SPDX-License-Identifier: Apache-2.0
"""Where Pecan meets the table of routes: finds, authorizes, checks, calls, answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pecan
import webob.exc

from headwater.common import auth
from headwater.common.errors import InvalidInput
from headwater.common.policy import Policy
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.root import version
from headwater.orchestrator.api.route import (
    Call,
    Reply,
    Route,
    RouteTable,
    read_body,
    read_query,
)

#: Key of the WSGI environ under which the query of a call is kept, unread.
QUERY = "headwater.query"

_FOUND = "headwater.route"


class V1Controller:
    """Version 1: everything below its path is looked up in the table."""

    def __init__(self, parts: Parts, policy: Policy, table: RouteTable, openapi: Mapping[str, Any]):
        self._parts, self._policy, self._table = parts, policy, table
        self._openapi = openapi

    @pecan.expose()
    def _route(self, args: list[str], request: Any) -> tuple[Callable[..., Any], list[str]]:
        """Pick the controller for what is left of the path, as Pecan asks."""
        method = "GET" if request.method == "HEAD" else request.method
        segments = [each for each in args if each] if args[-1:] == [""] else args
        document = {(): self.version, ("openapi.json",): self.openapi}.get(tuple(segments))
        if document is not None:
            if method != "GET":
                raise _not_allowed({"GET"})
            return document, []
        found = self._table.find(["v1", *segments])
        if found is None:
            raise webob.exc.HTTPNotFound
        routes, parameters = found
        if method not in routes:
            raise _not_allowed(set(routes))
        request.environ[_FOUND] = routes[method], parameters
        route = routes[method]
        if route.is_text:
            return self.text, []
        return (self.stream if route.streams else self.answer), []

    @pecan.expose("json")
    def version(self, **_: object) -> dict[str, Any]:
        """The version document."""
        return {"version": version("v1")}

    @pecan.expose("json")
    def openapi(self, **_: object) -> Mapping[str, Any]:
        """What the API takes and gives, as OpenAPI 3.1."""
        return self._openapi

    @pecan.expose("json")
    def answer(self, **_: object) -> Any:
        """Answer with a document."""
        reply = self._reply(pecan.request)
        if reply.document is None:
            return webob.Response(status=reply.status, headerlist=list(reply.headers.items()))
        pecan.response.status = reply.status
        pecan.response.headers.update(reply.headers)
        return reply.document

    @pecan.expose(content_type="text/event-stream")
    def stream(self, **_: object) -> Any:
        """Answer with events as they come."""
        reply = self._reply(pecan.request)
        headers = {
            "Content-Type": "text/event-stream; charset=UTF-8",
            # Proxies such as nginx would hold events back.
            "X-Accel-Buffering": "no",
            **reply.headers,
        }
        pecan.request.environ["eventlet.minimum_write_chunk_size"] = 0
        return webob.Response(headerlist=list(headers.items()), app_iter=reply.events)

    @pecan.expose(content_type="text/plain")
    def text(self, **_: object) -> Any:
        """Answer with a text as it is read."""
        reply = self._reply(pecan.request)
        return webob.Response(headerlist=list(reply.headers.items()), app_iter=reply.events)

    def _reply(self, request: Any) -> Reply:
        route, parameters = request.environ[_FOUND]
        reply: Reply = route.handler(self._parts, self._call(request, route, parameters))
        return reply

    def _call(self, request: Any, route: Route, parameters: Mapping[str, str]) -> Call:
        environ = request.environ

        def allows(rule: str, target: Mapping[str, Any]) -> bool:
            return self._policy.allows(rule, environ, target)

        call = Call(
            parameters=parameters,
            query={},
            body={},
            headers={name.lower(): value for name, value in request.headers.items()},
            caller=auth.caller(environ, None),
            base=request.application_url,
            path=request.path,
            allows=allows,
            rule=route.rule,
        )
        if not route.by_target:
            # Before what is given is looked at: whoever may not ask learns nothing from errors.
            call.authorize({})
        return replace(
            call,
            query=read_query(route, _query(environ)),
            body=read_body(route, _json(request)) if route.body is not None else {},
        )


def _query(environ: Mapping[str, Any]) -> dict[str, list[str]]:
    """The query's parameters; of no more than a client can mean."""
    text = environ.get(QUERY, "")
    try:
        return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise InvalidInput("The query is not UTF-8, or has too many parameters.") from None


def _json(request: Any) -> object:
    """The body; an empty one is an empty object."""
    # Not request.body, which copies long ones to a file and leaves that open.
    body = request.body_file.read()
    if not body:
        return {}
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidInput("body: is not JSON.") from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _not_allowed(methods: set[str]) -> webob.exc.HTTPMethodNotAllowed:
    allowed = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    return webob.exc.HTTPMethodNotAllowed(headers={"Allow": ", ".join(allowed)})

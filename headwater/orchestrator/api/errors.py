# SPDX-License-Identifier: Apache-2.0
"""Errors as HTTP: the one table from meaning to status, and OpenStack's errors document."""

import http
import json
from collections.abc import Mapping
from types import MappingProxyType

import webob

from headwater.common.errors import (
    Conflict,
    DatabaseUnavailable,
    HeadwaterError,
    InvalidInput,
    NotFound,
    Outdated,
)
from headwater.orchestrator.api.route import Forbidden

#: Key of the WSGI environ, as oslo.middleware names it.
REQUEST_ID = "openstack.request_id"

#: Seconds after which a client may try again what a passing trouble prevented.
_RETRY_AFTER = "5"

_STATUS: Mapping[type[HeadwaterError], int] = {
    Conflict: 409,
    DatabaseUnavailable: 503,
    Forbidden: 403,
    InvalidInput: 400,
    NotFound: 404,
    Outdated: 412,
}

#: What is not for a client's eyes, because it may tell about hosts and users.
_DETAILS: Mapping[int, str] = {
    500: "The service failed; its log says why.",
    503: "The service cannot do this now.",
}


def status(error: HeadwaterError) -> int:
    """The status for an error's meaning."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def response(
    status: int,
    detail: str | None,
    request_id: str,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> webob.Response:
    """An answer with the errors document; None as detail takes the usual words for 500 and 503."""
    title = http.HTTPStatus(status).phrase
    document = {
        "errors": [
            {
                "request_id": request_id,
                "code": "headwater." + title.lower().replace(" ", "-"),
                "status": status,
                "title": title,
                "detail": detail or _DETAILS.get(status, title),
            }
        ]
    }
    headers = [("Content-Type", "application/json"), *extra.items()]
    if status == 503:
        headers.append(("Retry-After", _RETRY_AFTER))
    return webob.Response(
        status=status, headerlist=headers, body=json.dumps(document).encode("utf-8")
    )

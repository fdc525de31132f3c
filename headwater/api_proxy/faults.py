# SPDX-License-Identifier: Apache-2.0
"""Errors as HTTP: the one table from meaning to status, in the form of OpenStack's APIs."""

import http
import json
from collections.abc import Mapping

import webob

from headwater.common.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    HeadwaterError,
    NoAnswer,
    NoEndpoint,
    NotSent,
)

#: Seconds after which a client may try again what a passing trouble prevented.
_RETRY_AFTER = "5"

_STATUS: Mapping[type[HeadwaterError], int] = {
    DatabaseUnavailable: 503,
    NotSent: 502,
    NoEndpoint: 502,
    NoAnswer: 502,
    DeadlineExceeded: 504,
}


class Fault(HeadwaterError):
    """An answer of the gateway's own, instead of the central cloud's."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        self.status, self.headers = status, dict(headers or {})
        super().__init__(message)


def response(error: HeadwaterError) -> webob.Response:
    """The answer for an error."""
    if isinstance(error, Fault):
        status, headers = error.status, error.headers
    else:
        status, headers = _STATUS.get(type(error), 500), {}
    if status == 503:
        headers.setdefault("Retry-After", _RETRY_AFTER)
    document = {
        "error": {
            "code": status,
            "title": http.HTTPStatus(status).phrase,
            "message": str(error),
        }
    }
    return webob.Response(
        status=status,
        headerlist=[("Content-Type", "application/json"), *headers.items()],
        body=json.dumps(document).encode(),
    )

# SPDX-License-Identifier: Apache-2.0
"""What Pecan does around every controller."""

import logging
from typing import Any

import webob
import webob.exc
from pecan.hooks import PecanHook

from headwater.common.errors import HeadwaterError
from headwater.orchestrator.api import errors

LOG = logging.getLogger(__name__)

#: Words of our own for what Pecan refuses without any.
_DETAILS = {
    404: "There is no such resource.",
    405: "The resource does not take this method.",
    406: "The resource is not available in what the header Accept names.",
}


class ErrorHook(PecanHook):  # type: ignore[misc]
    """Gives refusals and errors of controllers the form of the errors document.

    What has no meaning here is left to the application around Pecan, which logs it.
    """

    def on_error(self, state: Any, error: Exception) -> webob.Response | None:
        """The answer for an error, or None."""
        request_id = state.request.environ[errors.REQUEST_ID]
        if isinstance(error, HeadwaterError):
            status = errors.status(error)
            if status < 500:
                return errors.response(status, str(error), request_id)
            LOG.error("%s %s: %s", state.request.method, state.request.path, error)
            return errors.response(status, None, request_id)
        if isinstance(error, webob.exc.HTTPError):
            detail = error.detail or _DETAILS.get(error.status_int)
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return errors.response(error.status_int, detail, request_id, allow)
        return None

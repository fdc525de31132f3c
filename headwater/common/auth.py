# SPDX-License-Identifier: Apache-2.0
"""Who is calling: keystonemiddleware's auth_token in front of whatever needs a token."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import webob
import webob.exc
from keystoneauth1 import exceptions
from keystonemiddleware import auth_token
from oslo_config import cfg

from headwater.common.context import Caller
from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]


@dataclass(frozen=True)
class Refusals:
    """How an application words the refusals of auth_token; each is given the WSGI environ."""

    #: The answer when the Keystone that checks tokens cannot be asked: a 503.
    unavailable: Callable[[Mapping[str, Any]], webob.Response]
    #: The answer to a token that is missing or wrong: a 401. None keeps auth_token's own.
    unauthorized: Callable[[Mapping[str, Any]], webob.Response] | None = None


class _TokenFilter(auth_token.AuthProtocol):  # type: ignore[misc]
    """auth_token, with its refusals in the application's own form."""

    def __init__(self, app: WsgiApp, settings: dict[str, Any], refusals: Refusals):
        super().__init__(app, settings)
        self._refusals = refusals

    def process_request(self, request: Any) -> Any:
        """Check the token; a wrong one is 401, a Keystone that cannot be asked is 503."""
        try:
            return super().process_request(request)
        except webob.exc.HTTPUnauthorized as error:
            if self._refusals.unauthorized is None:
                raise
            answer = self._refusals.unauthorized(request.environ)
            for value in error.headers.getall("WWW-Authenticate"):
                answer.headers.add("WWW-Authenticate", value)
            return answer
        except (webob.exc.HTTPServiceUnavailable, exceptions.ClientException) as error:
            LOG.warning("A token could not be checked: %s", error)
            return self._refusals.unavailable(request.environ)


def require_options(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError where [keystone_authtoken] cannot work."""
    try:
        token_filter(conf, _nothing, Refusals(_nothing))  # registers the options
    except exceptions.ClientException as error:
        raise ConfigurationError(f"[keystone_authtoken]: {error}") from error
    if not conf.keystone_authtoken.auth_type:
        raise ConfigurationError(
            "[keystone_authtoken] auth_type: is not set; headwater needs a user with the role "
            "'service' to check tokens. Set auth_type = password and what it needs."
        )


def token_filter(conf: cfg.ConfigOpts, app: WsgiApp, refusals: Refusals) -> WsgiApp:
    """`app` behind auth_token: it is called only with a valid token, whose owner is in environ.

    auth_token can also leave the decision to the application, but then a Keystone that is away
    looks like a wrong token (401), and clients throw good tokens away.
    """
    filtered: WsgiApp = _TokenFilter(
        app,
        {
            "oslo_config_config": conf,
            "delay_auth_decision": False,
            # Nothing here reads it, and it is large.
            "include_service_catalog": False,
        },
        refusals,
    )
    return filtered


def caller(environ: Mapping[str, Any], request_id: str | None) -> Caller:
    """The identity that auth_token confirmed."""
    return Caller(
        user_id=environ.get("HTTP_X_USER_ID"),
        user_name=environ.get("HTTP_X_USER_NAME"),
        project_id=environ.get("HTTP_X_PROJECT_ID"),
        request_id=request_id,
    )


def _nothing(*arguments: Any) -> Any:
    raise AssertionError("this application is never called")

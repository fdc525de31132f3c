# SPDX-License-Identifier: Apache-2.0
"""Who is calling: keystonemiddleware's auth_token, with the decision left to the gateway."""

from collections.abc import Callable, Mapping
from typing import Any

from keystonemiddleware import auth_token
from oslo_config import cfg

from headwater.common.context import Caller
from headwater.common.errors import ConfigurationError

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]


def require_options(conf: cfg.ConfigOpts) -> None:
    """Raise ConfigurationError where [keystone_authtoken] cannot work."""
    # auth_token registers its options when it is built; ask a filter without an app.
    auth_token.AuthProtocol(None, _settings(conf))
    if not conf.keystone_authtoken.auth_type:
        raise ConfigurationError(
            "[keystone_authtoken] auth_type: is not set; the gateway needs a user with the role "
            "'service' to check tokens. Set auth_type = password and what it needs."
        )


def token_filter(conf: cfg.ConfigOpts, app: WsgiApp) -> WsgiApp:
    """`app` behind auth_token: it gets the result of the check in its environ, whatever it is."""
    filtered: WsgiApp = auth_token.AuthProtocol(app, _settings(conf))
    return filtered


def confirmed(environ: Mapping[str, Any]) -> bool:
    """Whether the token of the call was valid."""
    return environ.get("HTTP_X_IDENTITY_STATUS") == "Confirmed"


def caller(environ: Mapping[str, Any], request_id: str | None) -> Caller:
    """The identity that auth_token confirmed."""
    return Caller(
        user_id=environ.get("HTTP_X_USER_ID"),
        user_name=environ.get("HTTP_X_USER_NAME"),
        project_id=environ.get("HTTP_X_PROJECT_ID"),
        request_id=request_id,
    )


def _settings(conf: cfg.ConfigOpts) -> dict[str, Any]:
    return {
        "oslo_config_config": conf,
        "delay_auth_decision": True,
        # Nothing here reads it, and it is large.
        "include_service_catalog": False,
    }

# SPDX-License-Identifier: Apache-2.0
"""The gateway's side of checking tokens: its refusals look like the central cloud's."""

from collections.abc import Mapping
from typing import Any

import webob
from oslo_config import cfg

from headwater.api_proxy import faults
from headwater.api_proxy.faults import Fault
from headwater.common import auth
from headwater.common.auth import WsgiApp


def token_filter(conf: cfg.ConfigOpts, app: WsgiApp) -> WsgiApp:
    """`app` behind auth_token, which refuses with the documents of OpenStack's older APIs."""
    return auth.token_filter(conf, app, auth.Refusals(_unavailable))


def _unavailable(environ: Mapping[str, Any]) -> webob.Response:
    return faults.response(
        Fault(503, "The token cannot be checked now: the central Keystone does not answer.")
    )

# SPDX-License-Identifier: Apache-2.0
"""A token for GET /v1/metrics alone: Prometheus sends one from a file, and cannot log in."""

import hmac
import logging
from pathlib import Path
from typing import Any

from headwater.common.errors import ConfigurationError

LOG = logging.getLogger(__name__)

_PATH, _SCHEME = "/v1/metrics", "Bearer "

#: Characters of the shortest token: one that is guessed shows the whole fleet.
_SHORTEST = 16


class Scraper:
    """Lets calls with the token of a file pass; without a file none.

    Raises ConfigurationError where the file cannot be used. It is read with each call, so that it
    can be replaced.
    """

    def __init__(self, file: str | None):
        self._file = Path(file).expanduser() if file else None
        if self._file is not None:
            try:
                self._token(self._file)
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"[pods] metrics_token_file = {self._file}: {error}"
                ) from error

    def passes(self, environ: dict[str, Any]) -> bool:
        """Whether a call has the token; then whoever sent it is a reader of the system in it."""
        if self._file is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return False
        given = environ.get("HTTP_AUTHORIZATION", "")
        if environ.get("PATH_INFO", "").rstrip("/") != _PATH or not given.startswith(_SCHEME):
            return False
        try:
            token = self._token(self._file)
        except (OSError, ValueError) as error:
            LOG.warning("[pods] metrics_token_file = %s: %s", self._file, error)
            return False
        # WSGI has bytes as Latin-1.
        sent = given.removeprefix(_SCHEME).strip().encode("latin-1", errors="replace")
        if not hmac.compare_digest(sent, token.encode()):
            return False
        # What auth_token would have removed, and put in.
        for name in [name for name in environ if name.startswith(("HTTP_X_", "HTTP_OPENSTACK_"))]:
            del environ[name]
        environ.update(
            HTTP_X_ROLES="reader", HTTP_OPENSTACK_SYSTEM_SCOPE="all", HTTP_X_USER_NAME="scraper"
        )
        return True

    @staticmethod
    def _token(file: Path) -> str:
        token = file.read_text(encoding="utf-8").strip()
        if len(token) < _SHORTEST or len(token.split()) != 1:
            raise ValueError(f"has no token of at least {_SHORTEST} characters on one line.")
        return token

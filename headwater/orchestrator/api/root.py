# SPDX-License-Identifier: Apache-2.0
"""The paths above any version: the versions themselves, and health."""

from typing import Any

import pecan

from headwater.orchestrator.api.health import Health

#: The versions of the API by their path.
_VERSIONS = {"v1": {"id": "v1.0", "status": "CURRENT"}}


def version(path: str) -> dict[str, Any]:
    """The document of one version, with its address as the client knows it."""
    base = f"{pecan.request.application_url}/{path}"
    return {
        **_VERSIONS[path],
        "links": [
            {"rel": "self", "href": f"{base}/"},
            {"rel": "describedby", "href": f"{base}/openapi.json"},
        ],
    }


class HealthController:
    """Whether the service can work."""

    def __init__(self, health: Health):
        self._health = health

    @pecan.expose("json", generic=True)
    def index(self) -> None:
        """Any other method."""
        pecan.abort(405)

    @index.when(method="HEAD", template="json")
    @index.when(method="GET", template="json")
    def report(self) -> dict[str, Any]:
        """200 or 503, and what was found."""
        works, document = self._health.report()
        pecan.response.status = 200 if works else 503
        pecan.response.headers["Cache-Control"] = "no-store"
        return document


class RootController:
    """The root of all paths; `v1` is the controller of all paths below that name."""

    def __init__(self, health: Health, v1: object):
        self.v1 = v1
        self.healthcheck = HealthController(health)

    @pecan.expose("json", generic=True)
    def index(self) -> None:
        """Any other method."""
        pecan.abort(405)

    @index.when(method="HEAD", template="json")
    @index.when(method="GET", template="json")
    def versions(self) -> dict[str, Any]:
        """The versions document."""
        return {"versions": [version(path) for path in _VERSIONS]}

# SPDX-License-Identifier: Apache-2.0
"""Reads the central cloud: the master's present state is what subclouds are brought to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.common.endpoints.model import EndpointType, ResourceType
from headwater.common.errors import (
    ConfigurationError,
    ExchangeError,
    HeadwaterError,
    LoginRefused,
    NoEndpoint,
)
from headwater.common.sessions import Answer, ServiceClient
from headwater.orchestrator.sync import listing
from headwater.orchestrator.sync.listing import CloudState


class CentralUnreadable(HeadwaterError):
    """The central cloud could not be read now; nothing is known about the resource."""


class CentralInconsistent(CentralUnreadable):
    """The central cloud shows a resource by its id and not in its list: one of them is old."""


class CentralReader:
    """One service of the central cloud, read with the engine's own credentials.

    `connect` is called at the first read, so that an engine starts while the central cloud is away.
    """

    def __init__(self, connect: Callable[[], ServiceClient]):
        self._connect = connect

    def state(self, resource: ResourceType, master_id: str) -> Mapping[str, Any] | None:
        """The JSON object of a resource, or None when the central cloud has none by that id.

        For a link the object is empty. Raises CentralUnreadable, or CentralInconsistent.
        """
        answer = self._get(resource.name, resource.member.expand(resource.parameters(master_id)))
        if answer.status == 404 and isinstance(answer.body, dict):
            return None
        # A 404 without an error document comes from something in between.
        if not answer.ok:
            raise CentralUnreadable(
                f"The central cloud answers {answer.status} for {resource.name} {master_id}: "
                f"{answer.reason}"
            )
        if resource.body is None:
            return {}
        state = answer.body.get(resource.body) if isinstance(answer.body, dict) else None
        if not isinstance(state, dict):
            raise CentralUnreadable(
                f"The central cloud's answer for {resource.name} {master_id} is no {resource.name}."
            )
        return self._listed(resource, master_id, state) if resource.cached else state

    def _listed(
        self, resource: ResourceType, master_id: str, state: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The state that a list shows: it is not older, as one from the service's cache may be."""
        key = resource.natural_key(state)
        if key is None:
            return state
        for listed in self.find(resource, key):
            if listed.get("id") == master_id:
                return listed
        raise CentralInconsistent(
            f"The central cloud shows {resource.name} {master_id} and does not list it as {key}: "
            "it was renamed or deleted, and its cache does not know yet."
        )

    def find(self, resource: ResourceType, key: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """All resources with these fields, such as parts of a natural key. CentralUnreadable."""
        if resource.collection is None or resource.list_key is None:
            return []
        params = {name: value for name, value in key.items() if isinstance(value, str)}
        answer = self._get(resource.name, resource.collection.text, params)
        if not answer.ok:
            raise CentralUnreadable(
                f"The central cloud answers {answer.status} for a list of {resource.name}: "
                f"{answer.reason}"
            )
        listed = answer.body.get(resource.list_key) if isinstance(answer.body, dict) else None
        if not isinstance(listed, list):
            raise CentralUnreadable(f"The central cloud's answer is no list of {resource.name}.")
        return [
            state
            for state in listed
            if all(state.get(name) == value for name, value in key.items())
        ]

    def list_all(self, endpoint_type: EndpointType) -> CloudState:
        """Everything that the central cloud has. Raises CentralUnreadable and Unlistable."""
        return listing.list_all(
            endpoint_type, lambda path, params: self._get(endpoint_type.name, path, params)
        )

    def _get(self, what: str, path: str, params: Mapping[str, str] | None = None) -> Answer:
        try:
            return self._connect().call("GET", path, params=params)
        except (LoginRefused, NoEndpoint, ConfigurationError, ExchangeError) as error:
            raise CentralUnreadable(
                f"The central cloud cannot be read for {what}: {error}"
            ) from error

# SPDX-License-Identifier: Apache-2.0
"""How one kind of resource is replayed; an endpoint file names the strategy of each resource."""

from collections.abc import Mapping
from typing import Protocol

from headwater.common.endpoints.model import ResourceType
from headwater.engine.outcome import Done, Gone
from headwater.engine.task import Work
from headwater.orchestrator.sync.strategies.link import LinkStrategy
from headwater.orchestrator.sync.strategies.rest import RestStrategy
from headwater.orchestrator.sync.subject import Subject


class Strategy(Protocol):
    """One method per operation; each says what happens the second time.

    All raise Refused, GoneInCentral, Unidentified, CentralUnreadable, Unreachable, LoginRefused.
    """

    def create(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Bring a new resource to the subcloud."""

    def update(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Bring changed fields to the subcloud."""

    def delete(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Remove the resource from the subcloud."""

    def align(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Bring the resource to the central cloud's present state."""


STRATEGIES: Mapping[str, Strategy] = {"rest": RestStrategy(), "link": LinkStrategy()}

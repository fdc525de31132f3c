# SPDX-License-Identifier: Apache-2.0
"""Links between resources, such as a role assignment: a path of ids, PUT and DELETE, no body."""

from headwater.common.endpoints.model import ResourceType
from headwater.engine.outcome import Done, Gone
from headwater.engine.task import Work
from headwater.orchestrator.sync.subject import Refused, Subject


class LinkStrategy:
    """Every method is safe to repeat. A link's id is the ids of its ends, joined by `/`."""

    def create(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Make the link; ends that the subcloud lacks are brought there first.

        The second time is answered like the first.
        """
        ends = self._ends(subject, resource, work)
        path = resource.member.expand(ends)
        answer = subject.call("PUT", path, accept=(404, 409))
        if answer.status == 404:
            # An end is not where the mapping says: look for all of them again.
            for name, master_id in resource.parameters(work.request.master_id).items():
                for type_name in resource.references[name]:
                    subject.mappings.forget(type_name, master_id)
            ends = self._ends(subject, resource, work)
            path = resource.member.expand(ends)
            answer = subject.call("PUT", path, accept=(409,))
        if answer.status == 409 and not subject.call("GET", path, accept=(404,)).ok:
            # Some links answer so when they exist (implied roles); this one does not exist.
            raise Refused("PUT", path, answer)
        # An audit removes only what is known to have been brought.
        there = resource.master_id(ends)
        subject.mappings.learn(resource.name, work.request.master_id, there, None)
        return Done()

    def update(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """A link has nothing to change; it is made sure that it is as in the central cloud."""
        return self.align(subject, resource, work)

    def delete(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Remove the link; an end that the subcloud lacks had no link. Repeating finds nothing."""
        ends = {}
        for name, master_id in resource.parameters(work.request.master_id).items():
            known = subject.locate(resource.references[name], master_id)
            if known is None:
                return Gone(f"The subcloud does not have the {name.removesuffix('_id')}.")
            ends[name] = known
        answer = subject.call("DELETE", resource.member.expand(ends), accept=(404,))
        subject.mappings.forget(resource.name, work.request.master_id)
        return Done() if answer.ok else Gone("The subcloud did not have it.")

    def align(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Make or remove the link, as the central cloud has it now."""
        if subject.central.state(resource, work.request.master_id) is None:
            return self.delete(subject, resource, work)
        return self.create(subject, resource, work)

    def _ends(self, subject: Subject, resource: ResourceType, work: Work) -> dict[str, str]:
        return {
            name: subject.refer(resource.references[name], master_id)
            for name, master_id in resource.parameters(work.request.master_id).items()
        }

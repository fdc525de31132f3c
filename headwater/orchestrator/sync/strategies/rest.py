# SPDX-License-Identifier: Apache-2.0
"""Resources with an id of their own: POST to a collection, PATCH and DELETE of a member."""

from collections.abc import Mapping
from typing import Any

from headwater.common.endpoints.model import ResourceType
from headwater.engine.outcome import Done, Gone
from headwater.engine.task import Work
from headwater.orchestrator.sync.subject import Occupied, Subject, Unidentified


class RestStrategy:
    """Every method is safe to repeat."""

    def create(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Create; what is there already, by mapping or natural key, is brought to the fields.

        The second time updates what the first one created.
        """
        master_id, fields = work.request.master_id, work.info.fields
        if fields is None:
            return self.align(subject, resource, work)
        known = subject.mappings.find(resource.name, master_id)
        if known is not None:
            wanted = subject.translate(resource, fields)
            if subject.update(resource, known, wanted, work.info.headers):
                return Done()
            subject.mappings.forget(resource.name, master_id)
        _, adopted = subject.create(resource, master_id, fields, work.info.headers)
        return Done("Adopted what the subcloud already had." if adopted else None)

    def update(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Change fields; a resource that the subcloud lacks is created from the central cloud.

        The second time sets the same fields again.
        """
        fields = work.info.fields
        if fields is None:
            return self.align(subject, resource, work)
        wanted = subject.translate(resource, fields)
        for _ in range(2):
            known = self._locate(subject, resource, work)
            if known is None:
                break
            if subject.update(resource, known, wanted, work.info.headers):
                return Done()
            # The mapping was wrong; the natural key may still find it.
            subject.mappings.forget(resource.name, work.request.master_id)
        return self._restore(subject, resource, work, wanted)

    def delete(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Delete; the second time finds nothing, which is what was asked for."""
        try:
            known = self._locate(subject, resource, work)
        except Occupied:
            # Whoever has the name now is another one.
            return Gone("The subcloud did not have it.")
        if known is None:
            if self._key(resource, work) is None:
                raise Unidentified(
                    f"Nothing says how the subcloud knows {resource.name} "
                    f"{work.request.master_id}; delete it there by hand if it exists."
                )
            return Gone("The subcloud did not have it.")
        deleted = subject.delete(resource, known, work.info.headers)
        subject.mappings.forget(resource.name, work.request.master_id)
        return Done() if deleted else Gone("The subcloud did not have it any more.")

    def align(self, subject: Subject, resource: ResourceType, work: Work) -> Done | Gone:
        """Bring the resource to the central cloud's present state, with the change's own secrets.

        Secrets cannot be read from any cloud; those that a later change set anew are left alone.
        """
        state = subject.central.state(resource, work.request.master_id)
        if state is None:
            return self.delete(subject, resource, work)
        # A field that the central cloud does not even mention is to be empty in the subcloud too.
        absent = dict.fromkeys(resource.compare)
        wanted = subject.translate(resource, {**absent, **state, **self._secrets(resource, work)})
        known = self._locate(subject, resource, work)
        if known is None:
            known = self._find_present(subject, resource, work.request.master_id, state)
        if known is not None and subject.update(resource, known, wanted, work.info.headers):
            return Done("Aligned with the central cloud.")
        subject.mappings.forget(resource.name, work.request.master_id)
        return self._restore(subject, resource, work, self._secrets(resource, work))

    def _locate(self, subject: Subject, resource: ResourceType, work: Work) -> str | None:
        """The subcloud's id by mapping, or by the natural key from before the change."""
        master_id, key = work.request.master_id, self._key(resource, work)
        known = subject.mappings.find(resource.name, master_id)
        if known is None and key is not None:
            known = subject.find(resource, key, master_id)
            if known is not None:
                subject.mappings.learn(resource.name, master_id, known, None)
        return known

    def _key(self, resource: ResourceType, work: Work) -> Mapping[str, Any] | None:
        """How the subcloud knows the resource before the change, or once it was created."""
        return work.info.key_before or resource.natural_key(work.info.fields or {})

    def _find_present(
        self, subject: Subject, resource: ResourceType, master_id: str, state: Mapping[str, Any]
    ) -> str | None:
        key = resource.natural_key(state)
        known = subject.find(resource, key, master_id) if key is not None else None
        if known is not None:
            subject.mappings.learn(resource.name, master_id, known, key)
        return known

    def _restore(
        self,
        subject: Subject,
        resource: ResourceType,
        work: Work,
        extra: Mapping[str, Any],
    ) -> Done | Gone:
        """Create from the central cloud's present state; `extra` are translated fields on top."""
        master_id = work.request.master_id
        state = subject.central.state(resource, master_id)
        if state is None:
            return Gone("It exists no more in the central cloud.")
        created, _ = subject.create(resource, master_id, state)
        secrets = {name: value for name, value in extra.items() if name in resource.secrets}
        if secrets and not subject.update(resource, created, secrets, work.info.headers):
            raise Unidentified(f"{resource.name} {created} vanished while it was created.")
        if resource.secrets and not secrets:
            return Done(
                f"Created from the central cloud without {', '.join(sorted(resource.secrets))}, "
                "which cannot be read there."
            )
        return Done("Created from the central cloud: the subcloud did not have it.")

    def _secrets(self, resource: ResourceType, work: Work) -> dict[str, Any]:
        if work.request.secrets_superseded or work.info.fields is None:
            return {}
        return {name: value for name, value in work.info.fields.items() if name in resource.secrets}

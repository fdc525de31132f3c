# SPDX-License-Identifier: Apache-2.0
"""One subcloud as strategies see it: find, create and refer to resources there."""

from collections.abc import Mapping
from typing import Any

from headwater.common.endpoints.model import EndpointType, ResourceType
from headwater.common.errors import HeadwaterError
from headwater.common.sessions import Answer, ServiceClient
from headwater.orchestrator.sync.central import CentralReader
from headwater.orchestrator.sync.mapping import MappingView

#: Deeper than any chain of references in a real cloud (projects nest at most five levels).
_DEEPEST = 10


class Refused(HeadwaterError):
    """The subcloud answered a call with an error."""

    def __init__(self, method: str, path: str, answer: Answer):
        self.answer = answer
        super().__init__(f"{method} {path}: {answer.status} {answer.reason}")


class GoneInCentral(HeadwaterError):
    """Something that a change refers to exists no more in the central cloud."""


class Unidentified(HeadwaterError):
    """Nothing says how the subcloud knows the resource."""


class Occupied(HeadwaterError):
    """What has the natural key in the subcloud is the counterpart of another resource."""


class OwnLogin(HeadwaterError):
    """A change would lock headwater itself out of the subcloud."""


class Subject:
    """One subcloud during one batch. Used by one thread."""

    def __init__(
        self,
        endpoint_type: EndpointType,
        client: ServiceClient,
        central: CentralReader,
        mappings: MappingView,
    ):
        self._endpoint_type, self._client = endpoint_type, client
        self.central, self.mappings = central, mappings
        self._depth = 0
        self._notes: list[str] = []

    def take_notes(self) -> list[str]:
        """What was special since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Call the subcloud; raises Refused for an error status that is not in `accept`."""
        answer = self._client.call(method, path, json=json, headers=headers)
        if not answer.ok and answer.status not in accept:
            raise Refused(method, path, answer)
        return answer

    def refer(self, types: tuple[str, ...], master_id: str) -> str:
        """The subcloud's id for a reference, which is created there when it is missing.

        `types` are the resource types that the id may belong to. Raises GoneInCentral when the
        central cloud has none of them.
        """
        for name in types:
            known = self.mappings.find(name, master_id)
            if known is not None:
                return known
        for name in types:
            found = self._bring(self._endpoint_type.resources[name], master_id)
            if found is not None:
                return found
        raise GoneInCentral(f"The central cloud has no {' or '.join(types)} {master_id} any more.")

    def locate(self, types: tuple[str, ...], master_id: str) -> str | None:
        """The subcloud's id for a reference if the subcloud has it; creates nothing."""
        for name in types:
            known = self.mappings.find(name, master_id)
            if known is not None:
                return known
        for name in types:
            resource = self._endpoint_type.resources[name]
            key = self.mappings.present_key(name, master_id)
            if key is None:
                state = self.central.state(resource, master_id)
                key = resource.natural_key(state) if state is not None else None
            if key is not None:
                found = self.find_own(resource, key, master_id)
                if found is not None:
                    self.mappings.learn(name, master_id, found, key)
                    return found
        return None

    def find_own(
        self, resource: ResourceType, key: Mapping[str, Any], master_id: str
    ) -> str | None:
        """As `find`, but None where the subcloud's resource belongs to another one."""
        try:
            return self.find(resource, key, master_id)
        except Occupied:
            return None

    def find(self, resource: ResourceType, key: Mapping[str, Any], master_id: str) -> str | None:
        """The subcloud's id of the resource with a natural key given in the central cloud's ids.

        Raises Occupied when it is the counterpart of another living resource than `master_id`.
        """
        if resource.collection is None or resource.list_key is None:
            return None
        try:
            wanted = self.translate(resource, key)
        except GoneInCentral:
            # Whatever it lay in is gone with everything inside.
            return None
        params = {field: value for field, value in wanted.items() if isinstance(value, str)}
        answer = self._client.call("GET", resource.collection.text, params=params)
        if not answer.ok:
            raise Refused("GET", resource.collection.text, answer)
        matches = [
            entry
            for entry in answer.body[resource.list_key]
            # The service may ignore a filter, or compare names more loosely than we do.
            if all(entry.get(field) == value for field, value in wanted.items())
        ]
        if len(matches) > 1:
            raise Unidentified(
                f"The subcloud has {len(matches)} {resource.name} resources by the natural key "
                f"{dict(wanted)}."
            )
        if not matches:
            return None
        found = str(matches[0]["id"])
        other = self.mappings.other_owner(resource.name, found, master_id)
        if other is not None:
            raise Occupied(
                f"The subcloud's {resource.name} {found} has the natural key {dict(wanted)}, but "
                f"is the counterpart of {other}."
            )
        return found

    def translate(self, resource: ResourceType, fields: Mapping[str, Any]) -> dict[str, Any]:
        """`fields` as this subcloud takes them: its own ids, nothing that only clouds set.

        A field that refers to something that exists no more is left out, and noted, unless the
        resource cannot be without it: then GoneInCentral is raised.
        """
        translated = {}
        for field, value in fields.items():
            if field in resource.read_only:
                continue
            if field not in resource.references or not isinstance(value, str):
                translated[field] = value
                continue
            try:
                translated[field] = self.refer(resource.references[field], value)
            except GoneInCentral:
                if field in resource.match or field in resource.create_only:
                    raise
                self._notes.append(f"Without {field}, which exists nowhere in the central cloud.")
        return translated

    def create(
        self,
        resource: ResourceType,
        master_id: str,
        fields: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> tuple[str, bool]:
        """Create a resource from fields with the central cloud's ids, or adopt what is in its way.

        Returns the subcloud's id and whether it was adopted; an adopted one has been brought to
        the wanted state.
        """
        if resource.collection is None or resource.body is None:
            raise AssertionError(f"{resource.name} has no collection to create in")
        wanted = self.translate(resource, fields)
        body = dict(wanted)
        if resource.id_field is not None:
            body[resource.id_field] = master_id
        key = resource.natural_key(fields)
        answer = self.call(
            "POST",
            resource.collection.text,
            json={resource.body: body},
            headers=headers,
            accept=(409,),
        )
        if answer.ok:
            created = str(answer.body[resource.body]["id"])
            self.mappings.learn(resource.name, master_id, created, key)
            return created, False
        found = self.find(resource, key, master_id) if key is not None else None
        if found is None:
            raise Refused("POST", resource.collection.text, answer)
        self.mappings.learn(resource.name, master_id, found, key)
        self.update(resource, found, wanted, headers)
        return found, True

    def update(
        self,
        resource: ResourceType,
        subcloud_id: str,
        wanted: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        """Bring a resource to translated fields; False when the subcloud has none by that id."""
        changeable = {
            field: value for field, value in wanted.items() if field not in resource.create_only
        }
        if not changeable:
            return True
        self._keep_login(resource, subcloud_id, changeable)
        answer = self.call(
            resource.update_method,
            resource.member.expand(resource.parameters(subcloud_id)),
            json={resource.body: changeable},
            headers=headers,
            accept=(404,),
        )
        return answer.ok

    def delete(
        self,
        resource: ResourceType,
        subcloud_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        """Delete a resource; False when the subcloud has none by that id."""
        if self._is_own_login(resource, subcloud_id):
            raise OwnLogin("headwater logs in to the subcloud as this user; it is not deleted.")
        path = resource.member.expand(resource.parameters(subcloud_id))
        accept = (403, 404, 409) if resource.before_delete else (404,)
        answer = self.call("DELETE", path, headers=headers, accept=accept)
        if answer.status not in (403, 409):
            return answer.ok
        # Such as a domain that is still enabled.
        if not self.update(resource, subcloud_id, resource.before_delete, headers):
            return False
        return self.call("DELETE", path, headers=headers, accept=(404,)).ok

    def _is_own_login(self, resource: ResourceType, subcloud_id: str) -> bool:
        return bool(resource.login) and self._client.user_id() == subcloud_id

    def _keep_login(
        self, resource: ResourceType, subcloud_id: str, wanted: Mapping[str, Any]
    ) -> None:
        """Raise OwnLogin where fields of headwater's own user would be others afterwards."""
        fields = [field for field in resource.login if field in wanted]
        if not fields or not self._is_own_login(resource, subcloud_id):
            return
        path = resource.member.expand(resource.parameters(subcloud_id))
        answer = self.call("GET", path, accept=(404,))
        present = answer.body[resource.body] if answer.ok else {}
        # A password is in no answer, and so is always another one.
        changed = [field for field in fields if present.get(field) != wanted[field]]
        if changed:
            raise OwnLogin(
                f"headwater logs in to the subcloud as this user; its {', '.join(changed)} is not "
                "changed from here. Change it there, and then here with 'subcloud set'."
            )

    def _bring(self, resource: ResourceType, master_id: str) -> str | None:
        """Find a resource by its natural key or create it; None when the central has none."""
        key = self.mappings.present_key(resource.name, master_id)
        state = None
        if key is None:
            state = self.central.state(resource, master_id)
            key = resource.natural_key(state) if state is not None else None
            if key is None:
                return None
        found = self.find(resource, key, master_id)
        if found is not None:
            self.mappings.learn(resource.name, master_id, found, None)
            return found
        state = state or self.central.state(resource, master_id)
        if state is None:
            return None
        if self._depth >= _DEEPEST:
            raise Unidentified(f"References of {resource.name} {master_id} lead in a circle.")
        self._depth += 1
        try:
            return self.create(resource, master_id, state)[0]
        finally:
            self._depth -= 1

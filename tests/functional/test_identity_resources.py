# SPDX-License-Identifier: Apache-2.0
"""Every resource and operation of identity.yaml, through the gateway and the worker, twice.

Generated from the registry: a resource that is added to the file is tested without writing a test;
an action needs an example of its body.
"""

import typing
from collections.abc import Callable

from headwater.common.endpoints.model import Call, ResourceType
from headwater.common.endpoints.registry import load_registry
from headwater.common.states import Operation
from tests.functional.system import SystemTest
from tests.services.keystone import Keystone
from tests.support import databases

RESOURCES = load_registry(None).only(frozenset({"identity"}))
IDENTITY = next(iter(RESOURCES))

Json = dict[str, typing.Any]

#: Bodies of calls that are no plain create, update or delete: by path, from the resource's state.
EXAMPLES: dict[str, Callable[[Json], object]] = {
    "/v3/users/{user_id}/password": lambda state: {
        "user": {"password": "changed-by-herself", "original_password": state["password"]}
    },
    "/v3/projects/{project_id}/tags": lambda state: {"tags": ["blue", "green"]},
    "/v3/projects/{project_id}/tags/{tag}": lambda state: None,
}


class IdentityResources(SystemTest):
    """Names end in the resource and the operation."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # Never answers: its requests stay queued, so that jobs keep what a second replay needs. It
        # also shows that one sick subcloud holds nobody up.
        cls.system.add("dark", auth_url="http://127.0.0.1:9/v3")

    def make(self, resource: ResourceType) -> Json:
        """A new resource, made through the gateway, with what it refers to."""
        body: Json = {"name": self.unique(resource.name)}
        if "password" in resource.secrets:
            body["password"] = "first-password"
        if "domain_id" in resource.match:
            body["domain_id"] = "default"
        if resource.name == "domain":
            body["enabled"] = False  # an enabled one cannot be deleted
        if resource.name == "role":
            del body["domain_id"]
        assert resource.collection is not None
        answer = self.system.change("POST", resource.collection.text, {resource.body: body})
        return {**answer.json()[resource.body], **body}

    def parameters(self, resource: ResourceType) -> dict[str, Json]:
        """New resources for the ends of a link, by parameter."""
        return {
            name: self.make(IDENTITY.resources[resource.references[name][0]])
            for name in resource.member.parameters
        }

    def counterpart(self, cloud: Keystone, resource: ResourceType, state: Json) -> Json:
        """The resource of the same name on a subcloud, by that cloud's own API."""
        return self.one(cloud, resource.name, name=state["name"])

    def link(self, cloud: Keystone, resource: ResourceType, ends: dict[str, Json]) -> int:
        """The status that a subcloud's own API gives for a link."""
        path = resource.member.expand(
            {
                name: self.counterpart(
                    cloud, IDENTITY.resources[resource.references[name][0]], state
                )["id"]
                for name, state in ends.items()
            }
        )
        return cloud.request("GET", path).status_code

    def run_rest(self, resource: ResourceType, call: Call) -> None:
        """A call on a resource with an id of its own."""
        state = self.make(resource)
        values = {resource.member.parameters[-1]: state["id"], "tag": "blue"}
        path = call.path.expand(values)
        if call.operation is Operation.CREATE:
            body: Json = {**state, "name": self.unique("other")}
            for name in ("id", "links", "password_expires_at", "options"):
                body.pop(name, None)
            answer = self.system.change("POST", path, {resource.body: body})
            state = answer.json()[resource.body]
        elif call.path == resource.member and call.operation is Operation.UPDATE:
            changed = {"name": self.unique("renamed"), "description": "Changed."}
            answer = self.system.change(call.method, path, {resource.body: changed})
            state = {**state, **changed}
        elif call.path == resource.member:
            answer = self.system.change(call.method, path)
        else:
            if call.method == "DELETE":
                for name in ("blue", "red"):
                    self.system.change("PUT", f"/v3/projects/{state['id']}/tags/{name}")
            answer = self.system.change(call.method, path, EXAMPLES[call.path.text](state))
        for again in (False, True):
            if again:
                self.system.replay_again(answer)
            for cloud in self.system.subclouds.values():
                self.check_rest(cloud, resource, call, state)

    def check_rest(self, cloud: Keystone, resource: ResourceType, call: Call, state: Json) -> None:
        """Compare a subcloud with the central cloud, each by its own API."""
        if call.operation is Operation.DELETE:
            self.assertEqual(self.find(cloud, resource.name, name=state["name"]), [])
            return
        there = self.counterpart(cloud, resource, state)
        here = self.counterpart(self.system.central, resource, state)
        for field in resource.compare:
            self.assertEqual(there.get(field), here.get(field), field)
        if call.path.text == "/v3/users/{user_id}/password":
            self.assertTrue(self.can_login(cloud, state["name"], "changed-by-herself"))

    def run_link(self, resource: ResourceType, call: Call) -> None:
        """A call on a link."""
        ends = self.parameters(resource)
        path = call.path.expand({name: state["id"] for name, state in ends.items()})
        if call.operation is Operation.DELETE:
            self.system.change("PUT", path)
        answer = self.system.change(call.method, path)
        expected = (404,) if call.operation is Operation.DELETE else (200, 204)
        for again in (False, True):
            if again:
                self.system.replay_again(answer)
            for cloud in self.system.subclouds.values():
                self.assertIn(self.link(cloud, resource, ends), expected, cloud.region_name)


def _test(resource: ResourceType, call: Call) -> Callable[[IdentityResources], None]:
    def test(self: IdentityResources) -> None:
        if resource.collection is None:
            self.run_link(resource, call)
        else:
            self.run_rest(resource, call)

    return test


for _resource in IDENTITY.resources.values():
    for _call in _resource.calls:
        _last = _call.path.segments[-1].strip("{}")
        _name = f"test_{_resource.name}_{_call.operation}_by_{_call.method.lower()}_{_last}"
        setattr(IdentityResources, _name.replace("-", "_"), _test(_resource, _call))

databases.on_servers(IdentityResources)

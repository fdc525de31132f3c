# SPDX-License-Identifier: Apache-2.0
"""The real API on a real database; only the token's check is decided by the test."""

import json
import pathlib
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import webob
from oslo_config import cfg

from headwater.cmd import policies
from headwater.common.auth import Refusals, WsgiApp
from headwater.common.context import Caller
from headwater.common.endpoints.registry import load_registry
from headwater.common.proxies import TrustedProxies
from headwater.common.secrets import KeyRing
from headwater.common.states import AuditMode, ComponentKind
from headwater.db import flavors, inventory, tasks
from headwater.db.pod_records import Requirements, SeenComponent
from headwater.db.records import Job
from headwater.engine.fleet import Fleet
from headwater.orchestrator.api.app import Api
from headwater.orchestrator.api.parts import Parts
from headwater.orchestrator.api.route import Route
from headwater.orchestrator.podm.scheduler import Scheduler, Weights
from headwater.orchestrator.watch import JobWatch, TaskWatch
from tests.support import databases, pod_builders, telemetry_builders

TOKEN = "a-token"

#: Headers by which auth_token tells who is calling.
ADMIN: Mapping[str, str] = {
    "X-User-Id": "admin-id",
    "X-User-Name": "admin",
    "X-Project-Id": "admin-project",
    "X-Roles": "admin,member,reader",
}


class Health:
    """Findings that the test decides."""

    def __init__(self) -> None:
        self.works = True
        self.error: Exception | None = None

    def report(self) -> tuple[bool, dict[str, Any]]:
        if self.error:
            raise self.error
        return self.works, {"status": "ok" if self.works else "unavailable"}


class ApiTestCase(databases.DatabaseTestCase):
    #: Contents of the policy file, where there is one.
    policy: str | None = None
    trusted_proxies: Sequence[str] = ()

    def setUp(self) -> None:
        super().setUp()
        self.health = Health()
        self.woken: list[str] = []
        #: Who is calling.
        self.caller: Mapping[str, str] = ADMIN
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.registry = load_registry(None)
        self.key_ring = KeyRing.ensure(directory / "keys")
        self.parts = Parts(
            database=self.database,
            key_ring=self.key_ring,
            registry=self.registry,
            audit_modes=dict.fromkeys(self.registry.names, AuditMode.ENFORCE),
            fleet=Fleet(self.database, self.registry.names),
            watch=JobWatch(self.database, interval=0.01),
            wake=lambda: self.woken.append("look"),
            tasks=TaskWatch(self.database, interval=0.01),
            wake_service=lambda service: self.woken.append(service.value),
            scheduler=Scheduler(self.database, self.key_ring, Weights()),
            pod_drivers=("bmc_fleet", "fake", "redfish"),
        )
        conf = cfg.ConfigOpts()
        conf([], project="headwater", default_config_files=[], default_config_dirs=[])
        rules = policies.load(conf, self.registry, self._policy_file(directory))
        self.app = Api(
            self.health,  # type: ignore[arg-type]
            self.parts,
            rules,
            self.token_filter,
            "1",
            proxies=TrustedProxies("trusted_proxies", self.trusted_proxies),
        )

    def _policy_file(self, directory: pathlib.Path) -> str | None:
        if self.policy is None:
            return None
        file = directory / "policy.yaml"
        file.write_text(self.policy)
        return str(file)

    def token_filter(self, app: WsgiApp, refusals: Refusals) -> WsgiApp:
        """Knows one token, and a Keystone that is away."""

        def filtered(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            token = environ.get("HTTP_X_AUTH_TOKEN")
            if token == TOKEN:
                for name, value in self.caller.items():
                    environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
                return app(environ, start_response)
            refuse = refusals.unavailable if token == "unknown" else refusals.unauthorized
            assert refuse is not None
            return refuse(environ)(environ, start_response)

        return filtered

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        *,
        caller: Mapping[str, str] | None = None,
        **headers: str,
    ) -> webob.Response:
        """One exchange, by default without a token; `caller` gives one."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        given: dict[str, Any] = {}
        if body is not None:
            given = {"body": json.dumps(body).encode(), "content_type": "application/json"}
        request = webob.Request.blank(
            path, method=method, base_url="https://cloud.example:25080", headers=names, **given
        )
        if caller is not None:
            request.headers["X-Auth-Token"] = TOKEN
            self.caller = caller
        return request.get_response(self.app)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> webob.Response:
        """One exchange of an admin."""
        return self.ask(path, method, body, caller=ADMIN, **headers)

    def known_paths(self, job: Job) -> Callable[[str], dict[str, str]]:
        """Gives the parameters with which a route's path leads to something.

        There is a job, and a subcloud named `one`; this adds a pod with a machine, and a node, of
        that name, and a task that has ended.
        """
        pod = pod_builders.add_pod(self.database, "one")
        machine = pod_builders.add_machine(self.database, pod)
        task = pod_builders.add_task(
            self.database, pod, caller=Caller(job.user_id, None, job.project_id)
        )
        tasks.cancel(self.database, task.uuid)
        pod_builders.add_node(self.database, "one")
        volume = SeenComponent(ComponentKind.VOLUME, f"{machine.uri}/Volumes/1", "volume")
        inventory.store_parts(self.database, machine, [ComponentKind.VOLUME], [volume])
        (component,) = inventory.list_components(self.database, limit=9)
        flavors.add(self.database, "one", None, Requirements())
        telemetry_builders.add_policy(self.database, "one")
        telemetry_builders.poll(self.database, pod)
        batched = pod_builders.add_task(
            self.database, pod, target="none", batch=str(uuid.uuid4()), batch_budget=1
        )
        tasks.cancel(self.database, batched.uuid)
        ids = {
            "jobs": job.uuid,
            "machines": machine.uuid,
            "tasks": task.uuid,
            "components": component.uuid,
            "batches": str(batched.batch),
        }

        def parameters(path: str) -> dict[str, str]:
            known = {
                "name": "one",
                "id": ids.get(path.split("/")[2], ""),
                "volume": component.uuid,
            }
            return {name: value for name, value in known.items() if f"{{{name}}}" in path}

        return parameters

    @staticmethod
    def impatient(route: Route) -> str:
        """The query with which a route waits for nothing: no worker is there."""
        return "?wait=0" if "wait" in route.query else ""

    def refused(self, answer: webob.Response) -> dict[str, Any]:
        """The only error of an answer that has to be one."""
        self.assertEqual("application/json", answer.content_type)
        (error,) = answer.json["errors"]
        self.assertEqual(answer.status_int, error["status"])
        self.assertEqual(answer.headers["X-Openstack-Request-Id"], error["request_id"])
        self.assertEqual({"request_id", "code", "status", "title", "detail"}, set(error))
        found: dict[str, Any] = error
        return found

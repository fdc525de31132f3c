# SPDX-License-Identifier: Apache-2.0
"""schemathesis asks the API all that its document allows, and what it does not.

No 500, nothing undocumented, nothing refused that is allowed.
"""

import os
from typing import Any
from unittest import mock

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection

from headwater.orchestrator.api.v1 import ROUTES
from tests.support import builders
from tests.support.api import ADMIN, TOKEN, ApiTestCase

#: Per operation; the examples are the same in every run with the same number.
_EXAMPLES = int(os.environ.get("HEADWATER_FUZZ_EXAMPLES", "10"))


class FuzzTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        # Nothing of it is left to run, so that no stream or wait lasts.
        self.known = self.known_paths(builders.accepted_job(self.database))
        builders.add_subcloud(self.database, "one")
        self.caller = ADMIN
        # No worker is there, and nothing comes of waiting for one.
        self.enterContext(
            mock.patch.object(self.parts.tasks, "settled", lambda record, timeout: record)
        )
        schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", self.app)
        self.operations = list(schema.get_all_operations())

    def test_every_operation_keeps_its_word(self) -> None:
        self.assertEqual(len(ROUTES), len(self.operations))
        for found in self.operations:
            operation = found.ok()
            for mode in GenerationMode:
                with self.subTest(f"{operation.label}, {mode.value}"):
                    self.fuzz(operation, mode)

    def fuzz(self, operation: Any, mode: GenerationMode) -> None:
        real = hypothesis.strategies.booleans()

        @hypothesis.settings(
            max_examples=_EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(operation.as_strategy(generation_mode=mode), real)
        def one(case: Any, really: bool) -> None:
            if really:
                # Or hardly any path would lead to something.
                case.path_parameters = self.known(operation.path)
            pod = case.body.get("pod") if isinstance(case.body, dict) else None
            if isinstance(pod, dict) and isinstance(pod.get("ca_certificates"), str):
                # No schema says what a certificate is.
                pod["ca_certificates"] = None
            case.headers["X-Auth-Token"] = TOKEN
            # Valid, and refused unless it is the present one.
            case.headers.pop("If-Match", None)
            response = case.call()
            self.assertLess(response.status_code, 500, response.text)
            # The token that is put in here makes some of them right again.
            case.validate_response(
                response, excluded_checks=[negative_data_rejection, ignored_auth]
            )

        one()

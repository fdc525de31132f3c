# SPDX-License-Identifier: Apache-2.0
"""All rules with their defaults, for processes and for oslo.policy's own commands."""

from typing import Any

from oslo_config import cfg

from headwater.common import policy
from headwater.common.endpoints.registry import Registry, load_registry
from headwater.common.policy import Policy, Rule
from headwater.orchestrator.api import policies
from headwater.orchestrator.api.v1 import ROUTES


def _rules(known: Registry) -> list[Rule]:
    return [*policies.rules(ROUTES), *policy.gateway_rules(known)]


def load(conf: cfg.ConfigOpts, known: Registry, file: str | None = None) -> Policy:
    """The rules with what the operator's policy file changes. Raises ConfigurationError.

    That is `file`, or the one of [oslo_policy].
    """
    return Policy(conf, _rules(known), file)


def list_rules() -> list[Any]:
    """For oslopolicy-sample-generator and alike (namespace `headwater`)."""
    return [policy.documented(rule) for rule in _rules(load_registry(None))]

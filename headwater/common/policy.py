# SPDX-License-Identifier: Apache-2.0
"""Who may do what: rules with defaults in code, which operators override in a policy file."""

from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_context.context import RequestContext
from oslo_policy import opts, policy

from headwater.common.endpoints.model import EndpointType
from headwater.common.errors import ConfigurationError

#: (name, check string, description, operations as (method, path))
Rule = tuple[str, str, str, tuple[tuple[str, str], ...]]


class Policy:
    """Answers whether the caller of one exchange may do something. Safe for many threads.

    Raises ConfigurationError for a policy file that cannot be read or whose rules are wrong.
    """

    def __init__(self, conf: cfg.ConfigOpts, rules: Iterable[Rule], file: str | None = None):
        opts.set_defaults(conf)
        self._enforcer = policy.Enforcer(conf, policy_file=file)
        self._enforcer.register_defaults([documented(rule) for rule in rules])
        try:
            self._enforcer.load_rules(force_reload=True)
            self._enforcer.check_rules(raise_on_violation=True)
        except Exception as error:
            # oslo.policy and the parsers behind it raise their own kinds.
            raise ConfigurationError(
                f"[oslo_policy] policy_file = {file or conf.oslo_policy.policy_file}: {error}"
            ) from error

    def allows(
        self, rule: str, environ: Mapping[str, Any], target: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether the caller that auth_token found, and wrote into `environ`, passes a rule.

        `target` is what the rule compares with, such as the project of a job.
        """
        context = RequestContext.from_environ(dict(environ))
        allowed: bool = self._enforcer.authorize(
            rule, dict(target or {}), context.to_policy_values(), do_raise=False
        )
        return allowed


def documented(rule: Rule) -> policy.RuleDefault:
    """A rule as oslo.policy has it, for enforcers and sample files."""
    name, check, description, operations = rule
    if not operations:
        return policy.RuleDefault(name, check, description)
    return policy.DocumentedRuleDefault(
        name,
        check,
        description,
        [{"method": method, "path": path} for method, path in operations],
    )


def gateway_rule(endpoint_type: str, resource: str, operation: str) -> str:
    """The name of the rule for sending a change through the gateway."""
    return f"gateway:{endpoint_type}:{resource}:{operation}"


def gateway_rules(endpoint_types: Iterable[EndpointType]) -> list[Rule]:
    """One rule per kind of change: everybody may, because the central cloud decides."""
    operations: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for endpoint_type in endpoint_types:
        for resource in endpoint_type.resources.values():
            for call in resource.calls:
                key = (endpoint_type.name, resource.name, call.operation.value)
                operations.setdefault(key, []).append((call.method, call.path.text))
    return [
        (
            gateway_rule(*key),
            "",
            f"Send a change through the gateway of {key[0]}: {key[2]} a {key[1]}. The central "
            "cloud has its own say afterwards.",
            tuple(calls),
        )
        for key, calls in operations.items()
    ]

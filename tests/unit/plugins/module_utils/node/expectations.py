# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expectations for tables, with the defaults that the module gives them."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import health
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.argspec import HEALTH
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.observe import Expected
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Finding


def parameters(**options: Any) -> dict[str, Any]:
    """The options of a run as AnsibleModule hands them over."""
    given = HEALTH.to_kwargs()
    checked = ArgumentSpecValidator(given["argument_spec"], required_one_of=given["required_one_of"]).validate(options)
    assert not checked.error_messages, checked.error_messages
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters


def expected(**options: Any) -> Expected:
    return health.parse(parameters(**options))


def wanted(option: str, **given: Any) -> Any:
    """One expectation of a list."""
    [one] = getattr(expected(**{option: [given]}), option)
    return one


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Last part of the code, and severity."""
    return [(finding.code.rpartition(".")[2], finding.severity) for finding in findings]

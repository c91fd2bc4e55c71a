# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is restarted because of what was found: that, and all that needs it, in the order of starting."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Finding
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.restart import ORDER, restarts, with_dependants


def found(code: str, severity: str = "critical", **detail: Any) -> Finding:
    return Finding(code, severity, "x", "x", detail)


@pytest.mark.step("T12")
@pytest.mark.parametrize(
    ("finding", "wanted"),
    [
        (found("talus.container.stopped", component="db"), ["db", "web", "master"]),
        (found("talus.container.missing", component="amqp"), ["amqp", "master", "slave"]),
        (found("talus.container.flapping", component="web"), ["web"]),
        (found("talus.link.stale", holder="web", component="db"), ["web"]),
        (found("talus.link.empty", holder="master", component="db"), ["master"]),
        (found("talus.order.master_before_amqp", dependant="master", dependency="amqp"), ["master"]),
        (found("talus.daemon.deaf", kind="slave"), ["slave"]),
        (found("talus.daemon.missing", kind="master"), ["master"]),
        (found("talus.amqp.unreachable"), ["amqp", "master", "slave"]),
        (found("talus.order.web_before_db", "warning", dependant="web", dependency="db"), []),
        (found("talus.container.paused", component="db"), []),  # somebody has paused it
        (found("talus.link.none", holder="web"), []),  # it would come back without one
        (found("talus.database.no_primary"), []),  # what mends it is no restart
        (found("talus.records.unreadable"), []),
        (found("talus.none", "warning"), []),
    ],
    ids=lambda value: value.code if isinstance(value, Finding) else None,
)
def test_what_a_finding_calls_for(finding: Finding, wanted: list[str]) -> None:
    assert restarts([finding]) == wanted


def test_findings_together_are_one_order() -> None:
    both = [found("talus.daemon.deaf", kind="slave"), found("talus.container.stopped", component="db"), found("talus.daemon.deaf", kind="slave")]
    assert restarts(both) == ["db", "web", "master", "slave"]
    assert restarts([]) == []


@pytest.mark.parametrize("component", ORDER)
def test_what_needs_it_stands_after_it(component: str) -> None:
    assert with_dependants({component})[0] == component
    assert with_dependants(set(ORDER)) == list(ORDER)

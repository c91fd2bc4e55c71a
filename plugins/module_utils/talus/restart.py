# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restart would mend, and what must be restarted with it, in the order of starting. Pure.

A container that comes back has another address, which its dependants hold as it was; daemons never connect to a broker again.
"""

from __future__ import annotations

from typing import List, Sequence, Set

from ..procedure.envelope import Finding
from .names import COMPONENTS, DAEMONS

ORDER = (*COMPONENTS, *DAEMONS)
"""Each needs only what stands before it."""
NEEDED_BY = {"db": ("web", "master"), "amqp": ("master", "slave")}
_CONTAINER = ("missing", "stopped", "flapping")
_DAEMON = ("missing", "deaf", "flapping", "duplicate", "no_database")
_LINK = ("empty", "stale")


def restarts(findings: Sequence[Finding]) -> List[str]:
    """Components, from findings that are critical."""
    broken = {component for finding in findings if finding.severity == "critical" for component in _named(finding)}
    return with_dependants(broken)


def with_dependants(components: Set[str]) -> List[str]:
    wanted = set(components)
    for component in ORDER:
        if component in wanted:
            wanted.update(NEEDED_BY.get(component, ()))
    return [component for component in ORDER if component in wanted]


def _named(finding: Finding) -> List[str]:
    """What the finding is about; nothing where a restart would not help."""
    parts, detail = finding.code.split("."), finding.detail
    group, word = parts[1], parts[-1]
    if group == "container" and word in _CONTAINER:
        return [str(detail["component"])]
    if group == "daemon" and word in _DAEMON:
        return [str(detail["kind"])]
    if group == "link" and word in _LINK:
        return [str(detail["holder"])]
    if group == "order":
        return [str(detail["dependant"])]
    return ["amqp"] if finding.code == "talus.amqp.unreachable" else []

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong on a host of Talus, the worst first in each part. Pure."""

from __future__ import annotations

from typing import Dict, List

from ..procedure.envelope import SEVERITIES, Finding, Remedy
from .names import FILE
from .state import Limits, TalusState
from .verdict_boxes import judge_boxes
from .verdict_containers import judge_containers
from .verdict_daemons import judge_daemons
from .verdict_records import judge_database, judge_records

_WHOLE = (FILE, "Debugging Talus")
_MISSING: Dict[str, tuple[str, str, str]] = {
    "containers": ("critical", "MongoDB", "see why the engine does not answer (systemctl status docker); nothing is known of containers until it does"),
    "links": ("warning", "Docker", "see what the engine says of it; whether a container still goes by the right address cannot be told"),
    "logs": ("warning", "Docker", "see which log driver the engine has (docker info): not every one can be read back"),
    "daemons": ("warning", "Master Daemon", "run it as root on the host of the daemons"),
    "manager": ("warning", "Master Daemon", "see what starts services on this host, and name it: manager"),
    "records": ("critical", "MongoDB", "see what mongodb_replica_set_info says of the server"),
    "boxes": ("warning", "Vagrant", "run it as root, or name the directory that the boxes are in"),
}


def diagnose(state: TalusState, limits: Limits) -> List[Finding]:
    """All parts that were looked at, and those that could not be."""
    found = [
        *_missing(state),
        *judge_containers(state, limits),
        *judge_database(state),
        *judge_daemons(state, limits),
        *judge_records(state, limits),
        *judge_boxes(state),
    ]
    if not state.roles and not any(finding.severity == "critical" for finding in found):
        text = "nothing of Talus was found on this host: no container, no daemon, no unit"
        found.append(Finding("talus.none", "warning", "talus", text, {}, Remedy("check the host, or say what it is to be: roles"), _WHOLE))
    if all(finding.severity in ("ok", "info") for finding in found):
        text = "Talus stands on this host (%s): what was looked at is as it should be" % " and ".join(state.roles)
        found.insert(0, Finding("talus.ok", "ok", "talus", text, {"roles": list(state.roles)}, None, _WHOLE))
    return found


def healthy(findings: List[Finding]) -> bool:
    """No finding is critical."""
    return not any(SEVERITIES.index(finding.severity) >= SEVERITIES.index("critical") for finding in findings)


def _missing(state: TalusState) -> List[Finding]:
    found = []
    for part, reason in sorted(state.missing.items()):
        severity, heading, remedy = _MISSING[part]
        text = "%s could not be looked at: %s" % (part, reason)
        if part == "records" and state.database is not None and state.database.why_not():
            text = "records could not be read, since %s: %s" % (state.database.why_not(), reason)
        found.append(Finding("talus.%s.unreadable" % part, severity, part, text, {"reason": reason}, Remedy(remedy), (FILE, heading)))
    return found

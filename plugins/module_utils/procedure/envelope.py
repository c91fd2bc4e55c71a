# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The envelope that every module returns: findings, changes and the plan's hash.

A finding says what is so; a change says what a fix will do (or did) to one subject. Both are plain data, and
everything above them (report, undo, events) is built on these two shapes alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence

Image = Dict[str, Any]
"""What a subject looks like at one time: JSON values by name. ``None`` in its place means that it does not exist."""

SEVERITIES = ("ok", "info", "warning", "critical")


class Remedy(NamedTuple):
    """What would mend a finding: a playbook with its variables, or in words who to call."""

    text: str
    playbook: Optional[str] = None
    vars: Mapping[str, Any] = MappingProxyType({})
    hosts: str = ""
    """Groups of the inventory, where it is not to be run on the host that the finding is of."""

    def to_dict(self) -> dict[str, Any]:
        told = {"playbook": self.playbook, "vars": dict(self.vars), "text": self.text}
        return dict(told, hosts=self.hosts) if self.hosts else told


@dataclass(frozen=True)
class Finding:
    """One thing that is so, in one sentence for a person and in codes for a machine."""

    code: str
    severity: str
    subject: str
    summary: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    remedy: Optional[Remedy] = None
    runbook: Optional[tuple[str, str]] = None
    """File and heading of the runbook."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError("severity must be one of %s, not %r" % (", ".join(SEVERITIES), self.severity))

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "subject": self.subject,
            "summary": self.summary,
            "detail": dict(self.detail),
            "remedy": self.remedy.to_dict() if self.remedy else None,
            "runbook": {"file": self.runbook[0], "heading": self.runbook[1]} if self.runbook else None,
        }


@dataclass(frozen=True)
class Change:
    """One subject going from one image to another. ``before`` or ``after`` is ``None`` where it does not exist."""

    action: str
    subject: str
    before: Optional[Image]
    after: Optional[Image]
    reason: str
    reversible: bool = True
    data_loss: str = ""
    """Names what would be lost for good; the plan is refused unless ``accept_data_loss`` lists this very text."""
    token: Any = field(default=None, compare=False, repr=False)
    """Version of the subject as it was observed, for the store that applies the change. Never shown nor kept."""

    def to_dict(self) -> dict[str, Any]:
        shown = {
            "action": self.action,
            "subject": self.subject,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "reversible": self.reversible,
        }
        if self.data_loss:
            shown["data_loss"] = self.data_loss
        return shown

    def identity(self) -> list[Any]:
        """What makes this change this change: all but the wording of its reason."""
        return [self.action, self.subject, self.before, self.after, self.reversible, self.data_loss]


class Outcome(NamedTuple):
    """What became of one change when it was applied."""

    done: bool
    note: str = ""
    """Why it was not done: the subject had changed since it was planned."""
    actual: Optional[Image] = None
    """The image that came about, where the plan could not know all of it (an id that a server gives)."""


def canonical(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces, plain ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is neither True nor 1.0."""
    if isinstance(one, (list, tuple, dict, float)):
        return canonical(one) == canonical(other)
    return type(one) is type(other) and one == other


def plan_sha256(fix: str, changes: Sequence[Change]) -> str:
    """Hash of what a fix is about to do, the same in check mode and in the real run as long as nothing moved."""
    digest = hashlib.sha256(fix.encode("utf-8"))
    for change in changes:
        digest.update(b"\n")
        digest.update(canonical(change.identity()).encode("ascii"))
    return digest.hexdigest()


def worst(findings: Sequence[Finding]) -> str:
    """The worst severity among findings; ``ok`` when there are none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default="ok")

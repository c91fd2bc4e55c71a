# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about b-trees and their nodes. Pure."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple

from ..procedure.envelope import Finding, Remedy
from .btree import Fault
from .source import RUNBOOK

DAMAGE = (
    "look again, as a node that is just being changed may look so; if it stays, keep a copy of the segment and of its log before anything else is tried, "
    "and call those who support Motr: no tool mends a node of a live process"
)


_MET = DAMAGE.replace("look again, ", "walk from the root of the tree to see whether the node is in use, as freed memory holds old ones; look again, ")


class _Kind(NamedTuple):
    severity: str
    remedy: str


_NODES: Dict[str, _Kind] = {
    "limit": _Kind("info", "raise max_nodes, or walk from a node further down"),
    "moved": _Kind("info", "walk again, as the tree was changed meanwhile"),
    "too_long": _Kind("warning", "see whether there is a node at this address at all"),
}
_WHOLE: Dict[str, _Kind] = {
    "limit": _Kind("warning", "raise max_scan, or name the address of a root"),
    "unreadable": _Kind("warning", "see whether the file of the segment is as long as its header says"),
    "ambiguous": _Kind("warning", "name the address of the root: one of the candidates, which a walk from each of them tells"),
    "cycle": _Kind("critical", DAMAGE),
    "none": _Kind("warning", "see which trees there are, with neither address nor tree; another process, or another segment, may have it"),
}


def finding_of(fault: Fault, address: str, source: str, in_use: bool = True) -> Finding:
    """One thing that is wrong with one node. Of one that was only met in memory it is not known whether it is in use."""
    kind = _NODES.get(fault.code, _Kind("critical", DAMAGE) if in_use else _Kind("warning", _MET))
    text = fault.text if fault.code == "limit" else "the node at %s in %s: %s" % (address, source, fault.text)
    return Finding("motr.node.%s" % fault.code, kind.severity, address, text, {"fault": fault.code, "source": source}, Remedy(kind.remedy), RUNBOOK)


def whole(fault: Fault, subject: str, source: str, detail: Mapping[str, Any]) -> Finding:
    """What is so of a tree or of the search for it."""
    kind = _WHOLE[fault.code]
    return Finding("motr.tree.%s" % fault.code, kind.severity, subject, "%s, in %s" % (fault.text, source), dict(detail), Remedy(kind.remedy), RUNBOOK)

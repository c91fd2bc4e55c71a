# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at b-trees: one node, a walk from a root, the nodes of a tree by its fid, or which trees there are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding
from .btree import Fault, Node
from .btree_scan import Name, Root, Scan, root_of, scan, tops
from .btree_told import Seen, Teller
from .btree_types import TREES
from .btree_walk import Limits, Visit, read_node, walk
from .damage import finding_of, whole
from .errors import MotrError
from .ids import Fid, parse
from .source import RUNBOOK, Source, hexadecimal, open_source, parse_address, still_there, told_source, within

MOST_NODES, MOST_RECORDS, MOST_BYTES = 100000, 100000, 1 << 50
FINDINGS = 100
"""Findings of single nodes that are told; the rest is counted."""


@dataclass(frozen=True)
class Look:
    """What was seen. ``seen`` are nodes; ``found`` is there where nodes were looked for, ``root`` where it had to be chosen."""

    seen: Tuple[Seen, ...] = ()
    found: Optional[Scan] = None
    root: Optional[Root] = None
    more: int = 0
    """Nodes that are known to be there and were not looked at."""
    walked: bool = True
    """Whether the nodes were reached as a tree leads to them. Others may be old ones in freed memory."""

    def faults(self) -> List[Tuple[int, Fault]]:
        """All that is wrong with nodes, by address."""
        listed = self.found.damaged if self.found is not None and not self.seen else ()
        found = [(seen.address, fault) for seen in self.seen for fault in seen.faults]
        return found + [(node.address, fault) for node in listed for fault in node.faults]


class BtreeInfo(Check[Look]):
    """Reads only."""

    name = "motr_btree_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        within("max_records", params["max_records"], 0, MOST_RECORDS)
        most = within("max_nodes", params["max_nodes"], 1, MOST_NODES)
        within("max_scan", params["max_scan"], 1, MOST_BYTES)
        self.limits = Limits(nodes=most)
        self.tree: Optional[Fid] = None if params["tree"] is None else parse(params["tree"])
        if params["address"] is None and self.tree is None and params["walk"]:
            raise MotrError("a walk begins at an address, or at the root of a tree: one of both is wanted")
        source = open_source(params)
        if source is None:
            raise MotrError("one of pid, process and segment is wanted")
        self.source: Source = source

    def close(self) -> None:
        self.source.close()

    def observe(self) -> Look:
        look = self._look()
        still_there(self.source)
        return look

    def diagnose(self, state: Look) -> List[Finding]:
        source = self.source.name
        findings = [finding_of(fault, hexadecimal(address), source, state.walked) for address, fault in state.faults()][:FINDINGS]
        if state.found is not None:
            detail = {"scanned": state.found.scanned, "size": state.found.size}
            findings += [whole(fault, str(self.tree or "trees"), source, detail) for fault in state.found.faults]
        if state.root is not None and state.root.fault is not None:
            findings.append(whole(state.root.fault, str(self.tree), source, {"candidates": [hexadecimal(each) for each in state.root.candidates]}))
        if not findings:
            text = "nothing is wrong with the %d nodes that were read of %s" % (len(state.seen) or len(state.found.nodes if state.found else ()), source)
            findings.append(Finding("motr.node.ok", "ok", str(self.tree or self.params["address"] or "trees"), text, {}, None, RUNBOOK))
        return findings

    def facts(self, state: Look) -> Mapping[str, Any]:
        levels = sorted(seen.level for seen in state.seen if seen.level is not None)
        rows = [seen.row for seen in state.seen if seen.row is not None]
        total = sum(seen.records for seen in state.seen)
        damaged = len({address for address, fault in state.faults() if fault.code not in ("limit", "moved")})
        scanned = state.found
        return {
            "source": told_source(self.source),
            "root": hexadecimal(state.root.address) if state.root and state.root.address is not None else None,
            "candidates": [hexadecimal(each) for each in state.root.candidates] if state.root else [],
            "nodes": rows,
            "trees": [] if scanned is None else trees(scanned),
            "sound": not damaged and not (state.root and state.root.fault),
            "nodes_read": len(levels),
            "nodes_damaged": damaged,
            "records_total": total,
            "levels": {str(level): levels.count(level) for level in sorted(set(levels))},
            "left_off": {
                "nodes": state.more,
                "records": total - sum(len(row["records"]) for row in rows),
                "findings": max(0, len(state.faults()) - FINDINGS),
                "bytes": scanned.size - scanned.scanned if scanned else 0,
            },
        }

    def evidence(self, state: Look) -> Mapping[str, Any]:
        return {"source": self.source.name, "uid": os.geteuid(), "scanned": state.found.scanned if state.found else 0}

    # -- ways to look --------------------------------------------------------------------------------------------------------

    def _look(self) -> Look:
        if self.params["address"] is not None:
            address = parse_address(self.params["address"], self.source.ranges)
            return self._walk(address) if self.params["walk"] else self._one(address)
        found = scan(self.source.read, self.source.ranges, () if self.tree is None else (self.tree,), self.params["max_scan"])
        return Look(found=found, walked=False) if self.tree is None else self._tree(self.tree, found)

    def _one(self, address: int) -> Look:
        node = read_node(self.source.read, address, self.limits)
        return Look((self._teller().take(Visit(address, 0, node, node.faults)),))

    def _teller(self) -> Teller:
        return Teller(self.params["max_records"], self.params["raw"], self.params["damaged_only"])

    def _walk(self, address: int) -> Look:
        self.source.read(address, 1)  # that the root itself cannot be read is no finding, but an error
        teller, seen = self._teller(), []
        known: Set[int] = set()
        met: Set[int] = set()
        for visit in walk(self.source.read, address, self.limits):
            seen.append(teller.take(visit))
            known.update(visit.node.children if visit.node is not None and not visit.faults else ())
            met.update(() if _limited(visit) else (visit.address,))
        return Look(tuple(seen), more=len(known - met))

    def _tree(self, tree: Fid, found: Scan) -> Look:
        names = sorted({(node.tree_type, node.fid) for node in (*found.nodes, *found.damaged)})
        if not names:
            return Look(found=found, root=Root(None, (), Fault("none", "no node of the tree %s was found" % str(tree))))
        sound = sorted({(node.tree_type, node.fid) for node in found.nodes}) or names
        root = root_of(self.source.read, found, sound[0])
        if len(sound) > 1:
            told = ", ".join("%d (%s)" % (kind, TREES.get(kind, "unknown")) for kind, _fid in sound)
            root = Root(None, root.candidates, Fault("ambiguous", "trees of the types %s have the fid %s" % (told, tree)))
        if self.params["walk"] and root.address is not None:
            walked = self._walk(root.address)
            return Look(walked.seen, found, root, walked.more)
        order = sorted((*found.nodes, *found.damaged), key=lambda node: (-node.level, node.address))
        teller = self._teller()
        seen = tuple(teller.take(self._visit(node.address)) for node in order[: self.limits.nodes])
        return Look(seen, found, root, max(0, len(order) - self.limits.nodes), walked=False)

    def _visit(self, address: int) -> Visit:
        try:
            node = read_node(self.source.read, address, self.limits)
        except MotrError as exc:
            return Visit(address, 0, None, (Fault("unreadable", str(exc)),))
        return Visit(address, 0, node, node.faults)


def _limited(visit: Visit) -> bool:
    return any(fault.code == "limit" for fault in visit.faults)


def trees(found: Scan) -> List[Dict[str, Any]]:
    """Trees that nodes were found of, with those that may be roots."""
    roots = tops(found.nodes)
    nodes: Dict[Name, List[Node]] = {}
    for node in found.nodes:
        nodes.setdefault((node.tree_type, node.fid), []).append(node)
    return [_tree(name, nodes[name], roots.get(name, ())) for name in sorted(nodes)]


def _tree(name: Name, nodes: Sequence[Node], roots: Sequence[int]) -> Dict[str, Any]:
    return {
        "tree": str(name[1]),
        "tree_type": name[0],
        "tree_name": TREES.get(name[0], "unknown"),
        "roots": [hexadecimal(address) for address in roots],
        "nodes": len(nodes),
        "records_counted": sum(node.used for node in nodes if node.is_leaf),
        "height": max(node.level for node in nodes) + 1,
    }

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One object whose state is to be set: where it is kept, what would be written there, and what keeps it from being done. Pure."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ...procedure.envelope import Change, Finding, Remedy
from ...procedure.errors import Refusal
from ..errors import MotrError
from ..ids import Fid
from .consul import Item
from .kv import Cluster, Drive, Entry, Process, damaged_of
from .publish import Message
from .states import OUT, PROCESS, SERVING, UNSET, agree, kept, kind_of
from .verdict import RUNBOOK, disagreement

_SHOWN = 10


class Wish(NamedTuple):
    fid: Fid
    kind: str
    state: str
    expected: Optional[str]
    publish: bool


class Target(NamedTuple):
    """An object, and the entries of Consul that have its state: the first is the one in ``m0conf/nodes/``."""

    kind: str
    fid: Fid
    node: str
    health: str
    entries: Tuple[Entry, ...]
    process: Optional[Process] = None
    drive: Optional[Drive] = None

    @property
    def subject(self) -> str:
        return "%s:%s" % (self.kind, self.fid.hare)

    @property
    def state(self) -> str:
        return self.entries[0].state


class StateView(NamedTuple):
    cluster: Cluster
    target: Target


def target_of(cluster: Cluster, fid: Fid) -> Target:
    """The object in both trees."""
    kind = kind_of(fid)
    health = {node.name: node.health for node in cluster.nodes}
    if kind == "process":
        for process in cluster.processes:
            if process.fid == fid:
                entries = (process.entry, process.event) if process.event else (process.entry,)
                return Target(kind, fid, process.node, process.health, entries, process=process)
        raise _unknown(cluster, kind, fid, [each.fid for each in cluster.processes])
    if kind == "service":
        for service in cluster.services:
            if service.fid == fid:
                return Target(kind, fid, service.node, health.get(service.node, "offline"), (service.entry,))
        raise _unknown(cluster, kind, fid, [each.fid for each in cluster.services])
    for drive in cluster.drives:
        if fid in (drive.sdev, drive.drive):
            # Hare sets the state of the storage device alone; one that somebody has set in the tree of sites is not left to contradict it.
            entries = (drive.entry, drive.site) if drive.site and drive.site.state.lower() != UNSET else (drive.entry,)
            return Target(kind, drive.sdev, drive.node, health.get(drive.node, "offline"), entries, drive=drive)
    raise _unknown(cluster, kind, fid, [each.sdev for each in cluster.drives])


def _unknown(cluster: Cluster, kind: str, fid: Fid, known: Sequence[Fid]) -> MotrError:
    # What a drive is on the side of its node, is told by the key of its storage device.
    damaged = damaged_of(cluster, fid) or [key for key in cluster.damaged if kind == "drive" and "/sdevs/" in key]
    if damaged:
        return MotrError(
            "%s holds something else than Hare writes, so the state of %s %s is not known. Look at it with consul kv get." % (damaged[0], kind, fid.hare)
        )
    more = " and %d more" % (len(known) - _SHOWN) if len(known) > _SHOWN else ""
    there = ", ".join(each.hare for each in known[:_SHOWN]) or "none"
    return MotrError("Hare knows no %s %s; it knows %s%s." % (kind, fid.hare, there, more))


def wanted_value(target: Target, entry: Entry, state: str) -> Dict[str, Any]:
    """The entry with the state that is asked for, in its own vocabulary, and all else as it is."""
    is_event = target.kind == "process" and entry.key.startswith("processes/")
    return dict(entry.value, state=PROCESS[state] if is_event else kept(target.kind, state))


def message_of(target: Target, state: str) -> Optional[Message]:
    """What hax is told; nothing of a service, for which Hare has no event."""
    if target.drive is not None:
        known = {"node": target.node, "source_type": "drive", "device": target.drive.path, "state": state}
        return Message("M0_HA_MSG_NVEC", known)
    if target.process is not None and target.process.event is not None:
        known = {"fid": target.fid.hare, "state": PROCESS[state], "type": str(target.process.event.value.get("type", ""))}
        return Message("PROCESS-STATE-UPDATE", known)
    return None


def plan(view: StateView, wish: Wish) -> List[Change]:
    target = view.target
    moved = [(entry, wanted_value(target, entry, wish.state)) for entry in target.entries]
    changed = [(entry, value) for entry, value in moved if dict(entry.value) != value]
    if not changed:
        return []
    change = Change(
        action="set_state",
        subject=target.subject,
        before={entry.key: dict(entry.value) for entry, _value in changed},
        after={entry.key: value for entry, value in changed},
        reason="%s is asked for" % wish.state,
        token={entry.key: Item(entry.key, json.dumps(dict(entry.value)), entry.modify_index) for entry in target.entries},
    )
    message = message_of(target, wish.state) if wish.publish else None
    if message is None:
        return [change]
    reason = "the KV alone tells Motr nothing: all hax read this event, and what they have told Motr is not taken back"
    return [change, Change("publish", "event:" + target.subject, None, message.image(), reason, reversible=False)]


def guards(view: StateView, wish: Wish, planned: Sequence[Change]) -> List[Refusal]:
    target = view.target
    found: List[Refusal] = []
    if not planned:
        return found
    damaged = damaged_of(view.cluster, target.fid, target.drive.drive if target.drive else None)
    if damaged:
        reason = "%s holds something else than Hare writes, so one of Hare's trees would be set without the other." % damaged[0]
        found.append(Refusal("damaged", reason, "look at it with consul kv get, and put it right or delete it first."))
    if wish.expected is not None and target.state != kept(target.kind, wish.expected):
        reason = "%s is %s, not %s, as was expected." % (target.subject, target.state, kept(target.kind, wish.expected))
        found.append(Refusal("expected", reason, "look at it again, then ask with expected: the state that it has."))
    if wish.expected is None and wish.publish and wish.state in OUT.get(target.kind, ()):
        reason = "all of Motr would take %s for %s, and what is told is not taken back; it is %s now." % (target.subject, wish.state, target.state)
        found.append(Refusal("expected", reason, "expected with the state that it has, or publish: false, which tells Motr nothing."))
    if wish.publish and message_of(target, wish.state) is None:
        reason = "%s has never told of itself (no processes/%s), so the type that an event must name is not known." % (target.subject, target.fid.hare)
        found.append(Refusal("event", reason, "publish: false, which tells Motr nothing."))
    if target.kind == "process" and wish.state in SERVING and target.health != "passing":
        reason = "the node %s is %s for Consul, so Hare takes whatever is on it for offline." % (target.node, target.health)
        found.append(Refusal("node", reason, "bring the node back first."))
    return found


def diagnose(view: StateView, wish: Wish) -> List[Finding]:
    target = view.target
    found = [each for each in [disagreement(target.process) if target.process else None] if each]
    damaged = damaged_of(view.cluster, target.fid, target.drive.drive if target.drive else None)
    if damaged:
        text = "%s holds something else than Hare writes: hax fails where it reads it" % damaged[0]
        found.append(Finding("hare.key.damaged", "critical", damaged[0], text, {"keys": damaged}, Remedy("look at it with consul kv get"), RUNBOOK))
    detail = {"state": target.state, "wanted": wish.state, "node": target.node, "keys": [entry.key for entry in target.entries]}
    differing = [entry for entry in target.entries if dict(entry.value) != wanted_value(target, entry, wish.state)]
    if not differing:
        return [*found, Finding("hare.state.ok", "ok", target.subject, "%s is %s for Hare" % (target.subject, target.state), detail, runbook=RUNBOOK)]
    variables = {"motr_hare_object": target.fid.hare, "motr_hare_state": wish.state}
    remedy = Remedy("set it", "fieldops.runbooks.motr_hare", variables)
    summary = "%s is %s for Hare, not %s" % (target.subject, " and ".join(sorted({each.state for each in target.entries})), wish.state)
    return [*found, Finding("hare.state.differs", "warning", target.subject, summary, detail, remedy, RUNBOOK)]


def told(target: Target) -> Dict[str, Any]:
    """The object as the module returns it."""
    process, drive = target.process, target.drive
    event = process.event if process else None
    return {
        "kind": target.kind,
        "fid": target.fid.hare,
        "node": target.node,
        "node_health": target.health,
        "state": target.state,
        "event": event.state if event else None,
        "status": process.status if process else None,
        "agree": agree(event.state, target.state) if event else None,
        "path": drive.path if drive else None,
        "kv_keys": [entry.key for entry in target.entries],
    }


def items_of(token: Mapping[str, Any]) -> Dict[str, Item]:
    """The keys as they were looked at."""
    return {key: Item(*item) for key, item in token.items()}

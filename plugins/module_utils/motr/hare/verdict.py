# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a cluster as Hare's keys describe it. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...procedure.envelope import Finding, Remedy
from .kv import Cluster, Drive, Process
from .states import UNSET, agree

RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
PLAYBOOK = "fieldops.runbooks.motr_hare"
_WELL = ("online", UNSET, "unknown")
_NAMED = 20


class Queue(NamedTuple):
    """The broadcast queue: epochs of its messages, and how many of them each node's hax has not read."""

    epochs: Tuple[int, ...]
    backlog: Dict[str, int]
    unread: Tuple[Tuple[int, Any], ...] = ()


def queue_of(cluster: Cluster, epochs: Sequence[int]) -> Queue:
    """hax marks the last message that it has read; one that never marked any has read none (hax/queue/offset.py)."""
    delivered = dict({node.name: -1 for node in cluster.nodes}, **cluster.delivered)
    return Queue(tuple(epochs), {name: sum(epoch > last for epoch in epochs) for name, last in sorted(delivered.items())})


def diagnose(cluster: Cluster, queue: Queue, max_backlog: int) -> List[Finding]:
    found = [*_nodes(cluster), *_processes(cluster), *_drives(cluster), *_queue(cluster, queue, max_backlog), *_keys(cluster)]
    if not cluster.leader:
        text = "no hax is the recovery coordinator: nobody takes events from the event queue"
        remedy = Remedy("look at hax on each node: systemctl status hare-hax, and consul kv get leader")
        found.append(Finding("hare.leader.none", "warning", "leader", text, {}, remedy, RUNBOOK))
    if not found:
        text = "Hare sees %d nodes, %d processes and %d drives, and all of them well" % (len(cluster.nodes), len(cluster.processes), len(cluster.drives))
        found.append(Finding("hare.cluster.ok", "ok", "cluster", text, runbook=RUNBOOK))
    return found


def _nodes(cluster: Cluster) -> List[Finding]:
    return [
        Finding(
            "hare.node.lost",
            "critical",
            node.name,
            "the node %s is %s for Consul, so all that runs on it is offline for Hare" % (node.name, node.health),
            {"fid": node.fid.hare, "health": node.health, "state": node.state},
            Remedy("look at the node, and at its Consul agent"),
            RUNBOOK,
        )
        for node in cluster.nodes
        if node.health != "passing"
    ]


def _processes(cluster: Cluster) -> List[Finding]:
    found = []
    for process in cluster.processes:
        if process.health != "passing":
            continue  # its node is a finding already
        contradiction = disagreement(process)
        if contradiction:
            found.append(contradiction)
        elif process.status != "started":
            text = "%s %s on %s is %s" % (process.name, process.fid.hare, process.node, process.status)
            remedy = Remedy("look at the process on its node: systemctl status 'm0d@*', journalctl")
            found.append(Finding("hare.process." + process.status, "warning", process.fid.hare, text, _detail(process), remedy, RUNBOOK))
    return found


def disagreement(process: Process) -> Optional[Finding]:
    """Both trees tell of this process, and cannot both be right."""
    if process.event is None or agree(process.event.state, process.entry.state):
        return None
    text = "the two trees of Hare contradict each other about %s %s on %s: processes/ says %s, m0conf/nodes/ says %s" % (
        process.name,
        process.fid.hare,
        process.node,
        process.event.state,
        process.entry.state,
    )
    remedy = Remedy(
        "see whether the process runs and answers, then set the state that is true of it, in both trees at once",
        PLAYBOOK,
        {"motr_hare_object": process.fid.hare},
    )
    return Finding("hare.process.disagree", "warning", process.fid.hare, text, _detail(process), remedy, RUNBOOK)


def _detail(process: Process) -> Dict[str, Any]:
    event = process.event.state if process.event else None
    return {"node": process.node, "name": process.name, "status": process.status, "event": event, "state": process.entry.state}


def _drives(cluster: Cluster) -> List[Finding]:
    found = []
    for drive in cluster.drives:
        detail = {"node": drive.node, "path": drive.path, "state": drive.entry.state, "site_state": drive.site.state if drive.site else None}
        where = "%s (%s on %s)" % (drive.sdev.hare, drive.path, drive.node)
        if _contradicts(drive):
            text = "the two trees of Hare contradict each other about the drive %s: %s and %s" % (where, drive.entry.state, detail["site_state"])
            remedy = Remedy("see what is true of it, then set that in both trees at once", PLAYBOOK, {"motr_hare_object": drive.sdev.hare})
            found.append(Finding("hare.drive.disagree", "warning", drive.sdev.hare, text, detail, remedy, RUNBOOK))
        elif drive.entry.state.lower() not in _WELL:
            severity = "critical" if drive.entry.state == "failed" else "warning"
            way = "failed, repair, repaired, rebalance, online is the way of a drive that is replaced; a step that hangs is set by hand, by motr_hare_state"
            remedy = Remedy(way, PLAYBOOK, {"motr_hare_object": drive.sdev.hare})
            text = "the drive %s is %s" % (where, drive.entry.state)
            found.append(Finding("hare.drive.not_online", severity, drive.sdev.hare, text, detail, remedy, RUNBOOK))
    return found


def _contradicts(drive: Drive) -> bool:
    """Hare never sets the state in the tree of sites, so only one that somebody has set says anything."""
    return drive.site is not None and drive.site.state.lower() != UNSET and drive.site.state != drive.entry.state


def _queue(cluster: Cluster, queue: Queue, max_backlog: int) -> List[Finding]:
    found = []
    health = {node.name: node.health for node in cluster.nodes}
    for name, count in queue.backlog.items():
        if count > max_backlog and health.get(name) == "passing":
            text = "hax on %s has not read %d messages of the broadcast queue, so its Motr processes do not know of them" % (name, count)
            remedy = Remedy("look at hax on that node: it may hang, or not run")
            found.append(Finding("hare.queue.backlog", "warning", name, text, {"unread": count}, remedy, RUNBOOK))
    epoch, newest = cluster.epoch_number, queue.epochs[-1] if queue.epochs else 0
    if epoch is None or newest > epoch:
        what = "there is no number in epoch" if epoch is None else "epoch is %d, and the newest message has %d" % (epoch, newest)
        text = "the counter of the broadcast queue is wrong (%s): the next events would replace others or be taken for read" % what
        found.append(
            Finding("hare.queue.epoch", "critical", "epoch", text, {"epoch": epoch, "newest": newest}, Remedy("do not publish; find out who wrote it"), RUNBOOK)
        )
    return found


def _keys(cluster: Cluster) -> List[Finding]:
    found = []
    if cluster.damaged:
        text = "%d keys hold something else than Hare writes, first %s: hax fails where it reads them" % (len(cluster.damaged), cluster.damaged[0])
        keys = list(cluster.damaged[:_NAMED])
        found.append(Finding("hare.key.damaged", "critical", cluster.damaged[0], text, {"keys": keys}, Remedy("look at them with consul kv get"), RUNBOOK))
    if cluster.unlisted:
        text = "%d processes have told of themselves and are not in the configuration, first %s" % (len(cluster.unlisted), cluster.unlisted[0])
        found.append(Finding("hare.process.unlisted", "info", cluster.unlisted[0], text, {"fids": list(cluster.unlisted[:_NAMED])}, runbook=RUNBOOK))
    return found

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as ``hctl status`` would show it, rebuilt from Consul alone, and what Hare does not say of itself."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ...procedure.check import Check
from ...procedure.envelope import Finding
from ..errors import MotrError
from .consul import Consul
from .kv import TREES, Cluster, Drive, Process, cluster_of
from .publish import messages, numbers
from .states import agree
from .verdict import Queue, diagnose, queue_of

_UNREAD = 10
"""Messages that are shown."""


class HareView(NamedTuple):
    cluster: Cluster
    queue: Queue


def read_cluster(consul: Consul) -> Cluster:
    """All of it as it was at one moment, and the health of the nodes right after."""
    items = consul.trees(TREES)
    if not any(key.startswith("m0conf/nodes/") for key in items):
        raise MotrError(
            "Consul at %s has no key below m0conf/nodes/: either it is not that of a Hare cluster, or the cluster was not bootstrapped, "
            "or consul_token may not read there." % consul.url
        )
    return cluster_of(items, consul.health())


class HareInfo(Check[HareView]):
    name = "hare_info"
    judged_by = ("max_backlog",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.consul = Consul(params)
        self.max_backlog: int = params["max_backlog"]
        self.limit: int = params["limit"]
        for name, value in (("max_backlog", self.max_backlog), ("limit", self.limit)):
            if value < 0:
                raise MotrError("%s must be 0 or more, not %d" % (name, value))

    def observe(self) -> HareView:
        cluster = read_cluster(self.consul)
        queue = queue_of(cluster, numbers(self.consul))
        unread = max(queue.backlog.values(), default=0)
        shown = list(queue.epochs[max(0, len(queue.epochs) - min(unread, _UNREAD)) :])
        return HareView(cluster, queue._replace(unread=tuple(messages(self.consul, shown))))

    def diagnose(self, state: HareView) -> List[Finding]:
        return diagnose(state.cluster, state.queue, self.max_backlog)

    def facts(self, state: HareView) -> Mapping[str, Any]:
        cluster, queue = state.cluster, state.queue
        return {
            "nodes": self._cut([{"name": each.name, "fid": each.fid.hare, "health": each.health, "state": each.state} for each in cluster.nodes]),
            "processes": self._cut([process_row(each) for each in cluster.processes]),
            "drives": self._cut([drive_row(each) for each in cluster.drives]),
            "totals": {name: len(getattr(cluster, name)) for name in ("nodes", "processes", "services", "drives")},
            "leader": cluster.leader or None,
            "queue": {
                "epoch": cluster.epoch_number,
                "messages": len(queue.epochs),
                "newest": queue.epochs[-1] if queue.epochs else None,
                "backlog": queue.backlog,
                "unread": [message_row(epoch, said) for epoch, said in queue.unread],
            },
            "pools": dict(cluster.pools),
            "profiles": dict(cluster.profiles),
            "bytecount": dict(cluster.bytecount),
            "status": status_text(cluster, self.limit),
        }

    def evidence(self, state: HareView) -> Mapping[str, Any]:
        return {"consul_url": self.consul.url, "epoch": state.cluster.epoch_number}

    def _cut(self, rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        return rows[: self.limit] if self.limit else rows


def process_row(process: Process) -> Dict[str, Any]:
    event: Optional[str] = process.event.state if process.event else None
    return {
        "fid": process.fid.hare,
        "node": process.node,
        "name": process.name,
        "endpoint": process.endpoint,
        "status": process.status,
        "event": event,
        "type": process.event.value.get("type") if process.event else None,
        "state": process.entry.state,
        "agree": agree(event, process.entry.state) if event is not None else None,
    }


def drive_row(drive: Drive) -> Dict[str, Any]:
    return {
        "fid": drive.drive.hare if drive.drive else None,
        "sdev": drive.sdev.hare,
        "node": drive.node,
        "service": drive.service.hare,
        "path": drive.path,
        "state": drive.entry.state,
        "site_state": drive.site.state if drive.site else None,
    }


def message_row(epoch: int, said: Any) -> Dict[str, Any]:
    known = said if isinstance(said, dict) else {}
    return {"epoch": epoch, "timestamp": known.get("timestamp"), "message_type": known.get("message_type"), "payload": known.get("payload")}


def status_text(cluster: Cluster, limit: int) -> Sequence[str]:
    """The lines that ``hctl status`` prints of nodes and processes."""
    lines = []
    for node in cluster.nodes:
        lines.append("    %s %s" % (node.name, " (RC)" if node.name == cluster.leader else ""))
        own = [each for each in cluster.processes if each.node == node.name]
        lines += ["    [%s]  %-18s  %-30s  %s" % (each.status, each.name, each.fid.hare, each.endpoint) for each in own]
    return lines[:limit] if limit else lines

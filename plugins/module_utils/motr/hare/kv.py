# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as Hare's keys in Consul describe it (rfc/4 of Hare, and what cfgen and hax really write). Pure."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import MotrError
from ..ids import Fid, parse
from .consul import Item
from .states import status_of

TREES = ("m0conf/", "processes/", "bytecount/", "bq-delivered/", "consul/node/", "epoch", "eq-epoch", "leader", "m0_client_types")
"""All that is read: what else is in this Consul is nobody's business here."""
_PROCESS = 0x7200000000000001
_NAMES = {"confd": "confd", "ha": "hax", "ios": "ioservice", "m0_client_s3": "s3server"}

_DIGITS = 30
"""More than that are no number of Hare's."""


class Entry(NamedTuple):
    """A key with a state in its value."""

    key: str
    value: Mapping[str, Any]
    modify_index: int

    @property
    def state(self) -> str:
        return str(self.value.get("state", ""))


class Service(NamedTuple):
    fid: Fid
    process: Fid
    node: str
    entry: Entry

    @property
    def name(self) -> str:
        return str(self.entry.value.get("name", ""))


class Process(NamedTuple):
    """``entry`` is in the tree of nodes, ``event`` is the one in ``processes/``."""

    fid: Fid
    node: str
    name: str
    endpoint: str
    health: str
    entry: Entry
    event: Optional[Entry]

    @property
    def status(self) -> str:
        return status_of(self.event.state if self.event else "", self.health)


class Drive(NamedTuple):
    """A storage device, with the drive of the tree of sites that it is."""

    sdev: Fid
    drive: Optional[Fid]
    node: str
    service: Fid
    entry: Entry
    site: Optional[Entry]

    @property
    def path(self) -> str:
        return str(self.entry.value.get("path", ""))


class Node(NamedTuple):
    fid: Fid
    name: str
    state: str
    health: str


class Cluster(NamedTuple):
    nodes: Tuple[Node, ...]
    processes: Tuple[Process, ...]
    services: Tuple[Service, ...]
    drives: Tuple[Drive, ...]
    unlisted: Tuple[str, ...]
    """Processes that have told of themselves and are in no tree of nodes."""
    damaged: Tuple[str, ...]
    """Keys whose value is not what Hare writes."""
    epoch: Optional[Item]
    eq_epoch: Optional[int]
    leader: str
    delivered: Mapping[str, int]
    pools: Mapping[str, str]
    profiles: Mapping[str, Any]
    bytecount: Mapping[str, int]

    @property
    def epoch_number(self) -> Optional[int]:
        return _number(self.epoch.value) if self.epoch else None


def damaged_of(cluster: Cluster, *fids: Optional[Fid]) -> List[str]:
    """Damaged keys that have the state of one of these objects."""
    return [key for key in cluster.damaged if _fid(key.rpartition("/")[2]) in {fid for fid in fids if fid is not None}]


def cluster_of(items: Mapping[str, Item], health: Mapping[str, str]) -> Cluster:
    """The cluster that keys and the health of Consul's nodes describe."""
    return _Reader(items, health).cluster()


class _Reader:
    def __init__(self, items: Mapping[str, Item], health: Mapping[str, str]) -> None:
        self.items = items
        self.health_of = health
        self.damaged: List[str] = []
        self.paths = [(tuple(key.split("/")), item) for key, item in items.items()]

    def cluster(self) -> Cluster:
        nodes = tuple(sorted(self._nodes(), key=lambda each: each.name))
        names = {node.fid: node for node in nodes}
        processes = tuple(sorted(self._processes(names), key=lambda each: (each.node, each.fid)))
        services = tuple(sorted(self._services(names), key=lambda each: (each.node, each.fid)))
        drives = tuple(sorted(self._drives(names), key=lambda each: (each.node, each.sdev)))
        known = {process.fid for process in processes}
        return Cluster(
            nodes,
            processes,
            services,
            drives,
            tuple(sorted(fid.hare for fid in self._events() if fid not in known)),
            tuple(sorted(set(self.damaged))),
            self.items.get("epoch"),
            _number(self._text("eq-epoch")),
            self._text("leader"),
            {path[1]: number for path, number in self._numbers("bq-delivered")},
            {path[2]: item.value for path, item in self.paths if path[:2] == ("m0conf", "pools") and len(path) == 3},
            {path[2]: _json(item.value) for path, item in self.paths if path[:2] == ("m0conf", "profiles") and len(path) == 3},
            {path[1]: number for path, number in self._numbers("bytecount")},
        )

    def _text(self, key: str) -> str:
        return self.items[key].value if key in self.items else ""

    def _numbers(self, first: str) -> Iterable[Tuple[Tuple[str, ...], int]]:
        return ((path, number) for path, item in self.paths if path[0] == first and len(path) == 2 for number in (_number(item.value),) if number is not None)

    def _entry(self, item: Item) -> Optional[Entry]:
        value = _json(item.value)
        if isinstance(value, dict) and isinstance(value.get("state"), str):
            return Entry(item.key, value, item.modify_index)
        self.damaged.append(item.key)
        return None

    def _below_nodes(self, *words: str) -> Iterable[Tuple[List[Fid], Entry]]:
        """Objects of one level of ``m0conf/nodes/<fid>/processes/<fid>/...``; the same tree has keys by name and number, which are others."""
        return self._below(("m0conf", "nodes") + words, 1)

    def _below(self, words: Tuple[str, ...], first: int) -> Iterable[Tuple[List[Fid], Entry]]:
        """Keys whose every second part is one of the words, and the others fids."""
        for path, item in self.paths:
            rest = path[first:]
            if path[:first] != words[:first] or len(rest) != 2 * len(words[first:]) or rest[::2] != words[first:]:
                continue
            fids = [_fid(part) for part in rest[1::2]]
            entry = self._entry(item) if None not in fids else None
            if entry is not None:
                yield [fid for fid in fids if fid is not None], entry

    def _nodes(self) -> Iterable[Node]:
        for (fid,), entry in self._below_nodes():
            name = str(entry.value.get("name", ""))
            # Where Hare does not know which of Consul's nodes it is, it is offline (hax/util.py, get_consul_node).
            yield Node(fid, name, entry.state, self.health_of.get(self._text("consul/node/" + name), "offline"))

    def _events(self) -> Dict[Fid, Entry]:
        return {fids[0]: entry for fids, entry in self._below(("processes",), 0)}

    def _processes(self, nodes: Mapping[Fid, Node]) -> Iterable[Process]:
        events, endpoints, types = self._events(), self._endpoints(), self._types()
        clients = _json(self._text("m0_client_types"))
        names = dict(_NAMES, **{str(each): str(each) for each in clients}) if isinstance(clients, list) else _NAMES
        for (node, fid), entry in self._below_nodes("processes"):
            known = nodes.get(node)
            name = next((names[each] for each in sorted(types.get(fid.key, ())) if each in names), "m0_client")
            yield Process(
                fid,
                known.name if known else node.hare,
                name,
                endpoints.get(fid.key, ""),
                known.health if known else "offline",
                entry,
                # As hctl status does, by the key alone (utils/hare-status, processes).
                events.get(Fid(_PROCESS, fid.key)) or events.get(fid),
            )

    def _endpoints(self) -> Dict[int, str]:
        return {int(path[4]): item.value for path, item in self.paths if len(path) == 6 and path[5] == "endpoint" and _by_number(path)}

    def _types(self) -> Dict[int, List[str]]:
        found: Dict[int, List[str]] = {}
        for path, _item in self.paths:
            if len(path) == 7 and path[5] == "services" and _by_number(path):
                found.setdefault(int(path[4]), []).append(path[6])
        return found

    def _services(self, nodes: Mapping[Fid, Node]) -> Iterable[Service]:
        for (node, process, fid), entry in self._below_nodes("processes", "services"):
            yield Service(fid, process, nodes[node].name if node in nodes else node.hare, entry)

    def _drives(self, nodes: Mapping[Fid, Node]) -> Iterable[Drive]:
        sites: Dict[Fid, Tuple[Fid, Entry]] = {}
        for fids, entry in self._below(("m0conf", "sites", "racks", "encls", "ctrls", "drives"), 1):
            sdev = _fid(str(entry.value.get("sdev") or entry.value.get("dev") or ""))  # rfc/4 says dev, cfgen writes sdev
            if sdev is not None:
                sites[sdev] = (fids[-1], entry)
        for (node, _process, service, sdev), entry in self._below_nodes("processes", "services", "sdevs"):
            drive, site = sites.get(sdev, (None, None))
            yield Drive(sdev, drive, nodes[node].name if node in nodes else node.hare, service, entry, site)


def _by_number(path: Tuple[str, ...]) -> bool:
    return path[:2] == ("m0conf", "nodes") and path[3] == "processes" and path[4].isascii() and path[4].isdigit()


def _fid(text: str) -> Optional[Fid]:
    try:
        return parse(text) if ":" in text else None
    except MotrError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> Optional[int]:
    bare = text.strip().strip('"')
    return int(bare) if bare.isascii() and bare.isdigit() and len(bare) <= _DIGITS else None

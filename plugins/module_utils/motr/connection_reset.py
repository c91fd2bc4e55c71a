# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection between one client and one server is reset: the client is told so, or the kernel ends it. Both of them connect again by themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome, Remedy
from ..procedure.errors import Refusal
from ..procedure.undo import Store, StoreFactory
from . import ids
from .client.errors import ToolError
from .client.ha import Ham
from .client.options import client_of
from .client.ss import Connection, Ss
from .endpoints import Endpoint, parse_endpoint
from .errors import MotrError
from .ids import Fid

HA, TCP = "ha", "tcp"
RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
_ONE = "connection "
_SESSIONS = "sessions of "


@dataclass(frozen=True)
class ResetState:
    """``seen`` is None where ss was not asked; ``wanted`` are names of connections, empty where all are meant."""

    method: str
    client: str
    server: str
    seen: Optional[Tuple[Connection, ...]] = None
    wanted: Tuple[str, ...] = ()
    told: bool = False
    before: Optional[Tuple[Connection, ...]] = None
    pid: Optional[int] = None

    @property
    def unknown(self) -> Tuple[str, ...]:
        """Of the connections that were named, those that there were not."""
        known = {each.name for each in (self.before if self.before is not None else self.seen) or ()}
        return tuple(name for name in self.wanted if name not in known and reverse(name) not in known)

    @property
    def chosen(self) -> Tuple[Connection, ...]:
        return tuple(each for each in self.seen or () if not self.wanted or each.name in self.wanted or reverse(each.name) in self.wanted)


LONGEST_PAUSE = 60


class ConnectionReset(Procedure[ResetState]):
    """What was reset once in this run is not reset again by its own verification."""

    name = "motr_connection_reset"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.method: str = params["method"]
        self.client = client_of(params)
        self.target: str = params["client_endpoint"]
        self.process = _process(params["server_process"])
        self.pid: Optional[int] = params["client_pid"]
        self.ends = _ends(params)
        self.wanted = tuple(params["connections"])
        self.pause = float(params["pause"])
        if not 0 <= self.pause <= LONGEST_PAUSE:
            raise MotrError("pause must be 0 to %d seconds, for which the client is cut off, not %s" % (LONGEST_PAUSE, self.pause))
        self.ham = self._ham() if self.method == HA else None
        self.ss = Ss() if self.ends else None
        self.told = False
        self.before: Optional[Tuple[Connection, ...]] = None

    def observe(self) -> ResetState:
        seen = None
        if self.ss is not None and self.ends is not None:
            seen = once(each for each in self.ss.between(*self.ends) if self.pid is None or not each.pids or self.pid in each.pids)
        state = ResetState(self.method, self.target, str(self.process) if self.process else "", seen, self.wanted, self.told, self.before, self.pid)
        if self.before is None:
            self.before = seen
        return state

    def plan(self, state: ResetState) -> List[Change]:
        return plan(state)

    def guards(self, state: ResetState, plan: Sequence[Change]) -> List[Refusal]:
        owners = {pid for change in plan if self.method == TCP for pid in change.token.pids}
        if len(owners) < 2 or self.pid is not None or self.wanted:
            return []
        reason = "these connections belong to %d processes (%s)." % (len(owners), ", ".join(map(str, sorted(owners))))
        return [Refusal("several", reason, "client_pid, or connections with those that are meant.")]

    def diagnose(self, state: ResetState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: ResetState) -> Mapping[str, Any]:
        return {"connections": None if state.seen is None else [each.to_dict() for each in state.seen]}

    def evidence(self, state: ResetState) -> Mapping[str, Any]:
        before = state.seen if state.before is None else state.before
        return {
            "before": None if before is None else [each.to_dict() for each in before],
            "after": None if state.before is None or state.seen is None else [each.to_dict() for each in state.seen],
        }

    def context(self) -> Mapping[str, Any]:
        return {"method": self.method, "client_endpoint": self.target}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._end(change.token) if self.method == TCP else self._tell() for change in changes]

    def _end(self, connection: Connection) -> Outcome:
        if self.ss is None or self.ends is None:
            raise MotrError("there is no server_endpoint")
        if all(each.name != connection.name for each in self.ss.between(*self.ends)):
            return Outcome(False, "it had ended by itself")
        self.ss.kill(connection)
        if any(each.name == connection.name for each in self.ss.between(*self.ends)):
            # ss does not always say that the kernel cannot do it.
            raise ToolError("ss -K ended nothing: it needs root, and a kernel with CONFIG_INET_DIAG_DESTROY; method: ha needs neither")
        return Outcome(True)

    def _tell(self) -> Outcome:
        """Transient cancels every session to the server, online opens new ones. It must not be left at transient."""
        if self.ham is None or self.process is None:
            raise MotrError("there is no server_process")
        try:
            self.ham.tell(self.target, self.process, "transient")
            self.told = True
            time.sleep(self.pause)
        finally:
            self._online(self.ham, self.process)
        return Outcome(True)

    def _online(self, ham: Ham, process: Fid, again: int = 2) -> None:
        try:
            ham.tell(self.target, process, "online")
        except ToolError as exc:
            if not again:
                text = "%s may hold %s for transient, and opens no session to it then. Run this again at once. %s"
                raise ToolError(text % (self.target, process, exc)) from exc
            time.sleep(1)
            self._online(ham, process, again - 1)

    def _ham(self) -> Ham:
        if self.process is None:
            raise MotrError("method ha needs server_process, the fid of the server that the client is to connect to anew")
        if self.client.endpoint == self.target:
            raise MotrError("endpoint and client_endpoint are the same: endpoint is that of the tool which tells the client")
        return Ham(self.client)


def _process(text: Optional[str]) -> Optional[Fid]:
    if not text:
        return None
    fid = ids.parse(text)
    if fid.type != ord("r"):
        raise MotrError("server_process: %s is the fid of a %s, not of a process; a service's note resets nothing" % (fid, fid.type_name))
    return fid


def _ends(params: Mapping[str, Any]) -> Optional[Tuple[Endpoint, Endpoint]]:
    server = params["server_endpoint"]
    if not server:
        if params["method"] == TCP:
            raise MotrError("method tcp needs server_endpoint, where the server listens")
        return None
    return parse_endpoint(params["client_endpoint"]), parse_endpoint(server)


def reverse(name: str) -> str:
    """The same connection, seen from its other end."""
    local, _dash, peer = name.partition("-")
    return "%s-%s" % (peer, local)


def once(connections: Any) -> Tuple[Connection, ...]:
    """Where both ends are on this node, a connection is listed twice."""
    known: Dict[str, Connection] = {}
    for each in connections:
        if reverse(each.name) not in known:
            known.setdefault(each.name, each)
    return tuple(known.values())


def plan(state: ResetState) -> List[Change]:
    if state.method == HA:
        if state.told:
            return []
        before, after = {"reset": False, "server": state.server}, {"reset": True, "server": state.server}
        reason = "%s is told that %s is transient, and online again" % (state.client, state.server)
        return [Change("reset", "%s%s to %s" % (_SESSIONS, state.client, state.server), before, after, reason, reversible=False)]
    old = state.before
    return [
        Change("reset", _ONE + each.name, {"established": True}, {"established": False}, "both ends connect again by themselves", False, token=each)
        for each in state.chosen
        if old is None or each in old
    ]


def diagnose(state: ResetState) -> List[Finding]:
    found = []
    if state.told:
        text = "%s was told that %s is transient, and then online: a client that heeds it has cancelled its sessions and opens new ones" % (
            state.client,
            state.server,
        )
        found.append(Finding("motr.connection.told", "info", state.client, text, {"server": state.server}, None, RUNBOOK))
    if state.seen is None:
        text = "connections were not looked at: give server_endpoint to have those of this node in the evidence"
        found.append(Finding("motr.connection.unseen", "info", state.client, text, {}, None, RUNBOOK))
        return found
    found += _absent(state)
    names = [each.name for each in state.seen]
    detail: Dict[str, Any] = {"connections": names[:100], "count": len(names)}
    if names:
        text = "%d connections are established between %s and the server" % (len(names), state.client)
        return [*found, Finding("motr.connection.established", "ok", state.client, text, detail, None, RUNBOOK)]
    text = "no connection is established on this node between %s and the server" % state.client
    return [*found, Finding("motr.connection.none", "warning" if state.before else "info", state.client, text, detail, None, RUNBOOK)]


def _absent(state: ResetState) -> List[Finding]:
    """What was named and is not there: it has ended since, or it was mistyped."""
    there = ", ".join(each.name for each in state.seen or ()) or "none"
    if state.unknown:
        text = "no such connection is established: %s; established are %s" % (", ".join(state.unknown), there)
        remedy = Remedy("take the names from what is established now; one that was reset comes back under another")
        return [Finding("motr.connection.unknown", "warning", state.client, text, {"connections": list(state.unknown)}, remedy, RUNBOOK)]
    if state.pid is not None and not state.seen and not state.before:
        text = "process %d has no connection between %s and the server" % (state.pid, state.client)
        return [Finding("motr.connection.unknown", "warning", state.client, text, {"pid": state.pid}, Remedy("see whether it runs, under this pid"), RUNBOOK)]
    return []


class ResetStore(Store):
    """A connection that was ended stays ended: it is another one that both sides make after that."""

    def __init__(self, _params: Mapping[str, Any], _header: Mapping[str, Any]) -> None:
        self.ss: Optional[Ss] = None

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [(self._image(change), None) for change in changes]

    def _image(self, change: Change) -> Optional[Image]:
        """Whether a client was told something, only the journal says."""
        if not change.subject.startswith(_ONE):
            return change.after
        self.ss = self.ss or Ss()
        return {"established": any(each.name == change.subject[len(_ONE) :] for each in self.ss.established())}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(False, "the reset of a connection cannot be taken back") for _change in changes]


STORES: Dict[str, StoreFactory] = {"motr_connection_reset": ResetStore}

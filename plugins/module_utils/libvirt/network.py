# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a network as it should be, and take that back. Rows of its table are added to what is active without restarting it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.libvirt import Libvirt, LibvirtError
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, matches
from . import network_plan
from .argspec import seconds
from .destroy import ANSWER
from .errors import VirtualError
from .network_findings import RUNBOOK, of_network
from .network_plan import ACTIVE, AUTOSTART, LIVE, Wish, definition_to_make, in_use, now_image, split
from .network_xml import StaticHost, build
from .networks import Network, NetworksState, network_of, read_attached

CHANGED = "network %s was changed by somebody else since it was looked at (%s); run it again"


class HaveNetwork(Procedure[NetworksState]):
    name = "libvirt_network"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wish = Wish(build(params["name"], params), params["active"], params["autostart"], params["replace"])
        self.libvirt = Libvirt(params["uri"], seconds("timeout", params["timeout"]), readonly=False)

    def close(self) -> None:
        self.libvirt.close()

    def observe(self) -> NetworksState:
        network = read_network(self.libvirt, self.wish.name)
        return NetworksState([] if network is None else [network])

    def diagnose(self, state: NetworksState) -> List[Finding]:
        network = state.named(self.wish.name)
        if network is None:
            text = "there is no network %s" % self.wish.name
            return [Finding("libvirt.network.undefined", "critical", self.wish.name, text, {"name": self.wish.name}, None, RUNBOOK)]
        findings = of_network(network, self.wish.definition)
        if findings:
            return findings
        detail = {"name": network.name, "static_hosts": len(network.definition.hosts)}
        text = "network %s is active, is started at boot, and has what was asked for" % network.name
        return [Finding("libvirt.network.healthy", "ok", network.name, text, detail, None, RUNBOOK)]

    def plan(self, state: NetworksState) -> List[Change]:
        return network_plan.plan(state.named(self.wish.name), self.wish)

    def guards(self, state: NetworksState, plan: Sequence[Change]) -> List[Refusal]:
        return network_plan.guards(state.named(self.wish.name), self.wish)

    def facts(self, state: NetworksState) -> Mapping[str, Any]:
        network = state.named(self.wish.name)
        return {"network": network.to_dict() if network is not None else None}

    def evidence(self, state: NetworksState) -> Mapping[str, Any]:
        return {"uri": self.libvirt.uri}

    def context(self) -> Mapping[str, Any]:
        return {"uri": self.libvirt.uri}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._apply(change) for change in changes]

    def _apply(self, change: Change) -> Outcome:
        name, part = split(change.subject)
        network = read_network(self.libvirt, name)
        if not matches(change.before, now_image(network, part)):
            raise VirtualError(CHANGED % (name, change.subject))
        if not part:
            self.libvirt.define_network(definition_to_make(network, self.wish))
        else:
            carry_out(self.libvirt, change)
        return Outcome(True)


def read_network(libvirt: Libvirt, name: str) -> Optional[Network]:
    """One network; who is on it is asked only where it is active."""
    row = libvirt.network(name)
    if row is None:
        return None
    return network_of(row, read_attached(libvirt) if row["active"] else {}, libvirt.local)


def carry_out(libvirt: Libvirt, change: Change) -> None:
    """Any change but that of the definition, forwards or backwards."""
    name, part = split(change.subject)
    after = change.after or {}
    if part == ACTIVE:
        (libvirt.start_network if after["active"] else libvirt.stop_network)(name)
    elif part == AUTOSTART:
        libvirt.autostart_network(name, after["autostart"])
    elif part == LIVE:
        if (libvirt.network(name) or {}).get("active"):  # it is not after a restart that was killed in the middle
            libvirt.stop_network(name)
        libvirt.start_network(name)
    else:
        _set_row(libvirt, name, part, change.before or {}, after)


def _set_row(libvirt: Libvirt, name: str, mac: str, before: Image, after: Image) -> None:
    """Where what is to be done is the same for both, what is defined and what is active are changed in one call."""
    todo: Dict[Tuple[str, str], List[str]] = {}
    for place in after:
        if before.get(place) != after[place]:
            command = "add" if before.get(place) is None else "delete" if after[place] is None else "modify"
            todo.setdefault((command, str(after[place] or before[place])), []).append(place)
    for (command, told), places in todo.items():
        ip, _space, label = told.partition(" ")
        libvirt.update_host(name, command, StaticHost(mac, ip, label or None).xml(), "live" in places, "kept" in places)


class NetworkStore(Store):
    """Subjects of one run, on the hypervisor that it was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.libvirt = Libvirt(str(header["uri"]), ANSWER, readonly=False)
        self.networks: Dict[str, Optional[Network]] = {}

    def close(self) -> None:
        self.libvirt.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        self.networks = {name: read_network(self.libvirt, name) for name in {split(change.subject)[0] for change in changes}}
        return [(self._now(change), None) for change in changes]

    def _now(self, change: Change) -> Optional[Image]:
        name, part = split(change.subject)
        return now_image(self.networks[name], part)

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """A network is not taken away from running machines."""
        stopped = {split(change.subject)[0] for change in plan if _stops(change)}
        refusals = [in_use(network) for name, network in sorted(self.networks.items()) if network is not None and name in stopped]
        return [refusal for refusal in refusals if refusal is not None]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """A restart comes last, when the definition that it is to take up is there again."""
        self.read(changes)
        for change in changes:
            if not matches(change.before, self._now(change)):
                raise VirtualError(CHANGED % (split(change.subject)[0], change.subject) + "; nothing was put back")
        for change in sorted(changes, key=lambda change: split(change.subject)[1] == LIVE):
            self._put_back(change)
        return [Outcome(True) for _change in changes]

    def _put_back(self, change: Change) -> None:
        name, part = split(change.subject)
        if part:
            carry_out(self.libvirt, change)
        elif change.after is not None and "xml" in change.after:
            self.libvirt.define_network(change.after["xml"])
        elif change.after is None or not change.after["persistent"]:
            self.libvirt.undefine_network(name)
        else:
            raise LibvirtError("the journal does not hold how network %s was defined" % name)


def _stops(change: Change) -> bool:
    part = split(change.subject)[1]
    return part == LIVE or (part == ACTIVE and not (change.after or {}).get("active"))

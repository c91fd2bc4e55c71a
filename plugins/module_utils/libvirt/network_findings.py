# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of networks. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from ..procedure.envelope import Finding, Remedy
from .network_xml import Definition
from .networks import Network, NetworksState

RUNBOOK = ("talus.rst", "Libvirtd")
PLAYBOOK = "fieldops.runbooks.talus_libvirt"


def diagnose(state: NetworksState, names: Sequence[str], wanted: Optional[Definition] = None) -> List[Finding]:
    """Of the networks that are named, which must be up; of the others, those that contradict themselves."""
    findings: List[Finding] = []
    for name in names:
        network = state.named(name)
        findings += [_undefined(name)] if network is None else of_network(network, wanted if wanted is not None and wanted.name == name else None)
    for network in state.networks:
        if network.name not in names:
            findings += [finding for finding in (_inactive(network, network.autostart), _bridge(network)) if finding is not None]
    if not findings:
        active = [network.name for network in state.networks if network.active]
        text = "%d of %d networks are active: %s" % (len(active), len(state.networks), ", ".join(active) or "none")
        findings.append(Finding("libvirt.network.healthy", "ok", "networks", text, {"active": active, "total": len(state.networks)}, None, RUNBOOK))
    return findings


def of_network(network: Network, wanted: Optional[Definition]) -> List[Finding]:
    """One that must be up."""
    found = [_inactive(network, True), _transient(network), _autostart(network), _bridge(network)]
    if wanted is not None:
        found += [_differs(network, wanted), _hosts(network, wanted)]
    else:
        found.append(_not_live(network))
    return [finding for finding in found if finding is not None]


def _finding(code: str, severity: str, name: str, text: str, detail: Dict[str, Any], remedy: Optional[Remedy] = None) -> Finding:
    mend = Remedy("have the network as it should be", PLAYBOOK, {"talus_repair": True})
    return Finding("libvirt.network." + code, severity, name, text, detail, remedy or mend, RUNBOOK)


def _undefined(name: str) -> Finding:
    return _finding("undefined", "critical", name, "there is no network %s: machines that need it do not start" % name, {"name": name})


def _inactive(network: Network, must: bool) -> Optional[Finding]:
    if network.active or not must:
        return None
    text = "network %s is defined and not active: machines that need it do not start" % network.name
    return _finding("inactive", "critical", network.name, text, {"name": network.name, "autostart": network.autostart})


def _transient(network: Network) -> Optional[Finding]:
    if network.persistent:
        return None
    text = "network %s is transient: it is gone as soon as it is stopped, and after a reboot" % network.name
    return _finding("transient", "warning", network.name, text, {"name": network.name})


def _autostart(network: Network) -> Optional[Finding]:
    if network.autostart or not network.persistent:
        return None
    text = "network %s is not started at boot" % network.name
    return _finding("not_autostarted", "warning", network.name, text, {"name": network.name})


def _bridge(network: Network) -> Optional[Finding]:
    if not network.bridge_gone:
        return None
    text = "libvirt calls network %s active, and its bridge %s is gone" % (network.name, network.bridge)
    return _finding("bridge_missing", "critical", network.name, text, {"name": network.name, "bridge": network.bridge, "domains": list(network.attached)})


def _differs(network: Network, wanted: Definition) -> Optional[Finding]:
    kept = network.definition.differences(wanted)
    live = {key: pair for key, pair in (network.live.differences(wanted) if network.live else {}).items() if key not in kept}
    if not kept and not live:
        return None
    text = "network %s is another one than it should be: %s" % (network.name, ", ".join(sorted({*kept, *live})))
    detail = {
        "name": network.name,
        "is": {key: pair[0] for key, pair in {**live, **kept}.items()},
        "wanted": {k: pair[1] for k, pair in {**live, **kept}.items()},
    }
    remedy = Remedy("libvirt_network with replace: true defines it anew; no domain may run on it meanwhile")
    return _finding("differs", "warning", network.name, text, detail, remedy)


def _hosts(network: Network, wanted: Definition) -> Optional[Finding]:
    rows = {"defined": network.kept, "active": network.live}
    lacking = {
        word: [host.to_dict() for host in wanted.hosts if not host.same(definition.host(host.mac))]
        for word, definition in rows.items()
        if definition is not None
    }
    macs = {host["mac"] for hosts in lacking.values() for host in hosts}
    if not macs:
        return None
    text = "%d of %d static hosts of network %s are missing or wrong: these machines get an address from the pool" % (
        len(macs),
        len(wanted.hosts),
        network.name,
    )
    return _finding("static_hosts_missing", "critical", network.name, text, {"name": network.name, **lacking})


def _not_live(network: Network) -> Optional[Finding]:
    """Rows that somebody has added to the definition only."""
    if network.kept is None or network.live is None:
        return None
    macs = [host.mac for host in network.kept.hosts if not host.same(network.live.host(host.mac))]
    if not macs:
        return None
    text = "%d static hosts of network %s are defined and not active" % (len(macs), network.name)
    remedy = Remedy("libvirt_network with these static_hosts adds them to what is active", PLAYBOOK, {"talus_repair": True})
    return _finding("static_hosts_not_active", "warning", network.name, text, {"name": network.name, "macs": macs}, remedy)

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of domains. Pure."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from ..procedure.envelope import Finding, Remedy
from .domains import Domain
from .kinds import CONFIGURATION, JOB

RUNBOOK = ("talus.rst", "Virsh")
_IO_ERROR = 5


def diagnose(domains: Sequence[Domain], playbook: Optional[str] = "fieldops.runbooks.talus_domains") -> List[Finding]:
    """Every domain that is not as it should be, or one finding that says that all are."""
    findings = [finding for domain in domains for finding in (_state(domain, playbook), _files(domain, playbook)) if finding is not None]
    findings += _same_mac(domains)
    if not findings:
        running = sum(domain.active for domain in domains)
        counts = {kind: sum(domain.active and domain.kind == kind for domain in domains) for kind in (JOB, CONFIGURATION)}
        text = "%d of %d domains run, %d of them of jobs and %d that configure an image" % (running, len(domains), counts[JOB], counts[CONFIGURATION])
        findings.append(Finding("libvirt.domain.healthy", "ok", "domains", text, {"running": running, "total": len(domains), **counts}, None, RUNBOOK))
    return findings


def _state(domain: Domain, playbook: Optional[str]) -> Optional[Finding]:
    if domain.state == "crashed":
        text = "domain %s has crashed" % domain.name
        return Finding("libvirt.domain.crashed", "critical", domain.name, text, _detail(domain), _destroy(domain, playbook, "start it again"), RUNBOOK)
    if domain.state != "paused":
        return None
    text = "domain %s is paused%s: nothing in it goes on" % (domain.name, " " + domain.why if domain.why else "")
    code, severity = ("libvirt.domain.io_error", "critical") if domain.reason == _IO_ERROR else ("libvirt.domain.paused", "warning")
    otherwise = "make room on the disk, or mend it, then virsh resume %s" if domain.reason == _IO_ERROR else "virsh resume %s when nobody needs it paused"
    return Finding(code, severity, domain.name, text, _detail(domain), _destroy(domain, playbook, otherwise % domain.name), RUNBOOK)


def _files(domain: Domain, playbook: Optional[str]) -> Optional[Finding]:
    if not domain.missing:
        return None
    text = "%s of domain %s is not there: %s" % ("a disk file", domain.name, ", ".join(domain.missing))
    if domain.active:
        text += "; what it writes is lost when it ends"
    severity = "critical" if domain.active and domain.kind != JOB else "warning"
    remedy = _destroy(domain, playbook, "put the file back before the domain is started again" if domain.persistent else "look who removed it")
    return Finding("libvirt.domain.disk_missing", severity, domain.name, text, dict(_detail(domain), missing=list(domain.missing)), remedy, RUNBOOK)


def _same_mac(domains: Sequence[Domain]) -> List[Finding]:
    owners: Dict[str, List[str]] = {}
    for domain in domains:
        for mac in {interface.mac for interface in domain.about.interfaces if domain.active}:
            owners.setdefault(mac, []).append(domain.name)
    findings = []
    for mac, names in sorted(owners.items()):
        if len(names) > 1:
            text = "%d running domains have the MAC %s, and so one address between them: %s" % (len(names), mac, ", ".join(sorted(names)))
            remedy = Remedy("destroy all but one of them")
            findings.append(Finding("libvirt.domain.same_mac", "critical", mac, text, {"mac": mac, "domains": sorted(names)}, remedy, RUNBOOK))
    return findings


def _destroy(domain: Domain, playbook: Optional[str], otherwise: str) -> Remedy:
    """A job's domain is not worth mending: the slave makes another one."""
    if domain.kind == JOB and domain.active and playbook:
        return Remedy("destroy it; the slave makes another one for the next run", playbook, {"talus_domains": [domain.name], "talus_repair": True})
    return Remedy(otherwise)


def _detail(domain: Domain) -> Dict[str, object]:
    return {"name": domain.name, "uuid": domain.uuid, "kind": domain.kind, "state": domain.state, "reason": domain.why, "persistent": domain.persistent}

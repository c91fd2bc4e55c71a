# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains are to be destroyed, and what is said of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Pattern, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Image, Remedy
from .domain_findings import RUNBOOK
from .domains import Domain, DomainsState
from .errors import VirtualError
from .kinds import CONFIGURATION, JOB, OTHER, compiled

DOMAIN = "domain:"


@dataclass(frozen=True)
class Wish:
    """What was asked for. Kinds and pattern narrow each other; names come on top."""

    names: Tuple[str, ...]
    kinds: Tuple[str, ...]
    pattern: Optional[Pattern[str]]

    @classmethod
    def of(cls, params: Mapping[str, object]) -> Wish:
        names, kinds, pattern = params["names"], params["kinds"], params["pattern"]
        if not names and not kinds and not pattern:
            raise VirtualError("nothing says which domains are meant; pass names, kinds (%s, %s) or pattern" % (JOB, OTHER))
        compiled_pattern = compiled("pattern", str(pattern)) if pattern else None
        return cls(tuple(names), tuple(kinds), compiled_pattern)  # type: ignore[arg-type]

    def matches(self, domain: Domain) -> bool:
        """Not by its name, but by what it is."""
        if self.kinds and domain.kind not in self.kinds:
            return False
        if self.pattern is not None:
            return bool(self.pattern.search(domain.name))
        return bool(self.kinds)

    def wants(self, domain: Domain) -> bool:
        """One in which an image is configured holds work that nothing else has: only its name will do."""
        return domain.name in self.names or (domain.kind != CONFIGURATION and self.matches(domain))


@dataclass(frozen=True)
class DestroyState:
    """The domains, and what came of an attempt: why some of them did not die, and the processes of those that libvirt calls dead."""

    domains: DomainsState
    survivors: Mapping[str, str] = field(default_factory=dict)
    lingering: Mapping[str, int] = field(default_factory=dict)


def image(domain: Domain) -> Image:
    """A domain as the journal has it."""
    return {"name": domain.name, "uuid": domain.uuid, "kind": domain.kind, "persistent": domain.persistent, "active": domain.active}


def targets(state: DomainsState, wish: Wish) -> List[Domain]:
    """Those that run and are meant."""
    return [domain for domain in state.domains if domain.active and wish.wants(domain)]


def spared(state: DomainsState, wish: Wish) -> List[Domain]:
    """Those that run, and would be meant if they were no configurations."""
    return [domain for domain in state.domains if domain.active and not wish.wants(domain) and domain.kind == CONFIGURATION and _alike(domain, wish)]


def _alike(domain: Domain, wish: Wish) -> bool:
    return wish.pattern is None or bool(wish.pattern.search(domain.name))


def plan(state: DomainsState, wish: Wish) -> List[Change]:
    return [_change(domain, wish) for domain in targets(state, wish)]


def _change(domain: Domain, wish: Wish) -> Change:
    """What was in its memory is lost, so nothing takes it back; a persistent one can be started again."""
    before = image(domain)
    why = "it is named" if domain.name in wish.names else "it is of kind %s" % domain.kind if wish.kinds else "its name matches the pattern"
    if domain.persistent:
        after: Optional[Image] = dict(before, active=False)
        then = "it stays defined: virsh start %s starts it anew" % domain.name
    else:
        after, then = None, "it is transient, so it will be gone"
    return Change("destroy", DOMAIN + domain.name, before, after, "%s; %s" % (why, then), reversible=False)


def diagnose(state: DestroyState, wish: Wish) -> List[Finding]:
    domains = state.domains
    findings = [_survivor(name, why, domains) for name, why in sorted(state.survivors.items())]
    findings += [_lingering(name, pid) for name, pid in sorted(state.lingering.items())]
    left = [domain for domain in targets(domains, wish) if domain.name not in state.survivors]
    if left:
        text = "%d running domains are meant: %s" % (len(left), _some([domain.name for domain in left]))
        findings.append(Finding("libvirt.domain.meant", "info", "domains", text, {"names": [domain.name for domain in left]}, None, RUNBOOK))
    elif not findings:
        findings.append(Finding("libvirt.domain.none_left", "ok", "domains", "no domain that is meant runs", _counted(domains), None, RUNBOOK))
    kept = [domain.name for domain in spared(domains, wish)]
    if kept:
        text = "%d running domains that configure an image are spared: %s" % (len(kept), _some(kept))
        remedy = Remedy("if nobody configures them any more, name them", "fieldops.runbooks.talus_domains", {"talus_domains": kept, "talus_repair": True})
        findings.append(Finding("libvirt.domain.spared", "info", "domains", text, {"names": kept}, remedy, RUNBOOK))
    absent = [name for name in wish.names if domains.named(name) is None]
    if absent:
        text = "%d domains that are named are not there: %s" % (len(absent), _some(absent))
        findings.append(Finding("libvirt.domain.not_there", "info", "domains", text, {"names": absent}, None, RUNBOOK))
    return findings


def _survivor(name: str, why: str, state: DomainsState) -> Finding:
    domain = state.named(name)
    process = domain.process.pid if domain is not None and domain.process is not None else None
    text = "domain %s will not die: %s" % (name, why)
    remedy = Remedy("look at what its process waits for (a disk whose server is away, a debugger), and at the log of libvirtd; a reboot ends it for sure")
    detail = {"name": name, "why": why, "pid": process, "state": domain.state if domain is not None else None}
    return Finding("libvirt.domain.will_not_die", "critical", name, text, detail, remedy, RUNBOOK)


def _lingering(name: str, pid: int) -> Finding:
    text = "libvirt calls domain %s destroyed, but its process %d is still there, and holds its disk and its display" % (name, pid)
    remedy = Remedy("look at what process %d waits for (a disk whose server is away, a debugger); a reboot ends it for sure" % pid)
    return Finding("libvirt.domain.process_left", "critical", name, text, {"name": name, "pid": pid}, remedy, RUNBOOK)


def failure(state: DestroyState, done: int) -> str:
    """What the run says when some did not die."""
    parts = ["%s: %s" % (name, why) for name, why in sorted(state.survivors.items())]
    parts += ["%s: libvirt calls it destroyed, but its process %d is still there" % (name, pid) for name, pid in sorted(state.lingering.items())]
    return "%d of %d domains will not die; the rest were destroyed. %s" % (len(parts), len(parts) + done, "; ".join(parts))


def _counted(state: DomainsState) -> Dict[str, int]:
    return {"running": sum(domain.active for domain in state.domains), "total": len(state.domains)}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" and %d more" % (len(names) - 10) if len(names) > 10 else "")

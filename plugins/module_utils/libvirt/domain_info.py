# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at all domains of a hypervisor. Reads only."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence, Tuple

from ..connect.libvirt import Libvirt, LibvirtError
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .argspec import seconds
from .domain_findings import diagnose
from .domains import Domain, DomainsState, read_domains, with_addresses, with_files
from .errors import VirtualError
from .kinds import CONFIGURATION, JOB, OTHER, Kinds


class DomainInfo(Check[DomainsState]):
    name = "libvirt_domain_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.kinds = Kinds.of(params)
        self.names: Sequence[str] = params["name"]
        self.wanted: Sequence[str] = params["kinds"]
        self.agent: bool = params["agent"]
        # Only what asks the guests themselves must be able to do more than look.
        self.libvirt = Libvirt(params["uri"], seconds("timeout", params["timeout"]), readonly=not self.agent)

    def close(self) -> None:
        self.libvirt.close()

    def observe(self) -> DomainsState:
        versions = self.libvirt.versions()
        domains = [domain for domain in read_domains(self.libvirt, self.kinds) if self._asked(domain)]
        if self.libvirt.local:
            domains = with_files(domains)
        told, unknown = self._with_addresses(domains)
        return DomainsState(told, versions, unknown)

    def _asked(self, domain: Domain) -> bool:
        return (not self.names or domain.name in self.names) and (not self.wanted or domain.kind in self.wanted)

    def _with_addresses(self, domains: Sequence[Domain]) -> Tuple[Sequence[Domain], str]:
        """What cannot be asked of networks or guests is told, and the rest goes on."""
        try:
            return with_addresses(self.libvirt, domains, self.agent, self.libvirt.networks()), ""
        except (LibvirtError, VirtualError) as exc:
            return domains, str(exc)

    def diagnose(self, state: DomainsState) -> List[Finding]:
        findings = diagnose(state.domains)
        if state.addresses_unknown:
            text = "the addresses of domains cannot be told: %s" % state.addresses_unknown
            findings.append(Finding("libvirt.domain.addresses_unknown", "warning", "addresses", text))
        return findings

    def facts(self, state: DomainsState) -> Mapping[str, Any]:
        counts = {kind: sum(domain.kind == kind for domain in state.domains) for kind in (JOB, CONFIGURATION, OTHER)}
        return {
            "domains": [domain.to_dict() for domain in state.domains],
            "counts": dict(counts, running=sum(domain.active for domain in state.domains), total=len(state.domains)),
        }

    def evidence(self, state: DomainsState) -> Mapping[str, Any]:
        missing = {"addresses": state.addresses_unknown} if state.addresses_unknown else {}
        return {"uri": self.libvirt.uri, "versions": dict(state.versions), "missing": missing}

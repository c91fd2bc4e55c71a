# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at all networks of a hypervisor. Reads only."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence

from ..connect.libvirt import Libvirt
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .argspec import seconds
from .errors import VirtualError
from .network_findings import diagnose
from .network_xml import Definition, build
from .networks import NetworksState, read_networks


class NetworkInfo(Check[NetworksState]):
    name = "libvirt_network_info"
    judged_by = ("names", "wanted")

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.names: Sequence[str] = params["name"]
        self.wanted: Optional[Definition] = None
        if params["xml"] or params["static_hosts"]:
            if len(self.names) != 1:
                raise VirtualError("xml and static_hosts are of one network; pass its name, and no other")
            self.wanted = build(self.names[0], params)
        self.libvirt = Libvirt(params["uri"], seconds("timeout", params["timeout"]))

    def close(self) -> None:
        self.libvirt.close()

    def observe(self) -> NetworksState:
        return NetworksState(read_networks(self.libvirt))

    def diagnose(self, state: NetworksState) -> List[Finding]:
        return diagnose(state, self.names, self.wanted)

    def facts(self, state: NetworksState) -> Mapping[str, Any]:
        return {"networks": [network.to_dict() for network in state.networks if not self.names or network.name in self.names]}

    def evidence(self, state: NetworksState) -> Mapping[str, Any]:
        return {"uri": self.libvirt.uri}

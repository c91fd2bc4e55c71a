# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines and their networks: killed between any two calls of libvirt, which is a stand-in here, as a hypervisor cannot be had on this machine.

Machines that are destroyed together are one batch, of which each goes by itself: a kill between two of them is in integration/test_libvirt_standin.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.libvirt import Libvirt
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.destroy import DomainStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.network import NetworkStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.hosts.libvirt_machines import NETWORK, mac, network_xml
from lab.libvirt_standin.state import SHUT_OFF, Hypervisor

JOB = "0123456789abcdef01234567_0.img"
URI = {"uri": "test:///standin"}


class OnHypervisor(Scenario):
    """Domains and networks in a file."""

    store: type[DomainStore | NetworkStore]
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.hypervisor = Hypervisor(lab.path / "libvirt.json").install(lab.patch)
        self.fill()

    def fill(self) -> None:
        """Break it."""

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Texts of XML by their meaning."""
        state = self.hypervisor.read()
        for row in state["networks"].values():
            row.update({key: _plain(row[key]) for key in ("xml", "live")})
        return state

    def restore(self, dump: Any) -> None:
        self.hypervisor.write(dump)

    def look(self, change: Change) -> dict[str, Any] | None:
        store = self.store({}, URI)
        try:
            ((now, _token),) = store.read([change])
            return now
        finally:
            store.close()


def _plain(xml: str | None) -> str | None:
    if xml is None:
        return None
    root = ElementTree.XML(xml)
    for table in root.iter("dhcp"):
        table[:] = sorted(table, key=lambda row: (row.tag, row.get("mac", "")))
    return ElementTree.canonicalize(ElementTree.tostring(root, encoding="unicode"), strip_text=True)


class DestroyJobDomain(OnHypervisor):
    """A transient domain, beside one that is spared and one that does not run."""

    module = "libvirt_domain_destroy"
    undoable = False
    finely = True
    store = DomainStore
    effects: Sequence[Effect] = ((Libvirt, "destroy", lambda _libvirt, uuid, *_timeout: uuid),)

    def fill(self) -> None:
        self.hypervisor.domain(JOB)
        self.hypervisor.domain("tmpAbCdEf_default", persistent=True)
        self.hypervisor.domain("web", persistent=True, state=SHUT_OFF)

    def arguments(self) -> dict[str, Any]:
        return {**URI, "kinds": ["job"]}


class DestroyPersistentDomain(DestroyJobDomain):
    """One that stays defined."""

    finely = False

    def arguments(self) -> dict[str, Any]:
        return {**URI, "names": ["tmpAbCdEf_default"]}


def _part(_libvirt: Libvirt, name: str, *rest: Any) -> str:
    return " ".join(str(word).split()[0] for word in (name, *rest[:1]))


CALLS = ("define_network", "undefine_network", "start_network", "stop_network", "autostart_network", "update_host")


class OfNetwork(OnHypervisor):
    module = "libvirt_network"
    store = NetworkStore
    effects: Sequence[Effect] = tuple((Libvirt, call, _part) for call in CALLS)

    def arguments(self) -> dict[str, Any]:
        return {**URI, "name": NETWORK, "xml": network_xml(range(2, 6))}


class MakeNetwork(OfNetwork):
    """There is none."""

    finely = True


class MendNetwork(OfNetwork):
    """It is active and lacks rows, here and there, and one is wrong; it will not come back after a reboot."""

    def fill(self) -> None:
        wrong = network_xml(range(2, 5)).replace(f"<host mac='{mac(4)}' name='vm_mac_4' ip='192.168.123.4'/>", f"<host mac='{mac(4)}' ip='192.168.123.44'/>")
        self.hypervisor.network(NETWORK, wrong, network_xml(range(2, 3)))


class StartNetwork(OfNetwork):
    """It is defined and down, and nothing else is said of it."""

    def fill(self) -> None:
        self.hypervisor.network(NETWORK, network_xml(range(2, 4)), None)

    def arguments(self) -> dict[str, Any]:
        return {**URI, "name": NETWORK}


class ReplaceNetwork(OfNetwork):
    """It is another one, and down."""

    def fill(self) -> None:
        self.hypervisor.network(NETWORK, network_xml(range(2, 4), bridge="virbr9"), None, autostart=True)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "replace": True, "active": False}


class RestartNetwork(OfNetwork):
    """It is another one, and active: only a restart takes up what is defined. Killed in the middle of that, the network is down, and an undo starts it."""

    def fill(self) -> None:
        other = network_xml(range(2, 4), bridge="virbr9")
        self.hypervisor.network(NETWORK, other, other, autostart=True)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "replace": True}


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {
    "libvirt_domain_destroy": (DestroyJobDomain, DestroyPersistentDomain),
    "libvirt_network": (MakeNetwork, MendNetwork, StartNetwork, ReplaceNetwork, RestartNetwork),
}

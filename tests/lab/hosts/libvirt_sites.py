# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`libvirt`: a host that runs virtual machines on Talus' network. What a test does with it: `lab.hosts.libvirt_host`.

Another site that is built on kind `libvirt` gets the same from `setup` and `ready`.
"""

from __future__ import annotations

from pathlib import Path

from lab.hosts import libvirt_machines
from lab.hosts.host import Host
from lab.hosts.sites import Site, register

PROGRAM = "/usr/local/lib/fieldops-lab/libvirt_machines.py"
NETWORK_XML = "/etc/fieldops-lab/talus_network.xml"


def setup(host: Host) -> None:
    """Once: Talus' network, and what makes machines."""
    host.put(Path(libvirt_machines.__file__), PROGRAM)
    host.put(libvirt_machines.network_xml().encode(), NETWORK_XML)
    host.run(["mkdir", "-p", libvirt_machines.IMAGES])
    ready(host)
    host.run(["virsh", "net-define", NETWORK_XML])
    host.run(["virsh", "net-autostart", libvirt_machines.NETWORK])


def ready(host: Host) -> None:
    """At each start: the daemon answers."""
    host.wait_for(lambda: host.run(["virsh", "version"], check=False).returncode == 0, "libvirtd answers", 60)
    if host.exists(f"/etc/libvirt/qemu/networks/autostart/{libvirt_machines.NETWORK}.xml"):
        host.wait_for(lambda: host.exists("/sys/class/net/virbr2"), "Talus' network is up", 60)


register(
    "libvirt",
    Site(kind="libvirt", setup=setup, files=(Path(libvirt_machines.__file__),), ready=ready, groups=("talus_slaves",)),
)

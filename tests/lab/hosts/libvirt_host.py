# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does on a host that runs virtual machines: machines as Talus has them, and faults.

slave = LibvirtHost(host("libvirt"))
jobs = slave.job_domains(27)                 # transient, running, `<24 hex>_<n>.img`
slave.configuration_domains(3)               # persistent, `tmpXXXXXX_default`
slave.other_domains("web")
slave.network_static_hosts_missing(7, 8)     # and so on: the faults
slave.mend()                                 # no fault is left
slave.clear()                                # no machines either
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

from lab.hosts.host import Host
from lab.hosts.libvirt_machines import FIRST, IMAGES, NETWORK, mac, network_xml
from lab.hosts.libvirt_sites import NETWORK_XML, PROGRAM

SOCKETS = ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
DROP_IN = "/run/systemd/system/libvirtd.service.d/lab.conf"
HOLDER = "/run/lab-holder.pid"
# It must be found nowhere.
PASSWORD = "Qx7z-Vn4"
# Seized like this, a process stops at its exit for as long as the holder lives, whatever it was killed with: what a debugger, or a disk that hangs, does.
HOLD = """
import ctypes, os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
trace = ctypes.CDLL(None, use_errno=True).ptrace
trace.argtypes, trace.restype = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long
SEIZE, TRACE_EXIT = 0x4206, 0x40
if trace(SEIZE, int(sys.argv[1]), None, TRACE_EXIT):
    sys.exit("ptrace: " + os.strerror(ctypes.get_errno()))
with open(sys.argv[2], "w") as file:
    file.write(str(os.getpid()))
null = os.open("/dev/null", os.O_RDWR)
for each in range(3):
    os.dup2(null, each)
while True:
    time.sleep(3600)
"""


class LibvirtHost:
    """`host` with what is particular to virtual machines."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._text = ""
        self._number = itertools.count(FIRST)
        self._job = itertools.count(0xFEED)

    def virsh(self, *words: str, check: bool = True) -> str:
        """What virsh says."""
        return self.host.run(["virsh", *words], check=check).stdout

    # -- machines ---------------------------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        """Names, as virsh lists them."""
        return self.virsh("list", "--name").split()

    def all_domains(self) -> list[str]:
        """Names of all, running or not."""
        return self.virsh("list", "--all", "--name").split()

    def state(self, name: str) -> str:
        """State and reason, in virsh's words."""
        return self.virsh("domstate", "--reason", name).strip()

    def pid(self, name: str) -> int:
        """The process of a running domain."""
        return int(self.host.read(f"/run/libvirt/qemu/{name}.pid"))

    def job_domains(self, count: int = 1, disk: bool = False, network: bool = True, **options: Any) -> list[str]:
        """Machines of jobs, which run; with `disk` on an overlay of their image's box. Options are those of `libvirt_machines.domain_xml`."""
        orders = []
        for _each in range(count):
            name = f"{next(self._job):024x}_0.img"
            orders.append(self._order(name, network, **options) | ({"overlay": f"{IMAGES}/{name}"} if disk else {}))
        return self._make(orders)

    def configuration_domains(self, count: int = 1, **options: Any) -> list[str]:
        """Machines in which images are configured."""
        orders = []
        for number in range(count):
            name = f"tmpAbCd{number:02d}_default"
            orders.append(self._order(name, True, persistent=True, overlay=f"{IMAGES}/{name}.img", **options))
        return self._make(orders)

    def other_domains(self, *names: str, **options: Any) -> list[str]:
        """Machines that are not Talus'."""
        return self._make([self._order(name, False, persistent=True, **options) for name in names])

    def _order(self, name: str, network: bool, **options: Any) -> dict[str, Any]:
        number = next(self._number)
        return {"name": name, "vnc": 5903 + number, "number": number if network else None, "password": PASSWORD, **options}

    def _make(self, orders: Sequence[dict[str, Any]]) -> list[str]:
        self.host.run(["python3", PROGRAM], input=json.dumps(orders), timeout=300)
        return [order["name"] for order in orders]

    # -- faults: machines -------------------------------------------------------------------------------------------------

    def disk_gone(self, name: str) -> str:
        """Somebody removed the disk of a running job domain; its path."""
        path = f"{IMAGES}/{name}"
        self.host.run(["rm", path])
        return path

    def immortal_domain(self) -> str:
        """A job domain that libvirt cannot kill: the daemon lost the right to end processes of others, and the domains before it run as the daemon's own user.

        Make it last, and all others with `owner="+0:+0"`.
        """
        self.host.put(b"[Service]\nCapabilityBoundingSet=~CAP_KILL\n", DROP_IN)
        self.restart_daemon()
        return self.job_domains()[0]

    def hold(self, name: str) -> int:
        """The process of a domain does not go away, although it is killed; its pid."""
        pid = self.pid(name)
        self.host.run(["python3", "-c", HOLD, str(pid), HOLDER])
        self.host.wait_for(lambda: re.search(rb"TracerPid:\t[1-9]", self.host.read(f"/proc/{pid}/status")), "the process is held")
        return pid

    def release(self) -> None:
        """What was held goes on."""
        if self.host.exists(HOLDER):
            self.host.run(["sh", "-c", f"kill -9 $(cat {HOLDER}); rm {HOLDER}"], check=False)

    # -- faults: the daemon -----------------------------------------------------------------------------------------------

    def restart_daemon(self) -> None:
        """As an administrator does; machines go on."""
        self.host.run(["systemctl", "daemon-reload"])
        self.host.run(["systemctl", "restart", "libvirtd.service"])
        self.host.wait_for(lambda: self.host.run(["virsh", "version"], check=False).returncode == 0, "libvirtd answers", 60)

    def daemon_down(self) -> None:
        """Nobody answers for libvirt; machines run on."""
        self.host.run(["systemctl", "stop", *SOCKETS, "libvirtd.service"])

    def daemon_hangs(self) -> None:
        """It accepts connections and says nothing."""
        self.virsh("version")  # it ends by itself when it is idle
        self.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=STOP", "libvirtd.service"])

    # -- faults: the network ----------------------------------------------------------------------------------------------

    def network_undefined(self) -> None:
        """There is none."""
        self.virsh("net-destroy", NETWORK, check=False)
        self.virsh("net-undefine", NETWORK, check=False)

    def network_inactive(self) -> None:
        """It is there, and down."""
        self.virsh("net-destroy", NETWORK)

    def network_not_autostarted(self) -> None:
        """It will not come back after a reboot."""
        self.virsh("net-autostart", NETWORK, "--disable")

    def network_static_hosts_missing(self, *numbers: int, live: bool = True, config: bool = True) -> None:
        """Some machines would get an address from the pool."""
        flags = [*(["--live"] if live else []), *(["--config"] if config else [])]
        for number in numbers:
            self.virsh("net-update", NETWORK, "delete", "ip-dhcp-host", f"<host mac='{mac(number)}' ip='192.168.123.{number}'/>", *flags)

    def network_other(self, **changes: str) -> None:
        """A network of that name that is another one, active: `bridge`, `start`, `end` as `libvirt_machines.network_xml` takes them."""
        self.network_undefined()
        self.host.put(network_xml(None, **changes).encode(), "/run/lab-network.xml")
        self.virsh("net-define", "/run/lab-network.xml")
        self.virsh("net-start", NETWORK)
        self.virsh("net-autostart", NETWORK)

    def network_text(self) -> str:
        """What is kept of it."""
        return self.virsh("net-dumpxml", NETWORK, "--inactive")

    def network_state(self) -> dict[str, str]:
        """As `virsh net-info` says it; empty when there is none."""
        said = self.virsh("net-info", NETWORK, check=False)
        return {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in said.splitlines() if ":" in line)}

    # -- back -------------------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """No fault is left; machines stay."""
        self.release()
        self.host.run(["systemctl", "kill", "--kill-whom=main", "--signal=CONT", "libvirtd.service"], check=False)
        self.host.run(["systemctl", "start", *SOCKETS], check=False)
        if self.host.exists(DROP_IN):
            self.host.run(["rm", DROP_IN])
            self.restart_daemon()
        self.host.wait_for(lambda: self.host.run(["virsh", "version"], check=False).returncode == 0, "libvirtd answers", 60)

    def clear(self) -> None:
        """No machines, and Talus' network as it was."""
        self.host.run(["sh", "-c", "for each in $(virsh list --name); do virsh destroy $each; done"], check=False, timeout=300)
        self.host.run(["sh", "-c", "for each in $(virsh list --all --name); do virsh undefine $each; done"], check=False)
        self.host.run(["sh", "-c", f"rm -f {IMAGES}/*.img /var/lib/libvirt/dnsmasq/virbr2.status"])
        text = self.virsh("net-dumpxml", NETWORK, "--inactive", check=False)
        if text != self._text or not self.host.exists("/sys/class/net/virbr2"):
            self.network_undefined()
            self.virsh("net-define", NETWORK_XML)
            self.virsh("net-start", NETWORK)
            self._text = self.network_text()
        self.virsh("net-autostart", NETWORK)
        self._number, self._job = itertools.count(FIRST), itertools.count(0xFEED)

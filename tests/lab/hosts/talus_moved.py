# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of Talus that gets another address, and what undoes that."""

from __future__ import annotations

import ipaddress

from lab.hosts.host import Host

UNITS, DROP_IN = "/run/systemd/system", "lab.conf"
"""Where units are told otherwise until the next boot."""
MOVED, HOSTS = "/run/lab-moved", "/run/lab-hosts"
AT_HOME = f"""
if [ -e {MOVED} ]; then
    ip address flush dev eth0
    ip address add $(head -n 1 {MOVED}) dev eth0
    route=$(sed -n 2p {MOVED})
    [ -z "$route" ] || ip route replace $route
    rm {MOVED}
fi
if [ -e {HOSTS} ]; then cat {HOSTS} >/etc/hosts; rm {HOSTS}; fi
if rm {UNITS}/*talus?*.d/{DROP_IN} 2>/dev/null; then systemctl daemon-reload; fi
"""
"""The address, the names, and units that are started again, as they were."""


def move(host: Host, *others: Host) -> str:
    """Once: the last address of its network in place of its own, and its name leads there on all of them. The old one."""
    old = host.run(["sh", "-c", "ip -4 -brief address show eth0 | tr -s ' ' | cut -d' ' -f3"]).stdout.strip()
    network = ipaddress.ip_interface(old).network
    new = network[-2]
    address = f"ip address flush dev eth0; ip address add {new}/{network.prefixlen} dev eth0"
    host.run(["sh", "-e", "-c", f"{{ echo {old}; ip route show default; }} >{MOVED}; {address}"])
    for each in (host, *others):
        # Docker has mounted the file: it cannot be replaced by another one.
        names = f"sed '/[[:space:]]{host.name}$/d' {HOSTS}; echo '{new} {host.name}'"
        each.run(["sh", "-e", "-c", f"cp /etc/hosts {HOSTS}; {{ {names}; }} >/etc/hosts"])
    return old.partition("/")[0]

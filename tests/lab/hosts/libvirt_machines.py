# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host of kind `libvirt`: virtual machines as Talus makes them. A program for the host's own Python; an order on stdin, an answer on stdout, as JSON.

Job domains are transient, with an overlay on the image of their box, a MAC and an address of the static table, and VNC. Domains in which an image is
configured are vagrant-libvirt's: persistent, with a disk of their own. All are emulated, and small.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

IMAGES = "/var/lib/libvirt/images"
BOX = "0123456789abcdef01234567_vagrant_box_image_0.img"
NETWORK = "talus-network"
FIRST, LAST = 2, 54
DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {disk}{interface}{channel}
    <graphics type='vnc' port='{vnc}' listen='127.0.0.1'{password}/>
    <memballoon model='none'/>
  </devices>
  {label}
</domain>"""


def network_xml(hosts: range | None = None, **changes: str) -> str:
    """Talus' network, with its 53 static hosts or some of them."""
    parts = {"uuid": "6137498b-f067-4fd7-cf64-69d2714f297b", "bridge": "virbr2", "start": "192.168.123.55", "end": "192.168.123.254", **changes}
    rows = "".join(f"\n      <host mac='{mac(n)}' name='vm_mac_{n}' ip='192.168.123.{n}'/>" for n in hosts or range(FIRST, LAST + 1))
    return f"""<network>
  <name>{NETWORK}</name>
  <uuid>{parts["uuid"]}</uuid>
  <forward mode='nat'/>
  <bridge name='{parts["bridge"]}' stp='on' delay='0'/>
  <ip address='192.168.123.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='{parts["start"]}' end='{parts["end"]}'/>{rows}
    </dhcp>
  </ip>
</network>"""


def mac(number: int) -> str:
    """The last four bytes are the address."""
    return f"00:00:c0:a8:7b:{number:02x}"


def domain_xml(order: dict[str, Any]) -> str:
    """One domain: `name`, `number` of its address (none: no interface), `disk`, `boot`, `password` for VNC, `agent`, `owner` of its process.

    Only one that boots from the network asks for its address; the others are idle at once.
    """
    number, rom = order.get("number"), "" if order.get("boot") == "network" else "<rom enabled='no'/>"
    file = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>"
    interface = f"<interface type='network'><mac address='{mac(number or 0)}'/><source network='{NETWORK}'/><model type='virtio'/>{rom}</interface>"
    label = "<seclabel type='static' model='dac' relabel='no'><label>{owner}</label></seclabel>"
    return DOMAIN.format(
        name=order["name"],
        vnc=order["vnc"],
        boot=f"<boot dev='{order['boot']}'/>" if order.get("boot") else "",
        disk=file.format(**order) if order.get("disk") else "",
        interface=interface if number else "",
        channel="<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>" if order.get("agent") else "",
        password=f" passwd='{order['password']}'" if order.get("password") else "",
        label=label.format(**order) if order.get("owner") else "",
    )


def overlay(path: str) -> str:
    """A disk on the image of the box, which is made if it is missing."""
    box = f"{IMAGES}/{BOX}"
    if not os.path.exists(box):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", box, "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", box, "-F", "qcow2", path], check=True)
    return path


def make(orders: list[dict[str, Any]]) -> None:
    """Start domains; those that are `persistent` are defined first."""
    connection = importlib.import_module("libvirt").open("qemu:///system")
    for order in orders:
        if order.get("overlay"):
            order["disk"] = overlay(order["overlay"])
        if order.get("persistent"):
            connection.defineXML(domain_xml(order)).create()
        else:
            connection.createXML(domain_xml(order), 0)
    connection.close()


if __name__ == "__main__":
    make(json.load(sys.stdin))

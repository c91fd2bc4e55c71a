# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the XML of a domain says that a person asks for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple
from xml.etree import ElementTree

from .errors import VirtualError

AGENT = "org.qemu.guest_agent.0"
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_SECRET = re.compile(r"(?i)passw|secret|token|credential|private[_-]?key")
_PORT = re.compile(r"[0-9]{1,5}")
_HIDDEN = "********"


@dataclass(frozen=True)
class Disk:
    """One disk with the files below it, as far as libvirt has looked."""

    target: str
    device: str
    source: Optional[str]
    format: Optional[str]
    backing: Tuple[str, ...]

    def to_dict(self) -> Dict[str, object]:
        return {"target": self.target, "device": self.device, "source": self.source, "format": self.format, "backing": list(self.backing)}

    @property
    def files(self) -> Tuple[str, ...]:
        """Paths that must be there."""
        return tuple(path for path in (self.source, *self.backing) if path and path.startswith("/"))


@dataclass(frozen=True)
class Interface:
    """One network interface."""

    mac: str
    kind: str
    source: Optional[str]
    target: Optional[str]

    def to_dict(self) -> Dict[str, Optional[str]]:
        return {"mac": self.mac, "type": self.kind, "source": self.source, "target": self.target}


@dataclass(frozen=True)
class Description:
    """A domain's XML, read."""

    vnc: Optional[Mapping[str, object]]
    disks: Tuple[Disk, ...]
    interfaces: Tuple[Interface, ...]
    agent: bool
    """Whether a guest agent is connected."""


def parse(xml: str) -> Description:
    root = _root(xml)
    channels = root.iterfind("devices/channel/target")
    return Description(
        _vnc(root),
        tuple(_disk(disk) for disk in root.iterfind("devices/disk")),
        tuple(_interface(interface) for interface in root.iterfind("devices/interface")),
        any(channel.get("name") == AGENT and channel.get("state") == "connected" for channel in channels),
    )


def without_secrets(xml: str) -> str:
    """As it can be kept: no password of a display, nothing that is called a secret on the command line."""
    root = _root(xml)
    for graphics in root.iterfind("devices/graphics"):
        graphics.attrib.pop("passwd", None)
    for env in root.iter(_QEMU + "env"):
        if "value" in env.attrib:
            env.set("value", _HIDDEN)
    hidden = False
    for arg in root.iter(_QEMU + "arg"):
        secret = bool(_SECRET.search(arg.get("value", "")))
        if secret or hidden:
            arg.set("value", _HIDDEN)
        hidden = secret and not hidden  # the word after one that names a secret may be the secret
    ElementTree.register_namespace("qemu", _QEMU.strip("{}"))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _root(xml: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(xml)  # noqa: S314  libvirt wrote it
    except (ElementTree.ParseError, ValueError) as exc:  # ValueError: what is no text at all, such as half a surrogate
        raise VirtualError("libvirt gave a domain whose XML cannot be read: %s" % exc) from exc


def _vnc(root: ElementTree.Element) -> Optional[Dict[str, object]]:
    """The display is its port counted from 5900; -1 is what has none yet."""
    graphics = root.find("devices/graphics[@type='vnc']")
    if graphics is None:
        return None
    listening = graphics.find("listen")
    address = graphics.get("listen") or (listening.get("address") if listening is not None else None)
    number = graphics.get("port", "")
    port = int(number) if _PORT.fullmatch(number) else None
    display = "%s:%d" % (address or "localhost", port - 5900) if port is not None and port >= 5900 else None
    return {"port": port, "listen": address, "socket": graphics.get("socket"), "display": display}


def _disk(disk: ElementTree.Element) -> Disk:
    target, driver = disk.find("target"), disk.find("driver")
    backing: List[str] = []
    below = disk.find("backingStore")
    while below is not None:
        path = _source(below.find("source"))
        if path:
            backing.append(path)
        below = below.find("backingStore")
    return Disk(
        (target.get("dev") or "") if target is not None else "",
        disk.get("device", "disk"),
        _source(disk.find("source")),
        driver.get("type") if driver is not None else None,
        tuple(backing),
    )


def _source(source: Optional[ElementTree.Element]) -> Optional[str]:
    if source is None:
        return None
    if source.get("pool"):
        return "%s/%s" % (source.get("pool"), source.get("volume"))
    return source.get("file") or source.get("dev") or source.get("name")


def _interface(interface: ElementTree.Element) -> Interface:
    mac, source, target = (interface.find(name) for name in ("mac", "source", "target"))
    named = (source.get("network") or source.get("bridge") or source.get("dev")) if source is not None else None
    return Interface(
        (mac.get("address") or "").lower() if mac is not None else "",
        interface.get("type", ""),
        named,
        target.get("dev") if target is not None else None,
    )

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the XML of a network says, compared by its meaning, and a network's XML out of options. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple
from xml.etree import ElementTree

from .errors import VirtualError

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")


@dataclass(frozen=True)
class StaticHost:
    """One row of a network's table: which address, and which name, a MAC gets."""

    mac: str
    ip: str
    name: Optional[str] = None

    def to_dict(self) -> Dict[str, Optional[str]]:
        return {"mac": self.mac, "ip": self.ip, "name": self.name}

    def told(self) -> str:
        """In an image of a change."""
        return " ".join(filter(None, [self.ip, self.name]))

    def xml(self) -> str:
        row = ElementTree.Element("host", {"mac": self.mac, "ip": self.ip, **({"name": self.name} if self.name else {})})
        return ElementTree.tostring(row, encoding="unicode")

    def same(self, other: Optional[StaticHost]) -> bool:
        """A name that is not asked for may be any."""
        return other is not None and self.ip == other.ip and self.name in (None, other.name)


@dataclass(frozen=True)
class Definition:
    """A network. ``parts`` is all but its table, by names for a person; only what is declared is in it."""

    name: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    hosts: Tuple[StaticHost, ...] = ()
    xml: str = ""

    def host(self, mac: str) -> Optional[StaticHost]:
        return next((host for host in self.hosts if host.mac == mac), None)

    def differences(self, wanted: Definition) -> Dict[str, Tuple[Any, Any]]:
        """Parts that are wanted and not so: what is, and what was asked for."""
        return {name: (self.parts.get(name), value) for name, value in wanted.parts.items() if self.parts.get(name) != value}

    def to_dict(self) -> Dict[str, Any]:
        return dict(self.parts, static_hosts=[host.to_dict() for host in self.hosts])


def parse(xml: str, whose: str = "libvirt") -> Definition:
    """``whose`` says in an error who wrote it."""
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  libvirt wrote it, or the person who may define networks
    except (ElementTree.ParseError, ValueError) as exc:  # ValueError: what is no text at all, such as half a surrogate
        raise VirtualError("the XML of a network from %s cannot be read: %s" % (whose, exc)) from None
    name = (root.findtext("name") or "").strip()
    if root.tag != "network" or not name:
        raise VirtualError("the XML from %s is no network with a name, but <%s>" % (whose, root.tag))
    hosts = tuple(_host(row, whose) for row in root.iterfind("ip/dhcp/host") if row.get("mac"))
    _no_doubles(hosts, whose)
    return Definition(name, _parts(root), hosts, xml)


def _parts(root: ElementTree.Element) -> Dict[str, Any]:
    parts: Dict[str, Any] = {}
    uuid = (root.findtext("uuid") or "").strip().lower()
    forward, bridge, domain = root.find("forward"), root.find("bridge"), root.find("domain")
    if uuid:
        parts["uuid"] = uuid
    if forward is not None:
        parts["forward"] = forward.get("mode", "nat")
        if forward.get("dev"):
            parts["forward_dev"] = forward.get("dev")
    if bridge is not None:
        parts.update({"bridge" if key == "name" else key: value for key, value in bridge.attrib.items() if key in ("name", "stp", "delay")})
    if domain is not None and domain.get("name"):
        parts["domain"] = domain.get("name")
    addresses = [_address(ip) for ip in root.iterfind("ip") if ip.get("address")]
    if addresses:
        parts["addresses"] = addresses
        parts["dhcp_ranges"] = ["%s-%s" % (row.get("start"), row.get("end")) for row in root.iterfind("ip/dhcp/range")]
    return parts


def _address(ip: ElementTree.Element) -> str:
    """``address/prefix``, however the mask is written."""
    mask = ip.get("prefix") or ip.get("netmask")
    try:
        return ipaddress.ip_interface("%s/%s" % (ip.get("address"), mask) if mask else str(ip.get("address"))).with_prefixlen
    except ValueError:
        return "%s/%s" % (ip.get("address"), mask)


def _host(row: ElementTree.Element, whose: str) -> StaticHost:
    return static_host({"mac": row.get("mac"), "ip": row.get("ip"), "name": row.get("name")}, whose)


def static_host(row: Mapping[str, Any], whose: str) -> StaticHost:
    """One row, checked."""
    mac, ip = str(row.get("mac") or "").lower(), str(row.get("ip") or "")
    if not _MAC.match(mac):
        raise VirtualError("%s has a static host whose mac is %r; it must be six bytes like 52:54:00:12:34:56" % (whose, row.get("mac")))
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        raise VirtualError("%s has a static host %s whose ip is %r, which is no address" % (whose, mac, row.get("ip"))) from None
    return StaticHost(mac, ip, row.get("name") or None)


def _no_doubles(hosts: Sequence[StaticHost], whose: str) -> None:
    for key in ("mac", "ip"):
        seen = set()
        for host in hosts:
            value = getattr(host, key)
            if value in seen:
                raise VirtualError("%s has two static hosts with the %s %s" % (whose, key, value))
            seen.add(value)


def build(name: str, params: Mapping[str, Any]) -> Definition:
    """What was asked for: an XML text, or options."""
    rows = [static_host(row, "static_hosts") for row in params["static_hosts"] or ()]
    _no_doubles(rows, "static_hosts")
    if params.get("xml"):
        wanted = parse(params["xml"], "xml")
        if wanted.name != name:
            raise VirtualError("xml is of network %s, and name is %s" % (wanted.name, name))
        hosts = {host.mac: host for host in (*wanted.hosts, *rows)}
        _no_doubles(list(hosts.values()), "xml with static_hosts")
        return Definition(name, wanted.parts, tuple(hosts.values()), with_hosts(params["xml"], rows))
    if not params.get("address"):
        return Definition(name, {}, tuple(rows), "")
    made = parse(_built(name, params), "options")
    return Definition(name, made.parts, tuple(rows), with_hosts(made.xml, rows))


def _built(name: str, params: Mapping[str, Any]) -> str:
    try:
        address = ipaddress.ip_interface(params["address"])
    except ValueError:
        raise VirtualError("address %r is none; it must be like 192.168.123.1/24" % params["address"]) from None
    root = ElementTree.Element("network")
    ElementTree.SubElement(root, "name").text = name
    if params.get("uuid"):
        ElementTree.SubElement(root, "uuid").text = params["uuid"].lower()
    if params.get("forward"):
        ElementTree.SubElement(root, "forward", mode=params["forward"])
    if params.get("bridge"):
        ElementTree.SubElement(root, "bridge", name=params["bridge"])
    said = {"address": str(address.ip), "prefix": str(address.network.prefixlen)}
    ip = ElementTree.SubElement(root, "ip", dict(said, family="ipv6") if address.version == 6 else said)
    if params.get("dhcp_start"):
        ElementTree.SubElement(ElementTree.SubElement(ip, "dhcp"), "range", start=params["dhcp_start"], end=params["dhcp_end"])
    return ElementTree.tostring(root, encoding="unicode")


def with_hosts(xml: str, hosts: Sequence[StaticHost]) -> str:
    """The XML with these rows in its table; a row of the same MAC gives way."""
    if not hosts:
        return xml
    root = ElementTree.fromstring(xml)  # noqa: S314  it was parsed before
    ip = root.find("ip")
    if ip is None:
        raise VirtualError("a network without an address cannot have static hosts")
    found = ip.find("dhcp")
    dhcp = ElementTree.SubElement(ip, "dhcp") if found is None else found
    taken = {host.mac for host in hosts}
    for row in [row for row in dhcp.findall("host") if (row.get("mac") or "").lower() in taken]:
        dhcp.remove(row)
    for host in hosts:
        dhcp.append(ElementTree.fromstring(host.xml()))  # noqa: S314  made here
    return ElementTree.tostring(root, encoding="unicode")


def plain(xml: str) -> str:
    """One text for XML of one meaning."""
    return ElementTree.canonicalize(xml, strip_text=True)


def replacing(xml: str, old: Definition) -> str:
    """The XML to be defined in the place of another one: the UUID stays, and so do rows of the table that nobody asked about."""
    root = ElementTree.fromstring(xml)  # noqa: S314  it was parsed before
    uuid = root.find("uuid")
    if uuid is None:
        uuid = ElementTree.SubElement(root, "uuid")
    uuid.text = str(old.parts.get("uuid", "")) or uuid.text
    text = ElementTree.tostring(root, encoding="unicode")
    wanted = parse(text, "xml")
    return with_hosts(text, [host for host in old.hosts if wanted.host(host.mac) is None and host.ip not in {each.ip for each in wanted.hosts}])

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `import libvirt` gives in a test: a stand-in with the names of the real library, on the file of `state.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lab.libvirt_standin.state import CRASHED, PAUSED, RUNNING, SHUT_OFF, VARIABLE, Hypervisor

INTERNAL, DENIED, XML_ERROR, NO_DOMAIN, NO_NETWORK, INVALID, CONNECT = 1, 29, 27, 42, 43, 55, 38
ACTIVE = (RUNNING, PAUSED, CRASHED)
HANG = 60.0
parsed = ElementTree.XML  # what a test wrote


class libvirtError(Exception):  # noqa: N801  as the library calls it
    """An error with its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self._code, self._text = code, text

    def get_error_code(self) -> int:
        return self._code

    def get_error_message(self) -> str:
        return self._text


def registerErrorHandler(_handler: Any, _context: Any) -> None:  # noqa: N802
    """Nothing is printed anyway."""


def getVersion() -> int:  # noqa: N802
    return 9000000


def open(uri: str) -> Connection:  # noqa: A001
    return Connection(uri, False)


def openReadOnly(uri: str) -> Connection:  # noqa: N802
    return Connection(uri, True)


class Connection:
    def __init__(self, uri: str, readonly: bool) -> None:
        self.store, self.uri, self.readonly = Hypervisor(Path(os.environ[VARIABLE])), uri, readonly
        fault = self.store.read()["fault"]
        if fault == "down":
            raise libvirtError(CONNECT, "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory")
        if fault == "hang":
            time.sleep(HANG)

    def close(self) -> int:
        return 0

    def getLibVersion(self) -> int:  # noqa: N802
        return 9000000

    def listAllDomains(self, _flags: int) -> list[Domain]:  # noqa: N802
        return [Domain(self, name) for name in self.store.read()["domains"]]

    def listAllNetworks(self, _flags: int) -> list[Network]:  # noqa: N802
        return [Network(self, name) for name in self.store.read()["networks"]]

    def lookupByUUIDString(self, number: str) -> Domain:  # noqa: N802
        for name, row in self.store.read()["domains"].items():
            if row["uuid"] == number:
                return Domain(self, name)
        raise libvirtError(NO_DOMAIN, f"Domain not found: no domain with matching uuid '{number}'")

    def networkLookupByName(self, name: str) -> Network:  # noqa: N802
        if name not in self.store.read()["networks"]:
            raise libvirtError(NO_NETWORK, f"Network not found: no network with matching name '{name}'")
        return Network(self, name)

    def networkDefineXML(self, xml: str) -> Network:  # noqa: N802
        self.may_write()
        root = parsed(xml)
        name = str(root.findtext("name"))
        with self.store.changing() as known:
            row = known["networks"].setdefault(name, {"xml": None, "live": None, "autostart": False, "leases": []})
            there = row["xml"] or row["live"]
            number = root.findtext("uuid")
            if there and parsed(there).findtext("uuid") != number:
                raise libvirtError(INTERNAL, f"operation failed: network '{name}' already exists with another uuid")
            if number is None:
                ElementTree.SubElement(root, "uuid").text = "11111111-2222-3333-4444-555555555555"
            row["xml"] = ElementTree.tostring(root, encoding="unicode")
        return Network(self, name)

    def may_write(self) -> None:
        if self.readonly:
            raise libvirtError(DENIED, "operation forbidden: read only access prevents this")


class Thing:
    """Of a connection, by its name."""

    table = ""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection, self._name = connection, name

    @property
    def row(self) -> dict[str, Any]:
        known = self.connection.store.read()[self.table]
        if self._name not in known:
            raise libvirtError(NO_DOMAIN if self.table == "domains" else NO_NETWORK, f"{self._name} is gone")
        row: dict[str, Any] = known[self._name]
        return row

    def name(self) -> str:
        return self._name


class Domain(Thing):
    table = "domains"

    def UUIDString(self) -> str:  # noqa: N802
        return str(self.row["uuid"])

    def ID(self) -> int:  # noqa: N802
        return 1

    def state(self) -> list[int]:
        return [self.row["state"], self.row["reason"]]

    def isActive(self) -> int:  # noqa: N802
        return int(self.row["state"] in ACTIVE)

    def isPersistent(self) -> int:  # noqa: N802
        return int(self.row["persistent"])

    def autostart(self) -> int:
        return int(self.row["autostart"])

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802
        return str(self.row["xml"])

    def agentSetResponseTimeout(self, _seconds: int, _flags: int) -> None:  # noqa: N802
        self.connection.may_write()

    def interfaceAddresses(self, source: int, _flags: int) -> dict[str, Any]:  # noqa: N802
        found: dict[str, Any] | None = self.row.get({1: "agent", 2: "arp"}[source])
        if found is None:
            raise libvirtError(86, "Guest agent is not responding")
        return found

    def destroy(self) -> int:
        self.connection.may_write()
        row = self.row
        if row["destroy"] == "late":
            time.sleep(HANG)
        if isinstance(row["destroy"], list):
            raise libvirtError(*row["destroy"])
        with self.connection.store.changing() as known:
            if row["persistent"]:
                known["domains"][self._name].update(state=SHUT_OFF, reason=2)
            else:
                known["domains"].pop(self._name)
        if row["destroy"] == "ended":
            raise libvirtError(INVALID, "Requested operation is not valid: domain is not running")
        return 0


class Network(Thing):
    table = "networks"

    def UUIDString(self) -> str:  # noqa: N802
        return str(parsed(self.row["xml"] or self.row["live"]).findtext("uuid"))

    def isActive(self) -> int:  # noqa: N802
        return int(self.row["live"] is not None)

    def isPersistent(self) -> int:  # noqa: N802
        return int(self.row["xml"] is not None)

    def autostart(self) -> int:
        return int(self.row["autostart"])

    def XMLDesc(self, flags: int) -> str:  # noqa: N802
        return str(self.row["xml"] if flags & 1 else self.row["live"])

    def DHCPLeases(self) -> list[dict[str, Any]]:  # noqa: N802
        found: list[dict[str, Any]] = self.row["leases"]
        return found

    def create(self) -> int:
        self._change(lambda row: row.update(live=row["xml"]))
        return 0

    def destroy(self) -> int:
        self._change(lambda row: row.update(live=None))
        return 0

    def undefine(self) -> int:
        self._change(lambda row: row.update(xml=None, autostart=False))
        return 0

    def setAutostart(self, wanted: int) -> int:  # noqa: N802
        self._change(lambda row: row.update(autostart=bool(wanted)))
        return 0

    def update(self, command: int, section: int, _index: int, xml: str, flags: int) -> int:
        """The table of static hosts: 1 modify, 2 delete, 3 add; in what is active (1), in what is defined (2)."""
        if section != 4:
            raise libvirtError(XML_ERROR, "only rows of the table are known here")
        self._change(lambda row: row.update({key: _updated(row[key], command, xml) for key, flag in (("live", 1), ("xml", 2)) if flags & flag}))
        return 0

    def _change(self, change: Any) -> None:
        self.connection.may_write()
        with self.connection.store.changing() as known:
            row = known["networks"].get(self._name)
            if row is None:
                raise libvirtError(NO_NETWORK, f"Network not found: {self._name}")
            change(row)
            if row["xml"] is None and row["live"] is None:
                known["networks"].pop(self._name)


def _updated(text: str, command: int, xml: str) -> str:
    root, wanted = parsed(text), parsed(xml)
    dhcp = root.find("ip/dhcp")
    if dhcp is None:
        raise libvirtError(INVALID, "Requested operation is not valid: the network has no dhcp")
    alike = [row for row in dhcp.findall("host") if row.get("mac") == wanted.get("mac")]
    taken = [row for row in dhcp.findall("host") if row not in alike and row.get("ip") == wanted.get("ip")]
    if (command == 3 and (alike or taken)) or (command != 3 and not alike) or taken:
        raise libvirtError(INVALID, "Requested operation is not valid: there is an existing dhcp host entry that matches, or none")
    for row in alike:
        dhcp.remove(row)
    if command != 2:
        dhcp.append(wanted)
    return ElementTree.tostring(root, encoding="unicode")

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt: one connection per module run, answers as plain values, errors in one sentence with libvirt's code, and a bound in time.

The library ``libvirt`` is looked for when it is needed, so that the modules can be imported and documented without it. Its calls have no time-out of their
own: each question is asked in a thread, and a thread that gets no answer is left behind. What is not there is no error but an answer.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

T = TypeVar("T")
DEFAULT_URI = "qemu:///system"
STATES = {0: "no state", 1: "running", 2: "blocked", 3: "paused", 4: "shutting down", 5: "shut off", 6: "crashed", 7: "suspended"}
"""``virDomainState``, in virsh's words."""
PAUSED = {
    1: "by a user",
    2: "for a migration",
    3: "for a save",
    4: "for a dump",
    5: "by an I/O error of its disk",
    6: "by its watchdog",
    7: "after a restore",
    8: "while it is shut down",
    9: "for a snapshot",
    10: "because its guest crashed",
    11: "while it starts",
    12: "by a failed post-copy",
    13: "by a failed post-copy",
}
"""``virDomainPausedReason``."""
_NO_DOMAIN, _INVALID, _NO_NETWORK = 42, 55, 43
"""``virErrorNumber`` of what is not there, or not in the state that a call needs."""
_LOCAL = ("qemu", "lxc", "xen", "bhyve", "ch")
_XML_INACTIVE = 1
_FROM_LEASE, _FROM_AGENT, _FROM_ARP = 0, 1, 2


class LibvirtError(Exception):
    """libvirt refused, or could not be asked. ``code`` is its ``virErrorNumber``, where it said one."""

    def __init__(self, message: str, code: Optional[int] = None) -> None:
        super().__init__(message)
        self.code = code


class LibvirtAway(LibvirtError):
    """No daemon answers: nothing is known of any domain."""


class Libvirt:
    """The hypervisor at ``uri``. Time-outs are in seconds."""

    def __init__(self, uri: str = DEFAULT_URI, timeout: float = 30.0, readonly: bool = True) -> None:
        self.uri = uri
        self.timeout = timeout
        self.readonly = readonly
        self._connection: Any = None
        self._hung = ""

    def close(self) -> None:
        """A connection on which a call hangs is left behind with it: to close it would hang as well."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._hung:
            self._bounded("close the connection", connection.close, min(self.timeout, 5.0), quietly=True)

    @property
    def local(self) -> bool:
        """Whether files and processes of its domains are this node's."""
        scheme, _colon, rest = self.uri.partition("://")
        return scheme in _LOCAL and rest.startswith("/")

    def ask(self, what: str, question: Callable[[Any], T], timeout: Optional[float] = None) -> T:
        """The answer to a question that is put to the library's own connection object."""
        return self._bounded(what, lambda: question(self._connected()), self.timeout if timeout is None else timeout)

    # -- looking ------------------------------------------------------------------------------------------------------------

    def versions(self) -> Dict[str, str]:
        """Of the daemon and of the library."""

        def asked(connection: Any) -> Dict[str, str]:
            return {"libvirt": _version(connection.getLibVersion()), "library": _version(_library().getVersion())}

        return self.ask("tell its version", asked)

    def domains(self) -> List[Dict[str, Any]]:
        """All of them, by name. One that goes away meanwhile is left out."""

        def asked(connection: Any) -> List[Dict[str, Any]]:
            found = (self._maybe(_domain, domain) for domain in connection.listAllDomains(0))
            return sorted((each for each in found if each is not None), key=lambda each: str(each["name"]))

        return self.ask("list its domains", asked)

    def networks(self) -> List[Dict[str, Any]]:
        """All of them, by name, with their XML and their leases."""

        def asked(connection: Any) -> List[Dict[str, Any]]:
            found = (self._maybe(_network, network) for network in connection.listAllNetworks(0))
            return sorted((each for each in found if each is not None), key=lambda each: str(each["name"]))

        return self.ask("list its networks", asked)

    def addresses(self, uuids: Sequence[str], agent: bool = False) -> Dict[str, List[Dict[str, str]]]:
        """What the host's ARP table knows of running domains, or (``agent``) what the guests say themselves, by UUID.

        A guest that does not answer is left out.
        """
        source = _FROM_AGENT if agent else _FROM_ARP

        def asked(connection: Any) -> Dict[str, List[Dict[str, str]]]:
            found = {}
            for uuid in uuids:
                answer = self._maybe(_interfaces, connection, uuid, source, self.timeout, any_code=True)
                if answer is not None:
                    found[uuid] = _flat(answer)
            return found

        return self.ask("tell addresses of its domains", asked, self.timeout * max(1, len(uuids)) if agent else None)

    def network(self, name: str) -> Optional[Dict[str, Any]]:
        """One network by its name; None when there is none."""
        return self.ask("look at network %s" % name, lambda connection: self._maybe(lambda: _network(connection.networkLookupByName(name))))

    # -- changing -----------------------------------------------------------------------------------------------------------

    def destroy(self, uuid: str, timeout: Optional[float] = None) -> bool:
        """Whether a domain was made to end; False when it had ended by itself. libvirt returns when its process is gone."""

        def asked(connection: Any) -> bool:
            return self._maybe(lambda: connection.lookupByUUIDString(uuid).destroy() == 0) is not None

        return self.ask("destroy domain %s" % uuid, asked, timeout)

    def define_network(self, xml: str) -> None:
        """Make it, make it persistent, or replace what is kept of it. What is active goes on as it is."""
        self.ask("define a network", lambda connection: connection.networkDefineXML(xml))

    def undefine_network(self, name: str) -> None:
        """One that is active becomes a transient one."""
        self.ask("undefine network %s" % name, lambda connection: connection.networkLookupByName(name).undefine())

    def start_network(self, name: str) -> None:
        self.ask("start network %s" % name, lambda connection: connection.networkLookupByName(name).create())

    def stop_network(self, name: str) -> None:
        self.ask("stop network %s" % name, lambda connection: connection.networkLookupByName(name).destroy())

    def autostart_network(self, name: str, wanted: bool) -> None:
        self.ask("mark network %s for autostart" % name, lambda connection: connection.networkLookupByName(name).setAutostart(int(wanted)))

    def update_host(self, name: str, command: str, xml: str, live: bool, config: bool) -> None:
        """Add, modify or delete a static host of a network, in what is active, in what is kept, or in both."""
        number = {"modify": 1, "delete": 2, "add": 3}[command]
        flags = (1 if live else 0) | (2 if config else 0)
        self.ask("%s a host of network %s" % (command, name), lambda connection: connection.networkLookupByName(name).update(number, 4, -1, xml, flags))

    # -- asking -------------------------------------------------------------------------------------------------------------

    def _connected(self) -> Any:
        if self._connection is None:
            library = _library()
            self._connection = library.openReadOnly(self.uri) if self.readonly else library.open(self.uri)
        return self._connection

    def _bounded(self, what: str, question: Callable[[], T], timeout: float, quietly: bool = False) -> T:
        if self._hung:
            raise LibvirtAway(self._hung)
        library = _library()  # a library that is missing is told before anything is asked
        answers: queue.Queue[Tuple[Any, Optional[BaseException]]] = queue.Queue()

        def work() -> None:
            try:
                answers.put((question(), None))
            except BaseException as exc:  # noqa: BLE001  it is raised where it was asked
                answers.put((None, exc))

        threading.Thread(target=work, daemon=True, name="libvirt").start()
        try:
            answer, error = answers.get(timeout=timeout)
        except queue.Empty:
            self._hung = "libvirt at %s did not answer within %g seconds (asked to %s): its daemon hangs, or a call before this one does" % (
                self.uri,
                timeout,
                what,
            )
            if quietly:
                return None  # type: ignore[return-value]
            raise LibvirtAway(self._hung) from None
        if error is None or quietly:
            return answer  # type: ignore[no-any-return]
        if isinstance(error, library.libvirtError):
            raise self._told(what, error) from error
        raise error

    def _told(self, what: str, error: Any) -> LibvirtError:
        code = error.get_error_code()
        said = " ".join(str(error.get_error_message() or error).split())
        if self._connection is None:
            return LibvirtAway("libvirt at %s cannot be reached: %s (code %s)" % (self.uri, said, code), code)
        return LibvirtError("libvirt at %s refused to %s: %s (code %s)" % (self.uri, what, said, code), code)

    @staticmethod
    def _maybe(ask: Callable[..., Optional[T]], *arguments: Any, any_code: bool = False) -> Optional[T]:
        """An answer, or None where libvirt says that there is no such thing, or that it does not run."""
        try:
            return ask(*arguments)
        except _library().libvirtError as exc:
            if any_code or exc.get_error_code() in (_NO_DOMAIN, _NO_NETWORK, _INVALID):
                return None
            raise


def together(jobs: Mapping[str, Callable[[], T]], workers: int, timeout: float) -> Dict[str, Any]:
    """Do several things at the same time; what each gave, or the LibvirtError that it raised. What is not done in time is left out, and left behind."""
    todo: queue.Queue[str] = queue.Queue()
    for name in jobs:
        todo.put(name)
    answers: queue.Queue[Tuple[str, Any]] = queue.Queue()
    deadline = time.monotonic() + timeout

    def work() -> None:
        while time.monotonic() < deadline:
            try:
                name = todo.get_nowait()
            except queue.Empty:
                return
            try:
                answers.put((name, jobs[name]()))
            except Exception as exc:  # noqa: BLE001  it is an answer too
                answers.put((name, exc))

    for _number in range(min(workers, len(jobs))):
        threading.Thread(target=work, daemon=True, name="libvirt").start()
    done: Dict[str, Any] = {}
    while len(done) < len(jobs):
        try:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        done[name] = answer
    return done


# -- the library's objects as plain values ------------------------------------------------------------------------------------


def _domain(domain: Any) -> Dict[str, Any]:
    state, reason = domain.state()[:2]
    active = bool(domain.isActive())
    persistent = bool(domain.isPersistent())
    return {
        "name": domain.name(),
        "uuid": domain.UUIDString(),
        "id": domain.ID() if active else None,
        "active": active,
        "state": STATES.get(state, str(state)),
        "reason": reason,
        "persistent": persistent,
        "autostart": bool(domain.autostart()) if persistent else False,
        "xml": domain.XMLDesc(0),
    }


def _network(network: Any) -> Dict[str, Any]:
    active = bool(network.isActive())
    persistent = bool(network.isPersistent())
    return {
        "name": network.name(),
        "uuid": network.UUIDString(),
        "active": active,
        "persistent": persistent,
        "autostart": bool(network.autostart()) if persistent else False,
        "xml": network.XMLDesc(_XML_INACTIVE) if persistent else None,
        "live_xml": network.XMLDesc(0) if active else None,
        "leases": [_lease(lease) for lease in network.DHCPLeases()] if active else [],
    }


def _lease(lease: Mapping[str, Any]) -> Dict[str, Any]:
    return {"mac": str(lease.get("mac") or "").lower(), "address": lease.get("ipaddr"), "name": lease.get("hostname"), "expires": lease.get("expirytime")}


def _interfaces(connection: Any, uuid: str, source: int, timeout: float) -> Mapping[str, Any]:
    domain = connection.lookupByUUIDString(uuid)
    if source == _FROM_AGENT:
        domain.agentSetResponseTimeout(max(1, int(timeout)), 0)
    answer: Mapping[str, Any] = domain.interfaceAddresses(source, 0)
    return answer


def _flat(interfaces: Mapping[str, Any]) -> List[Dict[str, str]]:
    rows = []
    for interface in interfaces.values():
        mac = str(interface.get("hwaddr") or "").lower()
        rows += [{"mac": mac, "address": str(each["addr"])} for each in interface.get("addrs") or () if not _of_itself(str(each["addr"]))]
    return rows


def _of_itself(address: str) -> bool:
    """Loopback and link-local addresses say nothing."""
    return address.startswith(("127.", "fe80:")) or address == "::1"


def _version(number: int) -> str:
    return "%d.%d.%d" % (number // 1000000, number // 1000 % 1000, number % 1000)


def _library() -> Any:
    try:
        library = importlib.import_module("libvirt")  # not on every node
    except ImportError as exc:
        raise LibvirtError("the Python library libvirt is missing on this node (Debian and Ubuntu: python3-libvirt): %s" % exc) from exc
    library.registerErrorHandler(_silent, None)
    return library


def _silent(_context: Any, _error: Any) -> None:
    """The library would print each error beside raising it."""

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network that is as it should be: what is to be changed, what is refused, and how each subject looks. Pure.

Subjects are the definition (``network:NAME``), rows of its table (``network:NAME/MAC``), and whether it is active, is marked for autostart, and has live
what it is defined to be (``network:NAME/active`` and so on).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Tuple

from ..procedure.envelope import Change, Image
from ..procedure.errors import Refusal
from .network_xml import Definition, StaticHost, plain, replacing
from .networks import Network

NETWORK = "network:"
ACTIVE, AUTOSTART, LIVE = "active", "autostart", "live"


@dataclass(frozen=True)
class Wish:
    """How it should be. What ``definition`` does not declare may be any; ``active`` and ``autostart`` are not looked at where they are false."""

    definition: Definition
    active: bool = True
    autostart: bool = True
    replace: bool = False

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def described(self) -> bool:
        """Whether it could be made out of this."""
        return bool(self.definition.xml)


def subject(name: str, part: str = "") -> str:
    return NETWORK + name + ("/" + part if part else "")


def split(text: str) -> Tuple[str, str]:
    """Name and part of a subject."""
    name, _slash, part = text[len(NETWORK) :].partition("/")
    return name, part


def plan(network: Optional[Network], wish: Wish) -> List[Change]:
    """The definition first, then what is in it, then whether it is up."""
    if network is None and not wish.described:
        return []
    redefined = _definition(network, wish)
    changes = [redefined] if redefined is not None else []
    restarted = _restart(network, wish)
    if network is not None and redefined is None:
        changes += _hosts(network, wish)
    elif network is not None and not restarted:  # what is defined gets its rows with the definition
        changes += _hosts(replace(network, kept=None), wish)
    changes += restarted
    if wish.active and (network is None or not network.active):
        changes.append(Change("start", subject(wish.name, ACTIVE), {"active": False}, {"active": True}, "machines on it have no network until it is started"))
    if wish.autostart and (network is None or not network.autostart):
        reason = "after a reboot it would not come back"
        changes.append(Change("autostart", subject(wish.name, AUTOSTART), {"autostart": False}, {"autostart": True}, reason))
    return changes


def _definition(network: Optional[Network], wish: Wish) -> Optional[Change]:
    if network is None:
        return Change("define", subject(wish.name), None, {"persistent": True, **wish.definition.parts}, "there is none of this name")
    if not network.persistent:
        after = {"persistent": True, **({} if not wish.described else {key: value for key, value in wish.definition.parts.items() if key != "uuid"})}
        return Change("define", subject(wish.name), {"persistent": False}, after, "it is transient: it is gone as soon as it is stopped")
    differences = network.definition.differences(wish.definition)
    if not differences or not wish.replace:
        return None
    before = {"persistent": True, **{key: old for key, (old, _new) in differences.items()}, "xml": plain(network.definition.xml)}
    after = {"persistent": True, **{key: new for key, (_old, new) in differences.items()}}
    return Change("redefine", subject(wish.name), before, after, "%s differ, and replace is set" % ", ".join(sorted(differences)))


def _restart(network: Optional[Network], wish: Wish) -> List[Change]:
    """What is active stays as it is until it is started anew."""
    if network is None or network.live is None:
        return []
    name = subject(wish.name, LIVE)
    if network.bridge_gone:
        text = "libvirt calls it active, and its bridge %s is gone" % network.bridge
        return [Change("restart", name, {"bridge_exists": False}, {"bridge_exists": True}, text, reversible=False)]
    differences = _live_differences(network, wish)
    if not differences or not wish.replace:
        return []
    before, after = ({key: pair[n] for key, pair in differences.items()} for n in (0, 1))
    return [Change("restart", name, before, after, "what is active differs (%s), and takes it up only so" % ", ".join(sorted(differences)))]


def _live_differences(network: Network, wish: Wish) -> Dict[str, Tuple[Any, Any]]:
    if network.live is None:
        return {}
    return {key: pair for key, pair in network.live.differences(wish.definition).items() if key != "uuid"}


def _hosts(network: Network, wish: Wish) -> List[Change]:
    """Rows that are missing or that say something else, in what is kept and in what is active.

    One call of libvirt does the same in both; where they differ from each other, each is a change of its own.
    """
    changes = []
    for host in wish.definition.hosts:
        before = host_image(network, host.mac)
        after = {key: _row_after(row, host) for key, row in _rows(network, host.mac).items()}
        wrong = [key for key in sorted(after) if before[key] != after[key]]
        alike = len(wrong) == len(before) and len({before[key] for key in wrong}) == 1
        parts = [wrong] if alike else [[key] for key in wrong]
        changes += [_host(wish, host, {key: before[key] for key in part}, {key: after[key] for key in part}) for part in parts]
    return changes


def _host(wish: Wish, host: StaticHost, before: Image, after: Image) -> Change:
    missing = all(value is None for value in before.values())
    where = " and ".join("what is %s" % word for key, word in (("kept", "defined"), ("live", "active")) if key in before)
    verb = ("lacks" if missing else "gives another row for") if len(before) == 1 else ("lack" if missing else "give another row for")
    return Change("add_host" if missing else "set_host", subject(wish.name, host.mac), before, after, "%s %s it" % (where, verb))


def _row_after(row: Optional[StaticHost], wanted: StaticHost) -> str:
    return row.told() if row is not None and wanted.same(row) else wanted.told()


def _rows(network: Network, mac: str) -> Dict[str, Optional[StaticHost]]:
    places = {"kept": network.kept, "live": network.live}
    return {key: definition.host(mac) for key, definition in places.items() if definition is not None}


def host_image(network: Network, mac: str) -> Dict[str, Optional[str]]:
    """A row as it is kept and as it is active."""
    return {key: row.told() if row is not None else None for key, row in _rows(network, mac).items()}


def now_image(network: Optional[Network], part: str) -> Optional[Image]:
    """A subject as it is now. What a network that is not there is not, it is not yet."""
    if part == ACTIVE:
        return {"active": network is not None and network.active}
    if part == AUTOSTART:
        return {"autostart": network is not None and network.autostart}
    if network is None:
        return None
    if part == LIVE:
        # What is down comes up as it is defined, also when a restart was killed in the middle.
        return dict((network.live or network.definition).parts, bridge_exists=network.active and not network.bridge_gone)
    if part:
        return dict(host_image(network, part))
    return {"persistent": network.persistent, **network.definition.parts, "xml": plain(network.definition.xml)}


def definition_to_make(network: Optional[Network], wish: Wish) -> str:
    """The XML for ``define`` and ``redefine``. Of a transient one that nothing was said of, what is active is kept."""
    if network is None:
        return wish.definition.xml
    return replacing(wish.definition.xml, network.definition) if wish.described else network.definition.xml


# -- refusals -------------------------------------------------------------------------------------------------------------


def guards(network: Optional[Network], wish: Wish) -> List[Refusal]:
    if network is None:
        if wish.described:
            return []
        return [Refusal("undefined", "there is no network %s, and nothing says how it should be." % wish.name, "passing xml, or address with bridge and more.")]
    refusals = [_differs(network, wish), _other_uuid(network, wish), _in_use(network, wish), _taken(network, wish)]
    return [refusal for refusal in refusals if refusal is not None]


def _differs(network: Network, wish: Wish) -> Optional[Refusal]:
    if wish.replace:
        return None
    kept = network.kept.differences(wish.definition) if network.kept else {}
    told = _told({**_live_differences(network, wish), **kept})
    if not told:
        return None
    reason = "network %s is there, and is another one: %s." % (wish.name, told)
    return Refusal("differs", reason, "replace: true, which defines it anew and, where it is active, restarts it; or asking for what there is.")


def _other_uuid(network: Network, wish: Wish) -> Optional[Refusal]:
    wanted = wish.definition.parts.get("uuid")
    if not wish.replace or wanted in (None, network.uuid):
        return None
    reason = "network %s has the UUID %s, not %s, and libvirt gives no other to a network that is there." % (wish.name, network.uuid, wanted)
    return Refusal("uuid", reason, "leaving the UUID out, or undefining the network first (virsh net-undefine %s)." % wish.name)


def _in_use(network: Network, wish: Wish) -> Optional[Refusal]:
    restarts = [change for change in _restart(network, wish) if change.reversible]
    return in_use(network) if restarts else None


def in_use(network: Network) -> Optional[Refusal]:
    """A network that is stopped takes its machines' connections with it, also when it is started again."""
    if not network.attached:
        return None
    names = ", ".join(network.attached[:5]) + (" and %d more" % (len(network.attached) - 5) if len(network.attached) > 5 else "")
    reason = "network %s would be stopped, and %d running domains are on it: %s." % (network.name, len(network.attached), names)
    return Refusal("in_use", reason, "destroying those domains first.")


def _taken(network: Network, wish: Wish) -> Optional[Refusal]:
    """An address that another MAC has; libvirt would refuse it in the middle."""
    wanted = {host.mac for host in wish.definition.hosts}
    taken = []
    for definition in (network.kept, network.live):
        owners = {host.ip: host.mac for host in definition.hosts if host.mac not in wanted} if definition else {}
        taken += ["%s is wanted for %s and belongs to %s" % (host.ip, host.mac, owners[host.ip]) for host in wish.definition.hosts if host.ip in owners]
    if not taken:
        return None
    allow = "asking for free addresses, or removing these rows (virsh net-update %s delete ip-dhcp-host)." % wish.name
    return Refusal("address_taken", "%s." % "; ".join(dict.fromkeys(taken[:10])), allow)


def _told(differences: Dict[str, Tuple[Any, Any]]) -> str:
    return "; ".join("%s is %s and should be %s" % (key, _value(old), _value(new)) for key, (old, new) in sorted(differences.items()))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets on which something must listen."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

from ..connect.procfs import OpenFiles, Pattern
from ..connect.sockets import Listener, packed
from ..procedure.envelope import Finding
from .expect import Missed, Options, Said
from .processes import Running


class Wanted(NamedTuple):
    """One expectation: a port, or else a path."""

    said: Said
    protocol: str
    port: Optional[int]
    address: Optional[str]
    pattern: Pattern

    @property
    def place(self) -> str:
        """Where, unless its name says it."""
        place = str(self.address) if self.port is None else "%s port %d%s" % (self.protocol, self.port, " of %s" % self.address if self.address else "")
        return "" if place == self.said.name else " on " + place


class Sight(NamedTuple):
    """The sockets that serve it, and the processes that hold them as far as they could be seen."""

    listeners: Sequence[Listener]
    holders: Sequence[Running]
    hidden: bool
    """A socket's processes are among those that this user may not look into."""


Seen = Union[Sight, Missed]


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    program, owner = options["program"], options["owner"]
    if owner is not None and program is None:
        raise options.refuse("owner", "given together with program")
    pattern = Pattern(options.filled("program") if program is not None else None, (), None, owner)
    if options["port"] is None:
        path = options["path"]
        if not path.startswith("@"):
            options.absolute("path")
        return Wanted(options.said("socket", path, runbook_file), "unix", None, path, pattern)
    address = options["address"]
    if address is not None and len(packed(address)) not in {4, 16}:
        raise options.refuse("address", "an IP address")
    name = "%s port %d" % (options["protocol"], options.port("port"))
    return Wanted(options.said("socket", name, runbook_file), options["protocol"], options.port("port"), address, pattern)


def look(wanted: Wanted, listeners: Union[Sequence[Listener], Missed], open_files: Union[OpenFiles, Missed], running: Mapping[int, Running]) -> Seen:
    """Pure."""
    if isinstance(listeners, Missed):
        return listeners
    serving = [each for each in listeners if _serves(each, wanted)]
    if not wanted.pattern.program:
        return Sight(serving, [], False)
    if isinstance(open_files, Missed):
        return open_files
    pids = {pid for each in serving for pid in open_files.sockets.get(each.inode, ())}
    hidden = bool(open_files.unseen) and any(each.inode not in open_files.sockets for each in serving)
    return Sight(serving, [running[pid] for pid in sorted(pids) if pid in running], hidden)


def _serves(listener: Listener, wanted: Wanted) -> bool:
    if listener.protocol != wanted.protocol or listener.port != wanted.port:
        return False
    return listener.address == wanted.address if wanted.port is None else listener.serves(wanted.address)


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    said = wanted.said
    if isinstance(seen, Missed):
        return [said.unknown(seen.reason)]
    if not seen.listeners:
        return [said.bad("not_listening", "critical", "nothing listens%s" % wanted.place, **_detail(seen))]
    if not wanted.pattern.program or any(wanted.pattern.matches(each.process) for each in seen.holders):
        return []
    if seen.hidden or not seen.holders:
        return [said.unknown("something listens%s, but this user may not see which program" % wanted.place, **_detail(seen))]
    who = ", ".join(sorted({"%s of %s" % (each.to_dict()["program"], each.process.owner) for each in seen.holders}))
    text = "%s listens%s instead of %s%s" % (who, wanted.place, wanted.pattern.program, " of %s" % wanted.pattern.owner if wanted.pattern.owner else "")
    return [said.bad("wrong_program", "critical", text, **_detail(seen))]


def _detail(seen: Sight) -> Dict[str, Any]:
    return {
        "listening": bool(seen.listeners),
        "addresses": sorted({each.address for each in seen.listeners}),
        "processes": [each.to_dict() for each in seen.holders],
    }


def row(wanted: Wanted, seen: Seen) -> Dict[str, Any]:
    sight = Sight((), (), True) if isinstance(seen, Missed) else seen
    return dict(_detail(sight), name=wanted.said.name, listening=None if isinstance(seen, Missed) else bool(sight.listeners))

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a node: everything that the expectations need, side by side, each thing read once."""

from __future__ import annotations

import os
import pwd
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..connect import disk, procfs
from ..connect.service import Service
from ..connect.services import ServiceError, services
from . import logs, paths, place, processes, units, vitals, web
from .expect import Missed
from .parallel import Looks
from .sizes import number as number_of

if TYPE_CHECKING:
    from ..connect.sockets import Listener
    from . import certificates, sockets

Key = Tuple[str, int]
"""An option, and the number of the expectation in it."""
ALL = -1
"""In place of a number: for all expectations of an option together."""


class Expected(NamedTuple):
    """All that is expected of a node."""

    processes: Sequence[processes.Wanted] = ()
    units: Sequence[units.Wanted] = ()
    sockets: Sequence[sockets.Wanted] = ()
    paths: Sequence[paths.Wanted] = ()
    logs: Sequence[logs.Wanted] = ()
    http: Sequence[web.Wanted] = ()
    tcp: Sequence[web.WantedPort] = ()
    certificates: Sequence[certificates.Wanted] = ()
    limits: vitals.Limits = vitals.Limits()

    @property
    def needs_open_files(self) -> bool:
        return any(each.pattern.program for each in self.sockets) or any(each.needs_open_files for each in self.paths)


class NodeState(NamedTuple):
    """What was seen, expectation by expectation in their order."""

    processes: Sequence[processes.Seen] = ()
    units: Sequence[units.Seen] = ()
    sockets: Sequence[sockets.Seen] = ()
    paths: Sequence[paths.Seen] = ()
    logs: Sequence[logs.Seen] = ()
    http: Sequence[web.Seen] = ()
    tcp: Sequence[web.SeenPort] = ()
    certificates: Sequence[certificates.Seen] = ()
    vitals: vitals.Vitals = vitals.Vitals()
    evidence: Mapping[str, Any] = MappingProxyType({})


class Table(NamedTuple):
    """The processes of the node by pid, and what they have open where that was asked for."""

    running: Mapping[int, processes.Running] = MappingProxyType({})
    open_files: procfs.OpenFiles = procfs.OpenFiles()
    hidden: bool = False


class Observer:
    """Looks once; with ``watch`` a second time at what moves."""

    def __init__(self, expected: Expected, timeout: float, watch: float = 0.0, manager: Optional[str] = None) -> None:
        self.expected = expected
        self.timeout = timeout
        self.watch = watch
        self.manager = manager

    def observe(self) -> NodeState:
        looks: Looks[Key] = Looks(self.timeout)
        # Units first: systemctl is at work while this program reads all the rest.
        first = looks.gather({**self._moving(), **self._waiting(looks), **self._still(looks)})
        apart = 0.0
        again: Dict[Key, Any] = {}
        if self.watch:
            time.sleep(max(0.0, self.watch - (time.monotonic() - looks.started)))
            apart = time.monotonic() - looks.started
            second: Looks[Key] = Looks(self.timeout)
            again = second.gather({**self._moving(), **self._growing(first)})
        return _Seen(self.expected, first, again, apart).state(looks)

    def _waiting(self, looks: Looks[Key]) -> Dict[Key, Callable[[], Any]]:
        """What waits for others: for as long as is left when it begins."""
        wanted: Dict[Key, Callable[[], Any]] = {}
        for option, look in (("http", web.look), ("tcp", web.look_port), ("certificates", _certificate)):
            for number, each in enumerate(getattr(self.expected, option)):
                wanted[option, number] = partial(_in_time, looks, look, each)
        for number, path in enumerate(self.expected.paths):
            wanted["paths", number] = partial(place.look, path)
            for option, asked, looking in (
                ("newest", path.newest_max_age is not None, place.newest),
                ("total", path.account, place.total),
                ("readable", path.readable_by is not None, place.readable),
            ):
                if asked:
                    wanted[option, number] = partial(_in_time, looks, looking, path)
        return wanted

    def _still(self, looks: Looks[Key]) -> Dict[Key, Callable[[], Any]]:
        """What is read from this node."""
        expected = self.expected
        wanted: Dict[Key, Callable[[], Any]] = {("node", ALL): vitals.look}
        if expected.processes or expected.needs_open_files:
            wanted["processes", ALL] = partial(process_table, [each.pattern for each in expected.processes], expected.needs_open_files)
        if expected.sockets:
            wanted["sockets", ALL] = partial(_listeners, sorted({each.protocol for each in expected.sockets}))
        for number, log in enumerate(expected.logs):
            wanted["logs", number] = partial(logs.look, log)
        return wanted

    def _moving(self) -> Dict[Key, Callable[[], Any]]:
        names = list(dict.fromkeys(each.name for each in self.expected.units))
        return {("units", ALL): partial(_services, names, self.manager)} if names else {}

    def _growing(self, first: Mapping[Key, Any]) -> Dict[Key, Callable[[], Any]]:
        """What could be seen once is looked at again; what hung would hang again."""
        wanted: Dict[Key, Callable[[], Any]] = {}
        for number, path in enumerate(self.expected.paths):
            wanted["paths", number] = partial(disk.file_system, path.path)
        for number, log in enumerate(self.expected.logs):
            wanted["logs", number] = partial(logs.sizes, log)
        return {key: look for key, look in wanted.items() if not isinstance(first[key], Missed)}


def _in_time(looks: Looks[Key], look: Callable[[Any, float], Any], wanted: Any) -> Any:
    return look(wanted, looks.left())


def _certificate(wanted: certificates.Wanted, seconds: float) -> certificates.Seen:
    from . import certificates  # noqa: PLC0415 - here and below: most looks name neither certificates nor sockets

    return certificates.look(wanted, seconds)


def _listeners(protocols: Sequence[str]) -> Sequence[Listener]:
    from ..connect.sockets import listeners  # noqa: PLC0415

    return listeners(protocols)


def _socket(wanted: sockets.Wanted, *seen: Any) -> sockets.Seen:
    from . import sockets  # noqa: PLC0415

    return sockets.look(wanted, *seen)


def _services(names: Sequence[str], manager: Optional[str]) -> Union[List[Service], Missed]:
    try:
        return services(names, manager)
    except ServiceError as exc:
        return Missed(str(exc))


def process_table(patterns: Sequence[procfs.Pattern], with_open_files: bool) -> Table:
    """One pass over /proc; what costs more is asked only of processes that are looked for. This module's own is no part of the node."""
    own = os.getpid()
    running = {}
    for each in procfs.processes():
        if each.pid != own:
            inside = any(pattern.describes(each) for pattern in patterns) and procfs.contained(each)
            running[each.pid] = processes.Running(each, procfs.age(each), inside)
    opened = procfs.open_files(running) if with_open_files else procfs.OpenFiles()
    return Table(running, opened, procfs.hides_others())


class _Seen:
    """Puts together what the looks of one observation saw."""

    def __init__(self, expected: Expected, first: Mapping[Key, Any], again: Mapping[Key, Any], apart: float) -> None:
        self.expected = expected
        self.first = first
        self.again = again
        self.apart = apart
        self.now = time.time()
        table: Union[Table, Missed] = first.get(("processes", ALL), Table())
        self.table = Table() if isinstance(table, Missed) else table
        self.no_table = table if isinstance(table, Missed) else None

    def state(self, looks: Looks[Key]) -> NodeState:
        expected, first, table = self.expected, self.first, self.table
        services_first = first.get(("units", ALL), ())
        services_last = self.again.get(("units", ALL), services_first)
        listening: Union[Sequence[Listener], Missed] = first.get(("sockets", ALL), ())
        seen = first["node", ALL]
        return NodeState(
            [processes.look(each, self.no_table or list(table.running.values()), table.hidden) for each in expected.processes],
            [units.look(each, services_first, services_last, self.now) for each in expected.units],
            [_socket(each, listening, self.no_table or table.open_files, table.running) for each in expected.sockets],
            [self._path(number, each) for number, each in enumerate(expected.paths)],
            [logs.compare(first["logs", number], self.again.get(("logs", number))) for number in range(len(expected.logs))],
            self._numbered("http"),
            self._numbered("tcp"),
            self._numbered("certificates"),
            vitals.Vitals() if isinstance(seen, Missed) else seen,
            self._evidence(looks),
        )

    def _numbered(self, option: str) -> List[Any]:
        return [self.first[option, number] for number in range(len(getattr(self.expected, option)))]

    def _path(self, number: int, wanted: paths.Wanted) -> paths.Seen:
        at = self.first["paths", number]
        seen = paths.Seen(
            at,
            self.now,
            self.first.get(("readable", number)),
            self.first.get(("newest", number)),
            self.first.get(("total", number)),
        )
        system = seen.file_system
        if system is None:
            return seen
        if wanted.needs_open_files:
            deleted = self.no_table or [each for each in self.table.open_files.deleted if each.device == system.device]
            seen = seen._replace(deleted=deleted, unseen=len(self.table.open_files.unseen), running=self.table.running)
        later = self.again.get(("paths", number))
        if isinstance(later, disk.FileSystem) and later.device == system.device and self.apart:
            seen = seen._replace(growth=(later.used - system.used) / self.apart)
        return seen

    def _evidence(self, looks: Looks[Key]) -> Dict[str, Any]:
        taken: Dict[str, float] = {}
        for (option, _number), seconds in looks.taken.items():
            taken[option] = round(max(seconds, taken.get(option, 0.0)), 4)
        unseen = self.table.open_files.unseen
        not_seen = ["processes of other users (hidepid)"] if self.table.hidden else []
        if unseen:
            not_seen.append("what %s of others have open" % number_of(len(unseen), "process", "processes"))
        return {"user": _own_name(), "processes": len(self.table.running), "not_seen": not_seen, "seconds": taken, "watched": round(self.apart, 3)}


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())

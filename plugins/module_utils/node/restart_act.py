# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at services, stopping and starting them, and waiting until that is really so."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

from ..connect.procfs import Process, contained, processes, read_process
from ..connect.service import Manager, Service, ServiceError
from ..connect.services import manager_of
from ..connect.signals import ancestors, is_alive, send, unit_of
from ..connect.systemd import group_pids, short_name
from .restart import RestartState, Seen, settle_time, stop_limit, told
from .restart_options import Spec
from .restart_probe import ask

_DEPENDENTS = (".service", ".socket", ".timer", ".path", ".mount", ".automount")
"""Kinds of units that can be started again by themselves. A target would start all that belongs to it."""

_GRACE = 1.0
"""Seconds until a manager has taken up what it was asked for."""

_KILL_TIMEOUT = 10.0
_ENDS_ACCEPTED = 1
"""A service that has ended more often than this while it was waited for will not come up."""


class Trouble(Exception):
    """One service that could not be stopped, or did not come up."""


@dataclass(frozen=True)
class Up:
    """A service that came up, and when; the clock is the monotonic one."""

    seen: Seen
    service: Service
    at: float


def life(service: Service) -> Tuple[Any, ...]:
    """What differs when a service was started again."""
    return (service.run or service.main_pid, service.restarts)


class Steward:
    """Acts on the services of one node through the managers that look after them."""

    def __init__(self, manager: Manager, force_kill: bool, sleep: Callable[[float], None] = time.sleep) -> None:
        self.manager = manager
        self.force_kill = force_kill
        self.sleep = sleep
        self._managers: Dict[str, Manager] = {manager.name: manager}
        self._own = ancestors(os.getpid())

    # -- looking ---------------------------------------------------------------------------------------------------

    def look(self, specs: Sequence[Spec], dependents: bool, probing: bool, defaults: Spec) -> RestartState:
        """All services, with what their stop would take along."""
        named = self.manager.read([spec.name for spec in specs])
        seen = [self._with_processes(Seen(spec, service)) for spec, service in zip(specs, named)]
        targets: Dict[str, str] = {}
        if dependents:
            seen += self._dependents(seen, targets, defaults)
        if probing:
            seen = [self.probed(each) for each in seen]
        return RestartState(tuple(seen), targets=targets)

    def _dependents(self, roots: Sequence[Seen], targets: Dict[str, str], defaults: Spec) -> List[Seen]:
        """Units that are up and go down with a root, however far away, each after what it depends on."""
        found: List[Seen] = []
        whole: Set[str] = set()
        known = {seen.id for seen in roots}
        causes = [seen for seen in roots if seen.service.on]
        while causes:
            asked = {unit: cause.id for cause in reversed(causes) for unit in cause.service.stops if unit not in known}
            known.update(asked)
            read = [service for service in self.manager.read(list(asked)) if service.known and service.on]
            whole.update(service.id for service in read if not service.id.endswith(_DEPENDENTS))
            specs = {service.id: replace(defaults, name=short_name(service.id)) for service in read}
            causes = [Seen(specs[service.id], service, because_of=asked[service.asked]) for service in read if service.id.endswith(_DEPENDENTS)]
            causes = [self._with_processes(seen) for seen in causes]
            found += causes
        # By each of its causes: which of them are stopped is for the plan to say.
        targets.update({cause.id: unit for cause in [*roots, *found] for unit in cause.service.stops if unit in whole})
        return found

    def _with_processes(self, seen: Seen) -> Seen:
        of_unit = [process for process in map(read_process, _to_end(seen, seen.service.pids)) if process is not None]
        matched = self._matched(seen.spec, seen.service.pids)
        running = {process.pid: process for process in of_unit + [process for processes_ in matched for process in processes_]}
        missing = [_described(pattern) for pattern, found in zip(seen.spec.processes, matched) if not found]
        return replace(seen, running=tuple(running.values()), missing=tuple(missing), own=os.getpid() in seen.service.pids)

    def _matched(self, spec: Spec, of_unit: Sequence[int]) -> List[List[Process]]:
        """For each pattern the processes that it matches, never this one nor what has started it.

        A container's are its own: what looks the same in one is another service, unless the unit itself runs it.
        """
        if not spec.processes:
            return []
        others = [process for process in processes() if process.pid not in self._own]
        matched = [[process for process in others if pattern.matches(process)] for pattern in spec.processes]
        return [[process for process in found if process.pid in of_unit or not contained(process)] for found in matched]

    def probed(self, seen: Seen, limit: float = 60.0) -> Seen:
        if not seen.service.on or seen.service.restarting:
            return seen
        return replace(seen, probe=ask(seen.spec.probe, limit))

    def watch(self, state: RestartState) -> RestartState:
        """Those that came up a moment ago are watched for as long as they must stay up. One look at them proves nothing."""
        now = time.time()
        young = {seen.id: settle_time(seen.spec, seen.service) - (now - seen.service.since) for seen in state.seen if seen.service.since and seen.service.on}
        young = {id_: seconds for id_, seconds in young.items() if seconds > 0}
        lives = {seen.id: life(seen.service) for seen in state.seen}
        flapped = set()
        for service in self._poll(list(young), time.monotonic() + max(young.values(), default=0.0)):
            if service.restarting or life(service) != lives[service.id]:
                flapped.add(service.id)
        return replace(state, seen=tuple(replace(seen, flapped=seen.id in flapped) for seen in state.seen))

    def _poll(self, ids: Sequence[str], until: float) -> Iterator[Service]:
        """The same services again and again, at ever longer intervals, until the time is up."""
        pause = 0.1
        while ids and time.monotonic() < until:
            yield from self.manager.read(list(ids))
            self.sleep(max(0.0, min(pause, until - time.monotonic())))
            pause = min(pause * 1.5, 1.0)

    # -- stopping --------------------------------------------------------------------------------------------------

    def stop(self, seen: Seen) -> Tuple[str, str]:
        """Until nothing of it is left. How it went, and what had to be killed."""
        started = time.monotonic()
        limit = stop_limit(seen.spec, seen.service)
        failure = self.ask("stop", seen, limit) if seen.service.on or seen.service.active == "unknown" else ""
        service, left = self._wait_down(seen, started + limit, failure)
        killed = ""
        if left or service.on:
            if not self.force_kill:
                raise Trouble(self._not_stopped(seen, service, left, time.monotonic() - started, failure))
            killed = self._kill(seen, left)
            service, left = self._wait_down(seen, time.monotonic() + _KILL_TIMEOUT, "")
            if left or service.on:
                raise Trouble(self._not_stopped(seen, service, left, time.monotonic() - started, "although killed: %s" % (killed or "none")))
        elif service.result == "timeout":
            killed = "its processes, because they had not ended in time"
        note = "stopped after %.1f s" % (time.monotonic() - started)
        return note + ("; killed: %s" % killed if killed else ""), killed

    def _wait_down(self, seen: Seen, deadline: float, failure: str) -> Tuple[Service, List[Process]]:
        """Until it is down and nothing of it is left, or the time is up, or waiting makes no sense."""
        pause, asked = 0.05, False
        while True:
            service = self.read(seen)
            down = not service.on and not service.pending and (service.active != "unknown" or not seen.spec.processes)
            left = self._left(seen)
            if (down and not left) or time.monotonic() >= deadline or (failure and service.manager != "sysv"):
                return service, left
            if down and self.force_kill and not asked:  # nobody has asked these yet: they are none of the unit's
                asked = True
                for process in left:
                    if not self._foreign(seen, process):
                        send(process, signal.SIGTERM)
            self.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(pause * 1.5, 0.5)

    def _left(self, seen: Seen) -> List[Process]:
        """Processes that should be gone: those that ran before, what is in the control group, and what the patterns match."""
        found = {process.pid: process for process in seen.running if is_alive(process)}
        of_unit = group_pids(seen.service.group)
        for pid in _to_end(seen, of_unit):
            process = read_process(pid)
            if process is not None:
                found[pid] = process
        for matched in self._matched(seen.spec, of_unit):
            found.update({process.pid: process for process in matched})
        return list(found.values())

    def _kill(self, seen: Seen, left: Sequence[Process]) -> str:
        """Kill exactly these, one by one; who was killed. What is another unit's is left to it."""
        return told([process for process in left if not self._foreign(seen, process) and send(process, signal.SIGKILL)]).rpartition(" ")[0]

    def _foreign(self, seen: Seen, process: Process) -> str:
        """The unit that a process belongs to, if it is not this one."""
        unit = unit_of(process.pid)
        return unit if unit not in ("", seen.id, unit_of(os.getpid())) else ""

    def _not_stopped(self, seen: Seen, service: Service, left: Sequence[Process], seconds: float, failure: str) -> str:
        foreign = sorted({unit for unit in (self._foreign(seen, process) for process in left) if unit})
        text = "%s did not stop within %.0f s" % (seen.id, seconds)
        if failure:
            text = "%s could not be stopped: %s" % (seen.id, failure)
        what = told(left) if left else "it is %s (%s)" % (service.active, service.sub)
        if foreign:
            return "%s: %s, of which some belong to %s: name that as well, or make the patterns in processes narrower" % (text, what, ", ".join(foreign))
        allow = "" if self.force_kill else ". force_kill: true would kill %s; a longer stop_timeout would wait longer" % ("them" if len(left) > 1 else "it")
        return "%s: %s%s" % (text, what, allow)

    # -- starting --------------------------------------------------------------------------------------------------

    def start(self, seen: Seen) -> Up:
        """Until it is up and answers."""
        deadline = time.monotonic() + seen.spec.start_timeout
        if self.read(seen).active == "failed":  # it may have failed so often that it would not be started any more
            self._of(seen.service).forgive(seen.id)
        asked = time.monotonic()
        failure = self.ask("start", seen, max(seen.spec.start_timeout, _GRACE))
        if failure:
            raise Trouble("%s could not be started: %s" % (seen.id, failure))
        lives: set[Tuple[Any, ...]] = set()
        restarts: set[Any] = set()
        pause = 0.05
        while True:
            now = self._with_processes(replace(seen, service=self.read(seen), missing=(), running=()))
            why = self._not_up(now, deadline)
            if not why:
                return Up(seen, now.service, time.monotonic())
            if now.service.active in ("active", "reloading"):
                lives.add(life(now.service))
            restarts.add(now.service.restarts)
            self._give_up(now, max(len(lives), len(restarts)) - 1, time.monotonic() - asked)
            if time.monotonic() >= deadline:
                raise Trouble("%s did not come up within %g s: it %s" % (seen.id, seen.spec.start_timeout, why))
            self.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(pause * 1.5, 1.0)

    def _not_up(self, now: Seen, deadline: float) -> str:
        service = now.service
        if service.restarting or service.active not in ("active", "reloading", "unknown"):
            return "is %s (%s)" % (service.active, service.sub)
        if now.missing:
            return "has no process that is %s" % ", nor ".join(now.missing)
        answer = ask(now.spec.probe, max(0.1, deadline - time.monotonic()))
        return "does not answer: %s" % answer if answer else ""

    @staticmethod
    def _give_up(now: Seen, ends: int, seconds: float) -> None:
        service = now.service
        if ends > _ENDS_ACCEPTED:
            raise Trouble("%s flaps: it has ended %d times since it was started%s" % (now.id, ends, _how(service)))
        if service.active in ("inactive", "failed") and not service.pending and seconds > _GRACE:
            raise Trouble("%s did not come up: it is %s%s" % (now.id, service.active, _how(service)))

    def settle(self, ups: Sequence[Up]) -> Dict[str, str]:
        """Watch those that came up until each has stayed up for long enough; by id, why one has not."""
        until = {up.seen.id: up.at + settle_time(up.seen.spec, up.service) for up in ups}
        lives = {up.seen.id: life(up.service) for up in ups}
        bad: Dict[str, str] = {}
        for service in self._poll(list(until), max(until.values(), default=0.0)):
            if service.id not in bad and (service.restarting or not service.on or life(service) != lives[service.id]):
                bad[service.id] = "%s does not stay up: it came up, and is now %s (%s)%s" % (service.id, service.active, service.sub, _how(service))
            if len(bad) == len(until):
                break
        for up in ups:
            answer = ask(up.seen.spec.probe, 60.0) if up.seen.id not in bad else ""
            if answer:
                bad[up.seen.id] = "%s answered after its start, and does so no more: %s" % (up.seen.id, answer)
        return bad

    # -- both ------------------------------------------------------------------------------------------------------

    def read(self, seen: Seen) -> Service:
        """The service as it is now."""
        return self._of(seen.service).read([seen.id])[0]

    def word(self, seen: Seen) -> str:
        """Whether it is up, down, or down with processes left, now."""
        return self._with_processes(replace(seen, service=self.read(seen), running=(), missing=())).word

    def _of(self, service: Service) -> Manager:
        """On a node with upstart a service may be an init script."""
        if service.manager not in self._managers:
            self._managers[service.manager] = manager_of(service.manager)
        return self._managers[service.manager]

    def ask(self, verb: str, seen: Seen, timeout: float) -> str:
        """Ask the manager; why it refused, if it did."""
        manager = self._of(seen.service)
        try:
            (manager.stop if verb == "stop" else manager.start)(seen.id, timeout)
        except ServiceError as exc:
            return str(exc)
        return ""


def _how(service: Service) -> str:
    parts = ["result %s" % service.result] if service.result else []
    parts += ["exit code %d" % service.exit_code] if service.exit_code is not None else []
    return "; %s" % ", ".join(parts) if parts else ""


def _to_end(seen: Seen, pids: Sequence[int]) -> List[int]:
    """Of the processes of a unit those that a stop must end."""
    spared = seen.spec.spare_children and seen.service.spares
    return [pid for pid in pids if not spared or pid == seen.service.main_pid]


def _described(pattern: Any) -> str:
    """A pattern for a person."""
    words = [pattern.program] if pattern.program else []
    words += list(pattern.args) + (["/%s/" % pattern.title] if pattern.title else [])
    return " ".join(words) + (" of %s" % pattern.owner if pattern.owner else "")

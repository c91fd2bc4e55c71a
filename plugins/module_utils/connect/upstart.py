# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstart, through initctl; what is no job of its own there may still be a script of /etc/init.d."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence

from .procfs import read_process, started_at
from .service import Manager, Service, ServiceError, call, family, is_pattern, last_line, matching, program
from .sysv import SysV

_LINE = re.compile(r"^(?P<name>\S+)(?: \((?P<instance>.*)\))? (?P<goal>start|stop)/(?P<state>[a-z-]+)(?:, process (?P<pid>\d+))?$")
_STARTING = ("waiting", "starting", "security", "tmpfiles", "pre-start", "spawned", "post-start")


class Upstart(Manager):
    """Jobs of the system's init."""

    name = "upstart"

    def __init__(self) -> None:
        found = program("initctl")
        if found is None:
            raise ServiceError("initctl is not installed on this node")
        self._initctl: str = found
        self._scripts = SysV()

    def read(self, names: Sequence[str]) -> List[Service]:
        code, output, errors = call([self._initctl, "list"])
        if code != 0:
            raise ServiceError("initctl cannot list its jobs: %s" % last_line(output, errors))
        jobs = jobs_of(output)
        services: List[Service] = []
        for name in names:
            found = matching(name, list(jobs)) if is_pattern(name) else [name] * (name in jobs)
            services += [jobs[job]._replace(asked=name) for job in found] or self._scripts.read([name])
        return services

    def start(self, name: str, timeout: float) -> None:
        self._ask("start", name, timeout)

    def stop(self, name: str, timeout: float) -> None:
        self._ask("stop", name, timeout)

    def _ask(self, verb: str, name: str, timeout: float) -> None:
        code, output, errors = call([self._initctl, verb, "--no-wait", name], timeout)
        if code != 0:
            raise ServiceError("initctl %s %s failed: %s" % (verb, name, last_line(output, errors)))


def jobs_of(text: str) -> Dict[str, Service]:
    """Jobs by name from what ``initctl list`` prints. Of several instances of a job, each goes by ``job (instance)``."""
    jobs: Dict[str, Service] = {}
    for line in text.splitlines():
        parsed = _LINE.match(line)
        if parsed:
            name = "%s (%s)" % (parsed["name"], parsed["instance"]) if parsed["instance"] else parsed["name"]
            jobs[name] = _job(name, parsed["goal"], parsed["state"], int(parsed["pid"]) if parsed["pid"] else None)
    return jobs


def _job(name: str, goal: str, state: str, pid: Optional[int]) -> Service:
    process = read_process(pid) if pid else None
    return Service(
        name=name,
        manager="upstart",
        known=True,
        active=_active(goal, state),
        sub=state,
        main_pid=pid,
        pids=family(pid) if pid else (),
        since=started_at(process) if process else None,
        asked=name,
        id=name,
        load="loaded",
        run="%d-%d" % (process.pid, process.start) if process else "",
    )


def _active(goal: str, state: str) -> str:
    if state == "running":
        return "active" if goal == "start" else "deactivating"
    if goal == "start":
        return "activating" if state in _STARTING else "deactivating"
    return "inactive" if state == "waiting" else "deactivating"

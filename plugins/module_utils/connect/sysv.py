# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Init scripts of System V, called as ``service`` calls them: in the root directory, with next to no environment."""

from __future__ import annotations

import os
import re
from typing import Dict, List, Optional, Sequence, Tuple

from .command import PATH, CommandError, run
from .procfs import Process, read_process, started_at
from .service import READ_TIMEOUT, Manager, Service, ServiceError, family, is_pattern, matching

INIT_D = "/etc/init.d"
RUN_DIRS = ("/run", "/var/run")
_ENVIRONMENT: Dict[str, str] = {"PATH": PATH, "LC_ALL": "C", "TERM": "dumb"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,254}")
_PID_FILE = re.compile(r"^#\s*pidfile:\s*(/\S+)\s*$", re.MULTILINE)
_USAGE = re.compile(r"usage\s*:", re.IGNORECASE)
_STATES = {0: "active", 1: "failed", 2: "failed", 3: "inactive"}
"""By the exit code of ``status``, as the Linux Standard Base has it: 1 and 2 are dead with a pid file or a lock left behind."""


class SysV(Manager):
    """Scripts of /etc/init.d. They alone know whether their service runs, so each is asked."""

    name = "sysv"

    def read(self, names: Sequence[str]) -> List[Service]:
        services: List[Service] = []
        for name in names:
            found = matching(name, _scripts()) if is_pattern(name) else [name]
            services += [_read(script, name) for script in found] or [_unknown(name, name)]
        return services

    def start(self, name: str, timeout: float) -> None:
        self._ask("start", name, timeout)

    def stop(self, name: str, timeout: float) -> None:
        self._ask("stop", name, timeout)

    @staticmethod
    def _ask(verb: str, name: str, timeout: float) -> None:
        code, lines = _script(name, verb, timeout)
        if code != 0:
            how = "did not end within %g s" % timeout if code is None else "failed with exit code %d" % code
            raise ServiceError("%s %s %s: %s" % (_path(name), verb, how, lines[-1] if lines else "nothing was said"))


def _path(name: str) -> str:
    return os.path.join(INIT_D, name)


def _scripts() -> List[str]:
    try:
        return [name for name in os.listdir(INIT_D) if _NAME.fullmatch(name) and os.access(_path(name), os.X_OK)]
    except OSError:
        return []


def _unknown(name: str, asked: str) -> Service:
    return Service(name, "sysv", False, asked=asked, id=name, load="not-found")


def _read(name: str, asked: str) -> Service:
    if not _NAME.fullmatch(name) or not os.path.isfile(_path(name)) or not os.access(_path(name), os.X_OK):
        return _unknown(name, asked)
    code, lines = _script(name, "status", READ_TIMEOUT)
    active = "unknown" if code is None or any(_USAGE.search(line) for line in lines) else _STATES.get(code, "unknown")
    main = _main_process(name) if active in ("active", "unknown") else None
    return Service(
        name=name,
        manager="sysv",
        known=True,
        active=active,
        sub=lines[-1][:100] if lines else "",
        enabled=_enabled(name),
        main_pid=main.pid if main else None,
        pids=family(main.pid) if main else (),
        since=started_at(main) if main else None,
        asked=asked,
        id=name,
        load="loaded",
        run="%d-%d" % (main.pid, main.start) if main else "",
    )


def _script(name: str, verb: str, timeout: float) -> Tuple[Optional[int], List[str]]:
    """Exit code, ``None`` when its time was up, and what was said."""
    try:
        ended = run([_path(name), verb], _ENVIRONMENT, timeout, lambda: None)
    except CommandError as exc:
        raise ServiceError(str(exc)) from exc
    return ended.code, [line.strip() for line in ended.last_lines(20)]


def _main_process(name: str) -> Optional[Process]:
    """By the pid file that the script names in its head, or the usual one."""
    try:
        with open(_path(name), encoding="utf-8", errors="replace") as file:
            named = _PID_FILE.findall(file.read(8192))
    except OSError:
        named = []
    for path in named + ["%s/%s.pid" % (directory, name) for directory in RUN_DIRS]:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                words = file.read(32).split()
        except OSError:
            continue
        process = read_process(int(words[0])) if words and words[0].isdigit() else None
        if process is not None:
            return process
    return None


def _enabled(name: str) -> Optional[bool]:
    """Whether a runlevel starts it."""
    link = re.compile(r"S\d\d%s" % re.escape(name))
    levels = [directory for directory in ("/etc/rc%d.d" % level for level in range(2, 6)) if os.path.isdir(directory)]
    if not levels:
        return None
    return any(link.fullmatch(entry) for directory in levels for entry in os.listdir(directory))

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service is, whichever manager looks after it, and what every manager can do."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .command import PATH

RUNNING = ("active", "reloading", "activating", "deactivating")
READ_TIMEOUT = 30.0


class ServiceError(Exception):
    """A manager that cannot be asked, or that refused what it was asked for."""


class Service(NamedTuple):
    """One service as its manager sees it now. What a manager does not tell is ``None`` or empty."""

    name: str
    """As it was asked for; where a pattern was, the name that it found."""

    manager: str
    """systemd, upstart or sysv."""

    known: bool
    active: str = "unknown"
    """active, inactive, failed, activating, deactivating, reloading, unknown."""

    sub: str = ""
    """The manager's own word: running, auto-restart, exited, dead ..."""

    enabled: Optional[bool] = None
    main_pid: Optional[int] = None
    pids: Tuple[int, ...] = ()
    spares: bool = False
    """Whether a stop ends the main process only, and leaves the others on purpose: libvirtd's machines and name servers go on without it."""

    result: str = ""
    """How it last ended: success, exit-code, signal, timeout (it did not stop in time and was killed) ..."""

    exit_code: Optional[int] = None
    restarts: Optional[int] = None
    """How often the manager has started it again by itself."""

    since: Optional[float] = None
    """Seconds since the epoch: when ``active`` last changed."""

    type: str = ""
    triggered: Tuple[str, ...] = ()
    """Units that start it when it is needed: sockets, timers, paths."""

    asked: str = ""
    """The name or pattern of the question that this answers."""

    id: str = ""
    """Its one full name: aliases of a unit share it."""

    load: str = ""
    """loaded, not-found, masked, template, error, bad-setting."""

    restart: str = ""
    restart_delay: Optional[float] = None
    """Seconds from an end to the next start, where the manager starts it again."""

    stop_timeout: Optional[float] = None
    """Seconds that the manager waits before it kills; infinite where it never does."""

    stops: Tuple[str, ...] = ()
    """Units that go down when this one is stopped."""

    group: str = ""
    """Its control group."""

    run: str = ""
    """Names one life of it: another value after every start."""

    pending: bool = False
    """A start or stop is queued, or under way."""

    remains: bool = False
    """Counts as active when its processes have ended."""

    manual: bool = True
    """May be started and stopped by hand."""

    reload_needed: bool = False
    """Its file has changed since the manager read it."""

    @property
    def on(self) -> bool:
        """The manager keeps it up, or tries to; a service that flaps is on as well."""
        return self.active in RUNNING

    @property
    def restarting(self) -> bool:
        """It has ended and waits to be started again."""
        return self.sub.startswith("auto-restart")


class Manager(ABC):
    """Reads and steers services. ``start`` and ``stop`` ask; whether it came true is for the caller to see."""

    name: str

    @abstractmethod
    def read(self, names: Sequence[str]) -> List[Service]:
        """Services by name or pattern, in the order in which they were asked for."""

    @abstractmethod
    def start(self, name: str, timeout: float) -> None:
        """Ask for a start. A manager that cannot be asked without waiting takes at most ``timeout`` seconds."""

    @abstractmethod
    def stop(self, name: str, timeout: float) -> None:
        """Ask for a stop, likewise."""

    def forgive(self, name: str) -> None:  # noqa: B027 - not every manager counts
        """Forget how often it has failed, where a manager starts it no more for that."""


def program(name: str) -> Optional[str]:
    """Full path of a program, also where PATH lacks the system's directories."""
    return shutil.which(name) or shutil.which(name, path=PATH)


def call(argv: Sequence[str], timeout: float = READ_TIMEOUT) -> Tuple[int, str, str]:
    """Exit code, output and errors of a program, in plain English whatever the locale is."""
    plain = dict(os.environ, LC_ALL="C", SYSTEMD_COLORS="0", SYSTEMD_PAGER="")
    try:
        ended = subprocess.run(argv, env=plain, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceError("%s did not answer within %g s" % (" ".join(argv[:2]), timeout)) from None
    except OSError as exc:
        raise ServiceError("cannot run %s: %s" % (argv[0], exc.strerror)) from exc
    return ended.returncode, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace")


def last_line(*texts: str) -> str:
    """What a program said last."""
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"


def family(pid: int) -> Tuple[int, ...]:
    """A process and its descendants that can still be told as such: one whose parent has ended belongs to nobody."""
    children: Dict[int, List[int]] = defaultdict(list)
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/%d/stat" % int(name), "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            children[int(fields[1])].append(int(name))
    found = [pid] if os.path.exists("/proc/%d" % pid) else []
    for member in found:  # grows as it is read
        found += children[member]
    return tuple(found)


def is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def matching(pattern: str, names: Sequence[str]) -> List[str]:
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))

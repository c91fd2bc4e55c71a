# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of job-runner: what each variable is, which file says so, and which values are nobody's business."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from .envfile import Trouble, parse

HIDDEN = "********"
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTHORI[SZ]ATION|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|DATABASE_URL$"
    r"|_HEADERS$|LICENSE$|(^|_)(PASS|PWD|KEY|DSN|HASH)$"
)
_SECRET_VALUE = re.compile(
    r"://[^/\s@]+@"  # user and password, or a token, in a URL
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|-----BEGIN "
    r"|\b(?:Bearer|Basic)\s+\S{8,}"
    r"|\b(?:Authorization|password|passwd|pwd|token|secret|api[_-]?key|x-honeycomb-team)\s*=",
    re.IGNORECASE,
)
FATAL = ("missing", "unreadable", "not_utf8", "nul")
"""Problems with which the service does not start, or of which nobody here can say whether it would."""


@dataclass(frozen=True)
class Entry:
    """One assignment that systemd takes."""

    name: str
    value: str = field(repr=False)
    path: str
    line: int
    shadowed: bool = False
    """A later assignment of the same name wins."""

    @property
    def secret(self) -> bool:
        """Also whatever lies in the file for secrets, as far as it is set."""
        return is_secret(self.name, self.value) or "secret" in os.path.basename(self.path)

    @property
    def shown(self) -> str:
        return redacted(self.value) if self.secret else self.value


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, or with a line of it. Never holds a value."""

    path: str
    line: int
    code: str
    text: str

    @property
    def fatal(self) -> bool:
        return self.code in FATAL


@dataclass(frozen=True)
class Facts:
    """A file as it lies there. ``mode`` is None where there is none."""

    path: str
    mode: Optional[int] = None
    user: str = ""
    group: str = ""
    data: Optional[bytes] = field(default=None, repr=False)


@dataclass(frozen=True)
class Config:
    """All files together, the last one winning."""

    entries: Tuple[Entry, ...] = ()
    problems: Tuple[Problem, ...] = ()
    files: Tuple[Facts, ...] = ()

    def entry(self, name: str) -> Optional[Entry]:
        """The assignment that counts."""
        return self.effective().get(name)

    def get(self, name: str) -> Optional[str]:
        found = self.entry(name)
        return found.value if found else None

    def origin(self, name: str) -> Optional[str]:
        """Path of the file that wins."""
        found = self.entry(name)
        return found.path if found else None

    def effective(self) -> Dict[str, Entry]:
        return {entry.name: entry for entry in self.entries}

    def environment(self) -> Dict[str, str]:
        """What the service gets from the files. It holds secrets: for a child process, and for nothing else."""
        return {entry.name: entry.value for entry in self.entries}

    def secrets(self) -> List[str]:
        """Values that nothing may show."""
        return sorted({entry.value for entry in self.entries if entry.secret and entry.value})


def is_secret(name: str, value: Optional[str] = None) -> bool:
    """By its name or by what it looks like. Names of paths are no secrets, though their names speak of keys."""
    if value and _SECRET_VALUE.search(value):
        return True
    return bool(_SECRET_NAME.search(name.upper())) and not name.upper().endswith(("_PATH", "_FILE", "_REPO", "_DIR"))


def redacted(value: Optional[str]) -> str:
    """In place of a secret; it shows only whether there is one."""
    return HIDDEN if value else ""


def read_config(paths: Sequence[str]) -> Config:
    """Read the files in the order in which systemd does. A file that is not there is a problem of the configuration, not an error."""
    return config_of([read_facts(path) for path in paths])


def config_of(files: Sequence[Facts]) -> Config:
    """What files that were read come to. Pure."""
    entries: List[Entry] = []
    problems: List[Problem] = []
    for facts in files:
        if facts.data is None:
            problems.append(_absent(facts))
            continue
        parsed = parse(facts.data)
        problems += [_problem(facts.path, trouble) for trouble in parsed.troubles]
        entries += [Entry(each.name, each.value, facts.path, each.line) for each in parsed.assignments if each.accepted]
    last = {entry.name: position for position, entry in enumerate(entries)}
    marked = [Entry(each.name, each.value, each.path, each.line, last[each.name] != position) for position, each in enumerate(entries)]
    return Config(tuple(marked), tuple(problems), tuple(files))


def read_facts(path: str) -> Facts:
    """One file, with who may read it. What cannot be read has no data."""
    data: Optional[bytes] = None
    try:
        with open(path, "rb") as file:
            info, data = os.fstat(file.fileno()), file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Facts(path)
    except OSError:
        try:
            info = os.stat(path)
        except OSError:
            return Facts(path, 0)
    return Facts(path, stat.S_IMODE(info.st_mode), user_name(info.st_uid), _group(info.st_gid), data)


def _absent(facts: Facts) -> Problem:
    if facts.mode is None:
        return Problem(facts.path, 0, "missing", "there is no %s: the unit names it, and does not start without it" % facts.path)
    return Problem(facts.path, 0, "unreadable", "%s cannot be read by this user, so what it sets is unknown" % facts.path)


def _problem(path: str, trouble: Trouble) -> Problem:
    return Problem(path, trouble.line, trouble.code, "%s line %d: %s" % (path, trouble.line, trouble.text))


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

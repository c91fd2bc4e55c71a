# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause of all fixes: a file named ``pause``, or an option. The file is for people: ``echo 'storage moves, ask the storage team' > pause`` is one.

A line ``until: 2026-02-01T06:00:00Z`` ends it by itself, one ``who:`` names whom to ask; all other lines are the reason. Whatever else
lies under that name is a pause as well: nothing is changed where somebody wanted nothing changed.
"""

from __future__ import annotations

import datetime
import os
import stat
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from .directory import open_regular
from .errors import RunbookError
from .lock_shared import user_name
from .windows import utc

NAME = "pause"
MOST = 65536
_NO = ("", "false", "no", "off", "0")


class Pause(NamedTuple):
    """Who paused the fixes, since when, and why."""

    path: str
    """Empty where an option said so."""
    reason: str
    who: str
    since: Optional[float]
    until: Optional[float]

    def describe(self) -> str:
        told = "all fixes are paused: %s" % (self.reason or "no reason is given")
        told += " (by %s" % self.who if self.who else " (by whom is not known"
        told += ", since %s" % utc(self.since) if self.since is not None else ""
        told += ", until %s" % utc(self.until) if self.until is not None else ""
        return told + (", %s)" % self.path if self.path else ", by the option paused)")

    def to_dict(self) -> Dict[str, Optional[str]]:
        since, until = (None if moment is None else utc(moment) for moment in (self.since, self.until))
        return {"path": self.path or None, "reason": self.reason, "who": self.who, "since": since, "until": until}


def pauses(directories: Sequence[str], option: Optional[str], who: str = "", now: Optional[float] = None) -> List[Pause]:
    """All that hold now. The option comes from whoever runs this fix."""
    moment = time.time() if now is None else now
    found = [Pause("", str(option), who, None, None)] if (option or "").strip().lower() not in _NO else []
    for directory in dict.fromkeys(directories):
        pause = read_pause(os.path.join(directory, NAME))
        if pause is not None and (pause.until is None or moment < pause.until):
            found.append(pause)
    return found


def read_pause(path: str) -> Optional[Pause]:
    """Nothing where there is no such file; a pause for anything that is there."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        return Pause(path, "whether there is a pause cannot be read: %s" % exc.strerror, "", None, None)
    owner = user_name(info.st_uid)
    try:
        text = read_text(path) or ""
    except OSError as exc:
        what = "is a link" if stat.S_ISLNK(info.st_mode) else "cannot be read: %s" % exc.strerror
        return Pause(path, "the file %s, so its reason is not known" % what, owner, info.st_mtime, None)
    return read_words(path, text, owner, info.st_mtime)


def read_text(path: str) -> Optional[str]:
    """The file as it is; nothing where there is none."""
    try:
        with open_regular(path) as file:
            return file.read(MOST).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def read_words(path: str, text: str, owner: str, since: float) -> Pause:
    reason, who, until = [], owner, None
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        word = key.strip().lower() if colon else ""
        if word == "who" and value.strip():
            who = value.strip() if value.strip() == owner else "%s as %s" % (value.strip(), owner)
        elif word == "until" and value.strip():
            try:
                until = moment_of(value.strip())
            except RunbookError:
                reason.append(line.strip())  # what cannot be read ends nothing
        elif line.strip():
            reason.append(line.strip())
    return Pause(path, " ".join(reason), who, since, until)


def words(reason: str, who: str, until: Optional[float]) -> str:
    """What such a file says."""
    lines = [" ".join(reason.split()), "who: %s" % " ".join(who.split())]
    return "\n".join(lines + (["until: %s" % utc(until)] if until is not None else [])) + "\n"


def moment_of(text: str) -> float:
    """Seconds since the epoch; UTC where no zone is named."""
    try:
        moment = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "zZ" else text)
    except ValueError:
        raise RunbookError("until: %r is not accepted; accepted is a date with a time, in UTC or with its offset, e.g. 2026-02-01T06:00:00Z" % text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()

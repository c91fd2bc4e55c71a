# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at one path: what is there, who can read it, what it holds."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from typing import List, Union

from ..connect import command, disk
from .expect import Missed
from .paths import Place, Wanted

_TRY = """
last=$1; shift
for each in "$@"; do test -x "$each" || { echo "may not enter $each"; exit 1; }; done
test -r "$last" || { echo "may not read $last"; exit 1; }
if test -d "$last" && ! test -x "$last"; then echo "may not enter $last"; exit 1; fi
"""


def look(wanted: Wanted) -> Place:
    """OSError where it cannot be told whether something is there."""
    try:
        status = os.stat(wanted.path)
    except (FileNotFoundError, NotADirectoryError):
        # A link to nothing is there, and is of no use.
        return Place(None)
    real = os.path.realpath(wanted.path)
    system = disk.file_system(wanted.path)
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else "other"
    places = [real, system.mount.mount_point] if kind == "directory" else [system.mount.mount_point]
    return Place(
        kind,
        _user(status.st_uid),
        _group(status.st_gid),
        stat.S_IMODE(status.st_mode),
        real,
        status.st_mtime,
        system,
        disk.snapshots(*places),
    )


def newest(wanted: Wanted, seconds: float) -> disk.Newest:
    if not wanted.listed:
        return disk.Newest(wanted.path, os.stat(wanted.path).st_mtime, 0, True)
    return disk.newest(wanted.path, wanted.newest_match or "*", wanted.depth, wanted.max_entries, min(seconds, wanted.max_seconds))


def total(wanted: Wanted, seconds: float) -> Union[disk.Sum, Missed]:
    if disk.file_system(wanted.path).mount.mount_point != os.path.realpath(wanted.path):
        return Missed("%s is no mount point" % wanted.path)
    return disk.add_up(wanted.path, wanted.max_entries, min(seconds, wanted.max_seconds))


def readable(wanted: Wanted, seconds: float) -> Union[str, Missed]:
    """Empty when the user can read it, else what is in the way. The kernel decides, so that access lists count."""
    user = str(wanted.readable_by)
    try:
        account = command.account(user)
        argv = [*command.switch(account), "/bin/sh", "-c", _TRY, "sh", wanted.path, *_parents(wanted.path)]
        ended = command.run(argv, command.environment(account, {}), seconds, lambda: None, interval=0.005)
    except command.CommandError as exc:
        return Missed("whether %s can read it cannot be told: %s" % (user, exc))
    if ended.code == 0:
        return ""
    said = ended.last_lines(1)
    if ended.code == 1 and said:
        return said[0]
    return Missed("whether %s can read it cannot be told: %s" % (user, said[0] if said else "the shell gave no answer"))


def _parents(path: str) -> List[str]:
    """Directories on the way, from the top down."""
    parents: List[str] = []
    path = os.path.dirname(os.path.normpath(path))
    while path != "/":
        parents.insert(0, path)
        path = os.path.dirname(path)
    return ["/", *parents]


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)

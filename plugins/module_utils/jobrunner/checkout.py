# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout of job-runner's code or of its dependencies: where it is, where it is to go, and what of it would be lost on the way."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Match, Optional, Set, Tuple

from ..connect.git import Borrowed, Git, GitError

SHOWN = 20
_LOCK_WAIT = 10.0
_REFLOG = re.compile(r"^([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [^\t]* (\d+) [+-]\d{4}(?:\tfieldops (\d+\.\d+)|\t|$)")
_MIGRATION = re.compile(r"^\s*migration\(\s*(\d+)\s*,", re.MULTILINE)
_VARIABLE = re.compile(r"environ(?:\.get\(|\[|\.setdefault\()\s*[\"']([A-Z][A-Z0-9_]*)[\"']")


@dataclass(frozen=True)
class Checkout:
    """One checkout as it is, beside what it is to be."""

    part: str
    """``code`` or ``lib``."""

    path: str
    owner: str
    ref: str
    url: str
    head: str
    target: str
    branch: Optional[str] = None
    incoming: int = 0
    outgoing: int = 0
    """Commits that HEAD has and the target has not: the deploy goes back, or aside."""

    commits: Tuple[str, ...] = ()
    left: Tuple[str, ...] = ()
    own: Tuple[str, ...] = ()
    """Commits that no remote and no tag has."""

    dirty: Tuple[str, ...] = ()
    """Tracked files with changes that the target does not have."""

    changed: Tuple[str, ...] = ()
    """All tracked files that are not as in HEAD."""

    in_the_way: Tuple[str, ...] = ()
    """Files that git does not know, where the target has another one."""

    stale_index: bool = False
    """Only looks changed, to whom does not compare contents."""

    locked: str = ""
    unwritable: str = ""
    """Where its owner cannot write."""

    away: Tuple[Tuple[str, str], ...] = ()
    """Other remotes, which did not answer, and what git said."""

    @property
    def there(self) -> bool:
        return self.head == self.target

    def to_dict(self) -> Dict[str, Any]:
        return {
            "part": self.part,
            "path": self.path,
            "owner": self.owner,
            "remote": self.url,
            "ref": self.ref,
            "branch": self.branch,
            "head": self.head,
            "target": self.target,
            "incoming": self.incoming,
            "outgoing": self.outgoing,
            "commits": list(self.commits),
            "dirty": list(self.dirty[:SHOWN]),
        }


@dataclass(frozen=True)
class Release:
    """What the code of a commit brings with it. ``version`` is the database's, None where the code has no migrations of the known kind."""

    version: Optional[int]
    variables: Tuple[str, ...] = ()


def look(git: Git, part: str, ref: str, known: Optional[str] = None) -> Tuple[Checkout, Release, Release]:
    """Compare with the remote as it is now, without changing anything; with what the present code and the wanted one bring.

    ``known`` is the commit that the ref has been found to be: the remote is not asked again, and may have moved on.
    """
    head = git.head()
    with git.fetched(known is None or git.commit(known) is None, ref) as remote:
        target = known or remote.commit(ref)
        if target is None:
            raise GitError(_unknown(git, remote, part, ref))
        checkout = Checkout(
            part=part,
            path=git.path,
            owner=git.owner.name,
            ref=ref,
            url=git.remote_url(),
            head=head,
            target=target,
            branch=git.branch(),
            away=tuple(sorted(remote.away.items())),
            incoming=remote.count(target, "^" + head),
            outgoing=remote.count(head, "^" + target),
            commits=tuple(remote.log([target, "^" + head], SHOWN)),
            left=tuple(remote.log([head, "^" + target], SHOWN)),
            own=tuple(remote.log([head, "--not", "--remotes", "--tags"], SHOWN)),
            **_local(git, remote, head, target),
        )
        return checkout, release(remote, head), release(remote, target)


def _unknown(git: Git, remote: Borrowed, part: str, ref: str) -> str:
    local = " (only the checkout itself has a branch of that name, which nothing updates)" if git.commit("refs/heads/%s" % ref) else ""
    hint = "; perhaps origin/%s is meant" % ref if remote.commit("origin/%s" % ref) else ""
    text = "%s: %s has no %s%s%s. There are %s"
    return text % (part, git.remote_url() or git.path, ref, local, hint, remote.there_is())


def _local(git: Git, remote: Borrowed, head: str, target: str) -> Dict[str, Any]:
    """What is in the folder and not in git."""
    locked = wait_unlocked(git)
    changed = git.really_changed(head)
    # What is already as the target has it is nobody's change: a deploy that was killed half way leaves that.
    lost = sorted(set(changed) & set(git.really_changed(target, remote.objects))) if changed else []
    return {
        "dirty": tuple(lost),
        "changed": tuple(changed),
        "in_the_way": tuple(in_the_way(git, head, target, remote.objects)),
        "stale_index": not changed and git.looks_dirty(),
        "locked": locked,
        "unwritable": git.unwritable(),
    }


def in_the_way(git: Git, before: str, after: str, objects: str = "") -> List[str]:
    """Files that git does not know, where it would put others on the way from one commit to another."""
    added = git.files_added(before, after, objects)
    there = {path: found for path, found in ((path, _found(git.path, path)) for path in added) if found}
    if not there:
        return []
    known = set(git.tracked())
    folders = {folder for path in known for folder in _folders(path)}
    lost = {found for path, found in there.items() if found not in known and found not in folders and not (found == path and _same(git, path, added[path]))}
    return sorted(lost | {path for found in folders.intersection(there.values()) for path in _unknown_below(git, found, known)})


def _folders(path: str) -> List[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _found(top: str, path: str) -> str:
    """What lies where a file is to come: itself, or what is no folder on the way to it."""
    for folder in _folders(path):
        full = os.path.join(top, folder)
        if os.path.islink(full) or (os.path.lexists(full) and not os.path.isdir(full)):
            return folder
    return path if os.path.lexists(os.path.join(top, path)) else ""


def _unknown_below(git: Git, folder: str, known: Set[str]) -> List[str]:
    """A folder of git's that is to become a file goes with all that is in it."""
    found = []
    for directory, _folders_in, names in os.walk(os.path.join(git.path, folder)):
        found += [os.path.relpath(os.path.join(directory, name), git.path) for name in names if not name.endswith(".pyc")]
    return [path for path in found if path not in known]


def _same(git: Git, path: str, blob: str) -> bool:
    full = os.path.join(git.path, path)
    return os.path.isfile(full) and not os.path.islink(full) and git.blob_of(path) == blob


def wait_unlocked(git: Git) -> str:
    """Another git may be about to end; the lock that is left after a while, if one is."""
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        locked = git.locked()
        if not locked or time.monotonic() >= deadline:
            return locked
        time.sleep(0.2)


def release(remote: Borrowed, commit: str) -> Release:
    """From the sources, which are read and not run."""
    models = remote.show(commit, "jobrunner/models.py")
    migrate = remote.show(commit, "jobrunner/cli/migrate.py")
    config = remote.show(commit, "jobrunner/config.py") or ""
    versions = [int(number) for number in _MIGRATION.findall(models or "")]
    return Release(max(versions) if versions and migrate is not None else None, tuple(sorted(set(_VARIABLE.findall(config)))))


# -- which code a process runs -------------------------------------------------------------------------------------------


def head_at(directory: str, head: str, moment: float) -> Optional[str]:
    """Where HEAD was at a moment, by its log; None where that cannot be told.

    The log knows whole seconds, and of what this collection did exact times. Within the second of the last move the time of the log
    file decides; else HEAD is taken not to have moved.
    """
    path = os.path.join(directory, "logs", "HEAD")
    try:
        written = os.stat(path).st_mtime
        with open(path, encoding="utf-8", errors="replace") as file:
            moves = [match for match in map(_REFLOG.match, file) if match]
    except OSError:
        return None
    candidates: List[str] = []
    for move in reversed(moves):
        made = _made_by(move, moment, written if move is moves[-1] else None)
        if made is not False:
            candidates.append(move.group(2))
        if made:
            break
    else:
        candidates += [move.group(1) for move in moves[:1] if set(move.group(1)) != {"0"}]
    if head in candidates:
        return head
    return candidates[0] if candidates else None


def _made_by(move: Match[str], moment: float, written: Optional[float]) -> Optional[bool]:
    """Whether HEAD had moved by a moment; None where both are in the same second."""
    exact = float(move.group(4)) if move.group(4) else written
    second = int(move.group(3))
    if move.group(4) or (exact is not None and second <= moment < second + 1):
        return exact is not None and exact <= moment
    if second <= moment < second + 1:
        return None
    return second < moment

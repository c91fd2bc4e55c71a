# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that pauses all fixes of a node or ends the pause, and the way back."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .check import Procedure
from .directory import make_directories, sync_directory
from .envelope import Change, Finding, Image, Outcome
from .errors import Refusal, RunbookError
from .journal import Journal
from .limits import Limits, limits_of
from .lock_shared import user_name
from .pause import NAME, Pause, moment_of, read_pause, read_text, words
from .undo import Store
from .who import who

EXEMPT = ("pause", "windows", "cooldown", "escalation")
"""A pause is made and ended whenever somebody says so."""
_SUBJECT = "pause:"
_NEW = ".pause."
_CHANGED = "the file was changed since it was looked at: left alone"


class PauseState(NamedTuple):
    """What lies where a pause may lie: the file as it is, and what it says."""

    texts: Mapping[str, Optional[str]]
    found: Mapping[str, Pause]
    foreign: Mapping[str, str]
    """Why a file cannot be replaced or removed by this user."""
    strange: Sequence[str]
    """What is no file that can be read, and so cannot be put back."""
    limits: Limits
    now: float


class PauseAll(Procedure[PauseState]):
    """One file that every fix on the node looks for."""

    name = "runbook_pause"
    exempt = EXEMPT

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.present = params["state"] == "present"
        self.reason = " ".join((params["reason"] or "").split())
        self.until = moment_of(params["until"]) if params["until"] else None
        if self.present and not self.reason:
            raise RunbookError("a pause needs a reason, which every refusal will show; pass reason with some words")
        if not self.present and self.until is not None:
            raise RunbookError("until says when a pause ends by itself; it goes with state: present only")
        if self.until is not None and self.until <= time.time():
            raise RunbookError("until: %s is in the past; pass a time to come, or state: absent to end the pause now" % params["until"])
        self.journal = Journal(params["journal_dir"])
        self.wanted_limits: Optional[str] = params["limits_dir"]
        self.who = str(who(params["initiator"] or {})["user"])

    def observe(self) -> PauseState:
        limits = limits_of(self.wanted_limits, self.journal.directory)
        paths = list(dict.fromkeys(os.path.join(directory, NAME) for directory in (limits.directory, self.journal.directory)))
        pauses = {path: read_pause(path) for path in paths}
        found = {path: pause for path, pause in pauses.items() if pause is not None}
        foreign = {path: why for path, why in ((path, not_ours(path)) for path in found) if why}
        strange = [path for path in found if not _is_readable(path)]
        return PauseState({path: _text(path) for path in paths}, found, foreign, strange, limits, time.time())

    def diagnose(self, state: PauseState) -> List[Finding]:
        return diagnose(list(state.found.values()), state.limits, state.now)

    def plan(self, state: PauseState) -> List[Change]:
        if not self.present:
            return [self._change(state, "resume", path, None, "the pause is ended") for path in state.found]
        path = os.path.join(state.limits.directory, NAME)
        known = state.found.get(path)
        if known is not None and (known.reason, known.until) == (self.reason, self.until):
            return []
        return [self._change(state, "pause", path, words(self.reason, self.who, self.until), self.reason)]

    def _change(self, state: PauseState, action: str, path: str, after: Optional[str], reason: str) -> Change:
        before = state.texts[path]
        return Change(action, _SUBJECT + path, _image(before), _image(after), reason, path not in state.strange, token=before)

    def guards(self, state: PauseState, plan: Sequence[Change]) -> List[Refusal]:
        paths = [change.subject[len(_SUBJECT) :] for change in plan]
        return [refusal_of(path, state.foreign[path]) for path in paths if path in state.foreign]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [put(change) for change in changes]

    def facts(self, state: PauseState) -> Mapping[str, Any]:
        return {"pauses": [pause.to_dict() for pause in state.found.values()], "limits": {"directory": state.limits.directory, "scope": state.limits.scope()}}


class PauseStore(Store):
    """The files of one run."""

    exempt = EXEMPT

    def __init__(self, _params: Mapping[str, Any], _header: Mapping[str, Any]) -> None:
        pass

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        texts = [_text(_path(change)) for change in changes]
        return [(_image(text), text) for text in texts]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        return [refusal_of(path, why) for path, why in ((path, not_ours(path)) for path in map(_path, plan)) if why]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [put(change) for change in changes]


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {"runbook_pause": PauseStore}


def diagnose(found: Sequence[Pause], limits: Limits, now: float) -> List[Finding]:
    """What a pause means for a person."""
    findings = []
    for pause in found:
        over = pause.until is not None and pause.until <= now
        summary = "the pause has ended: it was until then" if over else pause.describe()
        findings.append(Finding("limits.pause_over" if over else "limits.paused", "info" if over else "warning", pause.path, summary, pause.to_dict()))
    return findings or [Finding("limits.not_paused", "ok", limits.directory, "nobody has paused the fixes of this node")]


def refusal_of(path: str, why: str) -> Refusal:
    return Refusal("owner", "%s %s." % (path, why), "run it as root, or as that user.")


def not_ours(path: str) -> str:
    """Why what lies there cannot be replaced by this user; empty if it can, or if nothing is there."""
    try:
        info, place = os.lstat(path), os.stat(os.path.dirname(path))
    except OSError:
        return ""
    if stat.S_ISDIR(info.st_mode):
        return "is a directory, which only somebody who knows why can remove"
    free = os.geteuid() in (0, info.st_uid, place.st_uid) or not place.st_mode & stat.S_ISVTX
    return "" if free else "belongs to %s, and only that user or root can end it" % user_name(info.st_uid)


def put(change: Change) -> Outcome:
    """Replace the file as a whole, or remove it, if it is still the one that was looked at."""
    path, text = _path(change), None if change.after is None else str(change.after["text"])
    directory = os.path.dirname(path)
    if _text(path) != change.token:
        return Outcome(False, _CHANGED)
    try:
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        else:
            _write(directory, path, text)
        sync_directory(directory)
    except OSError as exc:
        raise RunbookError("%s cannot be written: %s" % (path, exc.strerror)) from exc
    return Outcome(True)


def _write(directory: str, path: str, text: str) -> None:
    if not os.path.isdir(directory):
        make_directories(directory)
    temporary = os.path.join(directory, "%s%s" % (_NEW, secrets.token_hex(8)))
    _tidy(directory)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(handle, 0o644)  # every user's fixes read it
            os.fsync(handle)
        os.rename(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):  # unless it has become the file
            os.unlink(temporary)


def _tidy(directory: str) -> None:
    """What runs that were killed have left; there is no other one now, as this one has the lock."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            if name.startswith(_NEW) and os.lstat(path).st_uid == os.geteuid():
                os.unlink(path)


def _path(change: Change) -> str:
    """Nothing but a pause is ever touched, whatever a journal says."""
    path = change.subject[len(_SUBJECT) :]
    if not change.subject.startswith(_SUBJECT) or os.path.basename(path) != NAME or not os.path.isabs(path):
        raise RunbookError("%s is not a pause" % change.subject)
    return path


def _text(path: str) -> Optional[str]:
    """What cannot be read has no words, but is there."""
    try:
        return read_text(path)
    except OSError:
        return ""


def _is_readable(path: str) -> bool:
    try:
        return read_text(path) is not None
    except OSError:
        return False


def _image(text: Optional[str]) -> Optional[Image]:
    return None if text is None else {"text": text}

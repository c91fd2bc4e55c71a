# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that sets a variable of job-runner, the file work of it, and the way back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.service import ServiceError
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from .config import read_config
from .errors import JobRunnerError
from .service import read_service
from .setting import (
    SettingState,
    Wish,
    check_secret,
    check_wish,
    diagnose,
    effective,
    guards,
    image,
    places,
    plan,
    planned_config,
    restart_needed,
    restored,
    whole,
    with_value,
)

_CHANGED = "the file was changed since it was looked at: left alone"
_ACL = "system.posix_acl_access"


class Setting(Procedure[SettingState]):
    """One variable in one file."""

    name = "jobrunner_setting"

    def __init__(self, params: Mapping[str, Any]) -> None:
        secret: Optional[str] = params["secret_value"]
        value: Optional[str] = params["value"] if secret is None else secret
        if params["state"] == "absent" and value is not None:
            raise JobRunnerError("state: absent takes no value; to set %s to nothing, pass value: '' with state: present" % params["name"])
        self.wish = Wish(params["name"], value, os.path.abspath(params["file"]), secret is not None)
        self.files: List[str] = [os.path.abspath(path) for path in params["config_files"]]
        self.unit: str = params["service"]
        self.undo: Dict[str, Any] = {}
        check_wish(self.wish, b"", self.files)

    def observe(self) -> SettingState:
        wish = self.wish
        data, version = read_file(wish.path)
        config = read_config(self.files)
        check_wish(wish, data, self.files)
        state = self._with_service(SettingState(wish, data, version, config, writable=unwritable(wish.path)))
        check_secret(state)
        if not self.undo:
            self.undo = {"places": places(data, wish.name), "whole": whole(wish.path, data)}
        return state

    def diagnose(self, state: SettingState) -> List[Finding]:
        return diagnose(state)

    def plan(self, state: SettingState) -> List[Change]:
        return plan(state)

    def guards(self, state: SettingState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        wish = self.wish
        return [edit(wish.path, change.token, lambda data: with_value(data, wish.name, wish.value)) for change in changes]

    def facts(self, state: SettingState) -> Mapping[str, Any]:
        config = planned_config(state)
        return {"setting": dict(effective(state, config), name=state.wish.name, file=state.wish.path), "restart_needed": restart_needed(state, config)}

    def context(self) -> Mapping[str, Any]:
        return dict(self.undo, file=self.wish.path, variable=self.wish.name)

    def _with_service(self, state: SettingState) -> SettingState:
        """With what the running process was started with, as far as that can be told."""
        try:
            service = read_service(self.unit)
        except ServiceError:
            return state
        if not service.main_pid:
            return replace(state, running=False)
        since = time.time() - (service.age or 0.0)
        state = replace(state, running=True, outdated=since < os.stat(state.wish.path).st_mtime)
        try:
            with open("/proc/%d/environ" % service.main_pid, "rb") as file:
                pairs = [part.partition(b"=") for part in file.read().split(b"\0")]
        except OSError:
            return replace(state, readable=False)
        found = {name: value for name, _sign, value in pairs}.get(state.wish.name.encode())
        return replace(state, running_value=None if found is None else found.decode("utf-8", "surrogateescape"))


class SettingStore(Store):
    """The file of one run."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.path, self.variable = str(header["file"]), str(header["variable"])
        self.places: Sequence[int] = [int(each) for each in header["places"]]
        self.whole = str(header["whole"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [self._now(change) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        refusals = []
        if any((change.after or {}).get("secret") for change in plan):
            reason = "%s in %s is a secret, of which nothing was kept." % (self.variable, self.path)
            refusals.append(Refusal("secret", reason, "set it again: jobrunner_setting with secret_value."))
        why = unwritable(self.path) if plan else ""
        if why:
            refusals.append(Refusal("rights", why, "run it as root, or as the owner of the file and of its directory."))
        return refusals

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [edit(self.path, change.token, self._editor(change)) for change in changes]

    def _editor(self, change: Change) -> Callable[[bytes], bytes]:
        wanted = list((change.after or {}).get("lines", ()))
        return lambda data: restored(data, self.variable, wanted, self.places, self.whole, self.path)

    def _now(self, change: Change) -> Tuple[Optional[Image], Any]:
        secret = any((each or {}).get("secret") for each in (change.before, change.after))
        data, version = read_file(self.path)
        return image(self.path, data, self.variable, secret), version


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {"jobrunner_setting": SettingStore}


# -- the file ------------------------------------------------------------------------------------------------------------


def read_file(path: str) -> Tuple[bytes, str]:
    """What is in a file, and a name for just that."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise JobRunnerError("there is no %s; the unit does not start without it, and the update of the backend makes it" % path) from None
    except OSError as exc:
        what = "is a link: name the file that it leads to" if os.path.islink(path) else "cannot be read: %s" % exc.strerror
        raise JobRunnerError("%s %s" % (path, what)) from exc
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise JobRunnerError("%s is not a file" % path)
        data = file.read()
    return data, "%d %s" % (info.st_ino, hashlib.sha256(data).hexdigest())


def unwritable(path: str) -> str:
    """Why a file cannot be replaced so that it keeps its owner; empty if it can."""
    if os.geteuid() == 0:
        return ""
    if os.stat(path).st_uid != os.geteuid():
        return "%s belongs to another user, and must go on doing so." % path
    directory = os.path.dirname(path)
    return "" if os.access(directory, os.W_OK | os.X_OK) else "%s is not writable, so no file in it can be replaced." % directory


def edit(path: str, version: Any, change: Callable[[bytes], bytes]) -> Outcome:
    """Replace a file as a whole, with its owner, mode and access control list, if it is still the one that was looked at."""
    directory, name = os.path.split(path)
    temporary = ".%s.fieldops" % name
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise JobRunnerError("%s cannot be written: %s" % (directory, exc.strerror)) from exc
    try:
        data, now = read_file(path)
        if now != version:
            return Outcome(False, _CHANGED)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)  # of a run that was killed here
        try:
            _write(parent, temporary, path, change(data))
            if read_file(path)[1] != version:
                return Outcome(False, _CHANGED)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            with contextlib.suppress(FileNotFoundError):  # unless it has become the file
                os.unlink(temporary, dir_fd=parent)
        os.fsync(parent)
    except OSError as exc:
        raise JobRunnerError("%s cannot be replaced: %s" % (path, exc.strerror)) from exc
    finally:
        os.close(parent)
    return Outcome(True)


def _write(parent: int, name: str, like: str, data: bytes) -> None:
    """A file beside another one, with the same owner and rights, on disk."""
    info = os.stat(like)
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        made = os.fstat(handle)
        if (made.st_uid, made.st_gid) != (info.st_uid, info.st_gid):
            os.fchown(handle, info.st_uid, info.st_gid)
        os.fchmod(handle, stat.S_IMODE(info.st_mode))
        with contextlib.suppress(OSError):  # none there, or none here
            os.setxattr(handle, _ACL, os.getxattr(like, _ACL))
        os.fsync(handle)

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding what runs the mongod that listens on a port, editing what it is started with, and starting it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import stat
import time
from dataclasses import replace
from typing import List, Optional, Tuple

from ..connect.procfs import Process, contained, open_files, processes
from ..connect.service import ServiceError, call, program
from ..connect.services import manager_of
from ..connect.signals import is_alive, unit_of
from ..connect.sockets import listeners
from ..procedure.directory import sync_directory
from ..procedure.envelope import Change, Image, Outcome
from .errors import MongodbError
from .peers import own
from .restart_conf import decoded, edit_for, encoded, name_in, option, taken_back
from .restart_plan import CONFIG, FILE, Runner

UNITS = "/etc/systemd/system"
DROP_IN = "90-fieldops-replset.conf"
_COMMAND = re.compile(r"\{ path=(?P<path>[^;]*) ; argv\[\]=(?P<argv>.*?) ; ignore_errors=")
_ACL = "system.posix_acl_access"
_ELSEWHERE = "run this module on the host that runs it, as root, with login_host and login_port as they are there."
_CONTAINER = "start the container's mongod with --replSet (its start script, or the command of its unit or job), restart that, and run this again."


# -- looking -------------------------------------------------------------------------------------------------------------


def find(host: str, port: int) -> Runner:
    """What runs the server at an address of this node."""
    found = _listening(host, port)
    if not found:
        return Runner("no process of this node that may be seen listens on %s port %d." % (host, port), _ELSEWHERE)
    process = next((each for each in found if os.path.basename(each.argv[0]) == "mongod"), found[0])
    if contained(process) or os.path.basename(process.argv[0]) == "docker-proxy":
        return Runner("the server on port %d runs in a container." % port, _CONTAINER, process.pid)
    if os.path.basename(process.argv[0]) != "mongod":
        return Runner("port %d is not listened on by mongod itself, but by pid %d (%s)." % (port, process.pid, process.argv[0]), _ELSEWHERE, process.pid)
    unit = unit_of(process.pid)
    if not unit:
        text = "mongod (pid %d) belongs to no service of this node: somebody has started it by hand." % process.pid
        return Runner(text, "stop it as it was started, start it again with --replSet, best as a service, and run this again.", process.pid)
    return _runner(process, unit)


def _listening(host: str, port: int) -> List[Process]:
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return []
    inodes = {each.inode for each in listeners(["tcp"]) if each.port == port and any(each.serves(str(address)) for address in addresses if own(str(address)))}
    all_ = {process.pid: process for process in processes()}
    held = open_files(all_).sockets
    return [all_[pid] for inode in inodes for pid in held.get(inode, ())]


def _runner(process: Process, unit: str) -> Runner:
    config = option(process.argv, *CONFIG) or ""
    data, version = b"", ""
    if config:
        config = os.path.realpath(os.path.join(os.readlink("/proc/%d/cwd" % process.pid), config))
        try:
            data, version = read_file(config)
        except OSError as exc:
            text = "the configuration file %s of mongod (pid %d) cannot be read: %s." % (config, process.pid, exc.strerror)
            return Runner(text, "run it as root.", process.pid)
    place = "%s/%s.d/%s" % (UNITS, unit, DROP_IN) if _starts_plainly(process, unit) else ""
    runner = Runner("", "", process.pid, process.argv, unit, "systemd", config, data, version, place, _text_of(place))
    wanted = os.path.dirname(place) if runner.by_command else os.path.dirname(config)
    while wanted and not os.path.isdir(wanted):
        wanted = os.path.dirname(wanted)
    why = "" if not wanted or os.access(wanted, os.W_OK | os.X_OK) else "%s is not writable for this user." % wanted
    if not why and os.geteuid() != 0:
        why = "only root may restart %s." % unit
    return replace(runner, unwritable=why)


def _starts_plainly(process: Process, unit: str) -> bool:
    """Whether the unit has one command, and it is this process's very command line."""
    systemctl = program("systemctl")
    if systemctl is None:
        return False
    code, output, _errors = call([systemctl, "show", "--no-pager", "--property=ExecStart", "--", unit])
    found = list(_COMMAND.finditer(output)) if code == 0 else []
    return len(found) == 1 and found[0]["argv"] == " ".join(process.argv)


def _text_of(path: str) -> Optional[str]:
    if not path:
        return None
    try:
        return decoded(read_file(path)[0])
    except FileNotFoundError:
        return None


def read_file(path: str) -> Tuple[bytes, str]:
    """What is in a file, and a name for just that."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise OSError(0, "it is not a file")
        data = file.read()
    return data, "%d %s" % (info.st_ino, hashlib.sha256(data).hexdigest())


# -- editing -------------------------------------------------------------------------------------------------------------


def edit(change: Change) -> Outcome:
    """Make the file say what the plan says, if it is still the one that was looked at."""
    path, after = change.subject[len(FILE) :], change.after
    try:
        if change.before is None or "replset" not in change.before:  # a drop-in, which is ours as a whole
            _write_drop_in(path, None if after is None else str(after["text"]))
            return Outcome(True)
        data, version = read_file(path)
        if version != change.token:
            return Outcome(False, "the file was changed since it was looked at: left alone")
        text = decoded(data)
        old, new = str(change.before["text"]), str((after or {})["text"])
        _replace(path, encoded(_edited(text, old, new, (after or {})["replset"])))
    except OSError as exc:
        raise MongodbError("%s cannot be written: %s" % (path, exc.strerror)) from exc
    return Outcome(True)


def _edited(text: str, old: str, new: str, name: Optional[str]) -> str:
    if name is not None:
        planned = edit_for(text, name)
        if (planned.old, planned.new) == (old, new):
            return planned.apply(text)
    back = taken_back(text, old=new, new=old, name=name)
    if back is None:
        raise MongodbError("what was written into it is not in it any more")
    return back


def now_image(change: Change) -> Tuple[Optional[Image], str]:
    """How the file of a change stands now."""
    path = change.subject[len(FILE) :]
    try:
        data, version = read_file(path)
    except FileNotFoundError:
        return None, ""
    except OSError as exc:
        raise MongodbError("%s cannot be read: %s" % (path, exc.strerror)) from exc
    text = decoded(data)
    if "replset" not in (change.after or change.before or {}):
        return {"text": text}, version
    try:
        name = name_in(text)
    except MongodbError:
        return {"replset": None, "text": None}, version
    for image in (change.after, change.before):
        if image is not None and image["replset"] == name and image["text"] in text:
            return {"replset": name, "text": image["text"]}, version
    return {"replset": name, "text": None}, version


def _write_drop_in(path: str, text: Optional[str]) -> None:
    directory = os.path.dirname(path)
    if text is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with contextlib.suppress(OSError):  # others have drop-ins as well
            os.rmdir(directory)
        return
    os.makedirs(directory, mode=0o755, exist_ok=True)
    _replace(path, encoded(text))


def _replace(path: str, data: bytes) -> None:
    """The whole file at once, with its owner, rights and labels."""
    temporary = "%s/.%s.fieldops" % os.path.split(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # of a run that was killed here
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        try:
            info = os.stat(path)
        except FileNotFoundError:
            os.fchmod(handle, 0o644)
        else:
            os.fchown(handle, info.st_uid, info.st_gid)
            os.fchmod(handle, stat.S_IMODE(info.st_mode))
            for name in os.listxattr(path):
                with contextlib.suppress(OSError):
                    os.setxattr(handle, name, os.getxattr(path, name))
        os.fsync(handle)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


# -- restarting ------------------------------------------------------------------------------------------------------------


def restart(runner: Runner, limit: float) -> None:
    """Stop the unit until its mongod is gone, and start it again. A clean stop may take a while and is not cut short."""
    manager = manager_of(runner.manager)
    process = next((each for each in processes() if each.pid == runner.pid), None)
    _reload()
    manager.stop(runner.unit, limit)
    deadline = time.monotonic() + limit
    pause = 0.05
    while process is not None and is_alive(process):
        if time.monotonic() > deadline:
            text = "%s was asked to stop, and its mongod (pid %d) is still there after %g s. It is not killed: see what it does, then run this again"
            raise MongodbError(text % (runner.unit, runner.pid, limit))
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    while manager.read([runner.unit])[0].active == "deactivating" and time.monotonic() < deadline:
        time.sleep(0.1)
    if manager.read([runner.unit])[0].active == "failed":
        manager.forgive(runner.unit)
    manager.start(runner.unit, limit)


def _reload() -> None:
    """systemd reads its units again, drop-ins among them."""
    systemctl = program("systemctl")
    if systemctl is None:
        raise ServiceError("systemctl is not installed on this node")
    code, output, errors = call([systemctl, "daemon-reload"])
    if code != 0:
        raise ServiceError("systemctl daemon-reload failed: %s" % (errors or output).strip())

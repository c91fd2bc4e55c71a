# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs: run as a given user, without a shell or a terminal, ended with all their children when time is up."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_KEPT = 65536
SHORTEST_SECRET = 4
"""Shorter values are no secrets, and hiding them would garble numbers and words that happen to contain them."""
_GRACE = 5.0
_PUBLIC = ("/tmp", "/var/tmp")  # noqa: S108 - for another user, whom one's own TMPDIR may shut out; only mkdtemp makes anything in them
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s]+@")


class CommandError(Exception):
    """A program that cannot be run as it was asked for."""


class Account(NamedTuple):
    """A user of this node."""

    name: str
    uid: int
    gid: int
    home: str


class Ended(NamedTuple):
    """What became of a program. ``code`` is None when it was killed because its time was up, or never started."""

    code: Optional[int]
    output: str
    seconds: float

    def last_lines(self, count: int) -> List[str]:
        return [line for line in self.output.splitlines() if line.strip()][-count:]


def account(name: str) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CommandError("there is no user %s on this node" % name) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def switch(user: Account) -> List[str]:
    """What to put before a command so that it runs as a user: nothing for oneself, a tool of the system for root."""
    if os.geteuid() == user.uid:
        return []
    if os.geteuid() != 0:
        raise CommandError("only root, or %s, can run a program as %s; this module runs as user id %d" % (user.name, user.name, os.geteuid()))
    setpriv = shutil.which("setpriv", path=PATH)
    if setpriv:
        return [setpriv, "--reuid=%d" % user.uid, "--regid=%d" % user.gid, "--init-groups", "--"]
    runuser = shutil.which("runuser", path=PATH)
    if runuser:
        return [runuser, "-u", user.name, "--"]
    raise CommandError("neither setpriv nor runuser (both of util-linux) is installed, so root cannot run a program as %s" % user.name)


@contextlib.contextmanager
def acting_as(user: Account) -> Iterator[None]:
    """Files are opened with the rights of a user; only root can, and for oneself nothing changes."""
    if os.geteuid() == user.uid or os.geteuid() != 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(user.name, user.gid))
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


@contextlib.contextmanager
def workspace(user: Account) -> Iterator[str]:
    """A new directory of a user, for the time of one program; removed with all that is in it."""
    path = _make_directory(user)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _make_directory(user: Account) -> str:
    bases = (tempfile.gettempdir(), *_PUBLIC)
    for base in bases:
        with contextlib.suppress(OSError), acting_as(user):
            return tempfile.mkdtemp(prefix="fieldops-", dir=base)
    raise CommandError("%s can make a directory in none of %s" % (user.name, ", ".join(dict.fromkeys(bases))))


def environment(user: Account, extra: Mapping[str, str]) -> Dict[str, str]:
    """An environment that depends on nothing but the user, and on what is given."""
    own = {"PATH": PATH, "HOME": user.home, "USER": user.name, "LOGNAME": user.name, "LC_ALL": "C.UTF-8"}
    return dict(own, **extra)


def run(argv: Sequence[str], env: Mapping[str, str], timeout: float, watch: Callable[[], None], cwd: str = "/", interval: float = 0.02) -> Ended:
    """Run a program to its end, calling ``watch`` all the while. Its output is kept, not shown."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            # A session of its own: no terminal, and one group to be ended. Not a pipe: nobody would read it meanwhile.
            process = subprocess.Popen(argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        except (OSError, ValueError) as exc:
            raise CommandError("cannot run %s: %s" % (argv[0], getattr(exc, "strerror", None) or exc)) from exc
        try:
            code = _wait(process, started + timeout, watch, interval)
        finally:
            _end_group(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - OUTPUT_KEPT))
        text = output.read().decode("utf-8", "replace")
    return Ended(code, text, time.monotonic() - started)


def _wait(process: subprocess.Popen[bytes], deadline: float, watch: Callable[[], None], interval: float) -> Optional[int]:
    while time.monotonic() < deadline:
        watch()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=max(0.0, min(interval, deadline - time.monotonic())))
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """A program that has not ended by itself is asked to, and killed with all that it started."""
    if process.poll() is not None:
        return
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE)


def redact(text: str, secrets: Sequence[str]) -> str:
    """Text without the secrets, and without passwords in URLs."""
    for secret in sorted((secret for secret in secrets if len(secret) >= SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "********")
    return _URL_PASSWORD.sub(r"\1:********@", text)

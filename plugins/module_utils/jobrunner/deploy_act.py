# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy does to a backend: moves a checkout, migrates the database after a copy of it was kept, restarts the service and watches it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Optional

from ..connect.command import PATH, Account, acting_as, environment, redact, switch
from ..connect.command import run as run_command
from ..connect.git import Git
from ..connect.procfs import read_process, started_at
from ..connect.service import call, last_line, program
from ..connect.sqlite import Database
from ..procedure.directory import make_directories, unsafe
from ..procedure.envelope import Image, Outcome
from .checkout import head_at, in_the_way, wait_unlocked
from .config import Config
from .deploy import service_image
from .errors import JobRunnerError
from .service import ServiceState, last_log_line, read_service

SYSTEMCTL = "/usr/bin/systemctl"
_KEPT = 20
_CHANGED = "HEAD was moved since it was looked at: left alone"


@dataclass(frozen=True)
class Bench:
    """What a deploy, and its undo, work on."""

    code: Git
    lib: Git
    unit: str
    python: str
    config: Config
    settle: float
    timeout: float
    sleep: Callable[[float], None] = time.sleep

    @property
    def parts(self) -> Dict[str, Git]:
        """In the order in which they are updated: the code may need what is new in lib."""
        return {"lib": self.lib, "code": self.code}

    # -- looking -------------------------------------------------------------------------------------------------------

    def running(self, service: ServiceState) -> Optional[Dict[str, Optional[str]]]:
        """By part, the commit that the process was started with."""
        process = read_process(service.main_pid) if service.main_pid else None
        if process is None:
            return None
        moment = started_at(process)
        return {part: head_at(git.directory(), git.head(), moment) for part, git in self.parts.items()}

    def service_image(self, since: float) -> Image:
        """The service as changes of it are told. ``since`` is when the run began."""
        service = read_service(self.unit)
        process = read_process(service.main_pid) if service.main_pid else None
        image = service_image(service, self.running(service), {part: git.head() for part, git in self.parts.items()})
        return dict(image, restarted=process is not None and started_at(process) >= since)

    def forbidden(self) -> str:
        """Why this user cannot restart the service; sudo is asked, nothing is run."""
        if os.geteuid() == 0:
            return ""
        sudo = program("sudo")
        if sudo is None:
            return "this module does not run as root, and there is no sudo."
        code, _out, _errors = call([sudo, "-n", "-l", SYSTEMCTL, "restart", self.unit])
        return "" if code == 0 else "this user may not run sudo %s restart %s." % (SYSTEMCTL, self.unit)

    # -- checkouts -----------------------------------------------------------------------------------------------------

    def move(self, git: Git, before: str, after: str, fetch: bool) -> Outcome:
        """HEAD goes from one commit to another, if it is still there. The way back needs no remote."""
        locked = wait_unlocked(git)
        if locked:
            raise JobRunnerError("another git is at work, or was killed: there is %s" % locked)
        if git.head() != before:
            return Outcome(False, _CHANGED)
        if fetch:
            git.fetch(after)
        changed = git.really_changed(before)
        lost = sorted(set(changed) & set(git.really_changed(after))) if changed else []
        if lost:
            return Outcome(False, "%s was changed since it was looked at: left alone" % lost[0])
        taken = in_the_way(git, before, after)
        if taken:
            return Outcome(False, "%s came there since it was looked at: left alone" % taken[0])
        git.reset(after)
        if git.head() != after:
            raise JobRunnerError("%s was reset to %s and is at %s" % (git.path, after[:10], git.head()[:10]))
        return Outcome(True, "from %s to %s" % (before[:10], after[:10]))

    # -- database ------------------------------------------------------------------------------------------------------

    def migrate(self, path: str, wanted: int, keep_in: str) -> Outcome:
        database = Database(path)
        try:
            kept = keep_copy(database, keep_in)
            self._python("-m", "jobrunner.cli.migrate", why="the migration failed (a copy of the database from before is %s)" % kept)
            got = database.user_version
        finally:
            database.close()
        if got != wanted:
            raise JobRunnerError("after the migration %s is at user_version %d, not %d; a copy from before is %s" % (path, got, wanted, kept))
        return Outcome(True, "a copy from before is %s" % kept)

    def check_import(self) -> None:
        """The new code with the new dependencies can be loaded. Else the service, which still runs, would not come up again."""
        self._python(
            "-c", "import jobrunner.service", why="the code that was deployed cannot be loaded, so the service was not restarted and goes on with the old one"
        )

    def _python(self, *arguments: str, why: str) -> str:
        """As the owner of the code, with the environment that systemd would give it."""
        owner = self.code.owner
        given = dict(self.config.environment(), PYTHONPATH="%s:%s" % (self.code.path, self.lib.path), PYTHONDONTWRITEBYTECODE="1")
        given.setdefault("PATH", PATH)
        ended = run_command([*switch(owner), self.python, *arguments], environment(owner, given), self.timeout, lambda: None, cwd=self.code.path)
        if ended.code != 0:
            said = redact(" | ".join(ended.last_lines(3)), self.config.secrets())
            how = "did not end within %g s" % self.timeout if ended.code is None else "ended with %d" % ended.code
            raise JobRunnerError("%s: %s %s %s: %s" % (why, self.python, " ".join(arguments), how, said or "it said nothing"))
        return ended.output

    # -- service -------------------------------------------------------------------------------------------------------

    def restart(self) -> str:
        """By the very command that upstream's sudoers file allows, or directly as root; then watched."""
        self.ask("restart")
        return self.watch()

    def ask(self, verb: str) -> None:
        argv = [program("systemctl") or SYSTEMCTL, verb, self.unit] if os.geteuid() == 0 else ["sudo", "-n", SYSTEMCTL, verb, self.unit]
        code, out, errors = call(argv, self.timeout)
        if code != 0:
            raise JobRunnerError("systemctl %s %s failed: %s" % (verb, self.unit, last_line(out, errors)))

    def watch(self) -> str:
        """One life for the whole of ``settle``: the same process, and no restart by systemd."""
        deadline = time.monotonic() + self.settle
        first = self._up(read_service(self.unit))
        while True:
            service = self._up(read_service(self.unit))
            if (service.main_pid, service.restarts) != (first.main_pid, first.restarts):
                raise JobRunnerError("%s does not stay up: process %s is gone already%s" % (self.unit, first.main_pid, self._said()))
            if time.monotonic() >= deadline:
                return "process %s is up, and stayed up for %g s" % (service.main_pid, self.settle)
            self.sleep(max(0.0, min(0.5, deadline - time.monotonic())))

    def _up(self, service: ServiceState) -> ServiceState:
        if not service.up or service.waiting:
            raise JobRunnerError("%s does not stay up: it is %s (%s), result %s%s" % (self.unit, service.active, service.sub, service.result, self._said()))
        return service

    def _said(self) -> str:
        line = last_log_line(self.unit)
        return "; it said last: %s" % redact(line.text, self.config.secrets())[:500] if line else ""


def keep_copy(database: Database, directory: str) -> str:
    """A copy made by SQLite itself, whole whatever is being written, readable by this user alone."""
    place = os.path.join(directory, "evidence")
    reason = unsafe(place)
    if reason:
        raise JobRunnerError("no copy of the database can be kept: %s. Nothing was migrated" % reason)
    make_directories(place)
    seconds, rest = divmod(time.time_ns(), 10**9)
    folder = os.path.join(place, "%s-%09d" % (time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)), rest))
    os.mkdir(folder, 0o700)
    target = os.path.join(folder, "db.sqlite")
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _backup(database.path, target, database.owner)
    except (OSError, sqlite3.Error) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        raise JobRunnerError("no copy of %s can be kept in %s: %s. Nothing was migrated" % (database.path, folder, exc)) from exc
    return target


def _backup(source: str, target: str, owner: Account) -> None:
    """Both are opened as whom they belong to; what is open stays open."""
    uri = "%s?mode=rw" % Path(os.path.abspath(source)).as_uri()
    copy = sqlite3.connect(target)
    try:
        with acting_as(owner):
            original = sqlite3.connect(uri, uri=True, timeout=10.0)
            original.execute("SELECT count(*) FROM sqlite_master").fetchall()
        try:
            original.backup(copy)
            copy.execute("PRAGMA journal_mode = delete")
            copy.commit()
        finally:
            with acting_as(owner):
                original.close()
    finally:
        copy.close()

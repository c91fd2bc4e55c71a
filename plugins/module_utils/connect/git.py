# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""git, as the owner of a checkout and never as anybody else: no hooks, no prompts, no secret of a remote in what is told.

Looking changes nothing, not even the index or what is known of the remote: what the remote has is fetched into a repository for the moment,
which borrows the objects of the checkout.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .command import Account, CommandError, acting_as, environment, redact, switch, workspace
from .service import program

REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+@-]*")
SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ID = re.compile(r"[0-9a-f]{7,64}")
_USERINFO = re.compile(r"(://)[^/\s]+@")
_QUIET = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false"),
    *("-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false", "-c", "core.quotePath=false"),
)
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "/bin/false",
}


_AT_ONCE = 200
"""Names on one command line."""
_GRACE = 5.0


class GitError(Exception):
    """git cannot be asked, or refused."""


class Git:
    """One checkout."""

    def __init__(self, path: str, timeout: float = 300.0) -> None:
        self.path = path
        self.timeout = timeout
        self.owner = owner_of(path)
        self._program = program("git")
        if self._program is None:
            raise GitError("git is not installed on this node")
        try:
            self._prefix = switch(self.owner)
        except CommandError as exc:
            raise GitError("%s belongs to %s, and git is run as nobody else there: %s" % (path, self.owner.name, exc)) from exc

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self) -> str:
        sha = self.commit("HEAD")
        if sha is None:
            raise GitError("%s has no commit yet" % self.path)
        return sha

    def branch(self) -> Optional[str]:
        """None when HEAD is detached, which is no fault."""
        code, out, _errors = self.call("symbolic-ref", "--quiet", "--short", "HEAD")
        return out.strip() if code == 0 else None

    def commit(self, name: str) -> Optional[str]:
        """The commit that a name stands for."""
        code, out, _errors = self.call("rev-parse", "--verify", "--quiet", "%s^{commit}" % name)
        return out.strip() if code == 0 and SHA.fullmatch(out.strip()) else None

    def directory(self) -> str:
        return self.text("rev-parse", "--absolute-git-dir").rstrip("\n")

    def text(self, *arguments: str, extra: Optional[Dict[str, str]] = None) -> str:
        """What a command prints; raises with its own words where it fails."""
        code, out, errors = self.call(*arguments, extra=extra)
        if code != 0:
            raise GitError("git %s in %s failed: %s" % (arguments[0], self.path, told(out, errors)))
        return out

    def really_changed(self, commit: str, objects: str = "") -> List[str]:
        """Tracked files that are not as in a commit, by their contents. The index is refreshed in a copy of it, so nothing is written.

        ``objects`` is where the commit is, if the checkout does not have it.
        """
        with self._private_index() as index:
            extra = dict({"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects} if objects else {}, **({"GIT_INDEX_FILE": index} if index else {}))
            if index:
                self._see_all(extra)
                self.call("update-index", "-q", "--refresh", extra=extra)
            return names_in(self.text("diff-index", "-z", "--name-only", "--no-renames", "--no-ext-diff", commit, "--", extra=extra))

    def _see_all(self, extra: Dict[str, str]) -> None:
        """Files that git was told not to look at are looked at as well, in the private index; those that a sparse checkout lacks are not."""
        fields = self.text("ls-files", "-z", "-v", extra=extra).split("\0")
        marked = [entry[2:] for entry in fields if entry and entry[0] != "H" and os.path.lexists(os.path.join(self.path, entry[2:]))]
        for n in range(0, len(marked), _AT_ONCE):
            names = marked[n : n + _AT_ONCE]
            for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
                self.text("update-index", flag, "--", *names, extra=extra)

    def blob_of(self, path: str) -> str:
        """What git would call the content of a file as it lies there."""
        return self.text("hash-object", "--", path).strip()

    def tracked(self) -> List[str]:
        return names_in(self.text("ls-files", "-z"))

    def files_added(self, before: str, after: str, objects: str = "") -> Dict[str, str]:
        """Files that one commit has and another has not, with the names of their content."""
        extra = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects} if objects else {}
        fields = self.text("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=A", before, after, extra=extra).split("\0")
        return {path: fields[n].split()[3] for n, path in enumerate(fields[1:]) if n % 2 == 0}

    def looks_dirty(self) -> bool:
        """What upstream's script asks, which takes another time or owner for a change."""
        return self.call("diff-files", "--quiet")[0] != 0

    def remote_url(self, remote: str = "origin") -> str:
        """Without user, password or token."""
        code, out, _errors = self.call("remote", "get-url", remote)
        return without_userinfo(out.strip()) if code == 0 else ""

    @contextmanager
    def _private_index(self) -> Iterator[Optional[str]]:
        source = os.path.join(self.directory(), "index")
        with _workspace(self.owner) as place:
            copy = os.path.join(place, "index")
            try:
                with acting_as(self.owner):
                    shutil.copyfile(source, copy)
            except FileNotFoundError:  # an empty repository has none
                yield None
                return
            except OSError as exc:
                raise GitError("the index of %s cannot be copied: %s" % (self.path, exc.strerror or exc)) from exc
            yield copy

    # -- what the remote has -------------------------------------------------------------------------------------------

    @contextmanager
    def fetched(self, ask: bool = True, ref: str = "") -> Iterator[Borrowed]:
        """A repository for the moment that knows what the remotes have now, and all that the checkout has. ``ref`` tells which of them must answer."""
        common = self.text("rev-parse", "--git-common-dir").rstrip("\n")
        with _workspace(self.owner) as place:
            borrowed = Borrowed(self, place)
            try:
                borrowed.fill(os.path.join(self.path, common))
            except OSError as exc:
                raise GitError("no repository can be made in %s: %s" % (place, exc.strerror or exc)) from exc
            borrowed.know(ask, ref)
            yield borrowed

    def remotes(self, ref: str = "") -> List[str]:
        """The one that a ref is of comes first, else ``origin``."""
        names = self.text("remote").split()
        return sorted(names, key=lambda name: (not ref.startswith(name + "/"), name != "origin"))

    # -- changing ------------------------------------------------------------------------------------------------------

    def fetch(self, commit: str) -> None:
        """Bring a commit of a remote into the checkout's repository, with what else is new."""
        said = []
        for remote in self.remotes():
            # By its tags where it is on no branch any more, or was never, or where a tag that was moved stands against the fetch.
            for tags in ((), ("--tags", "--force")):
                code, out, errors = self.call("fetch", "--quiet", *tags, "--no-recurse-submodules", "--", remote)
                if code == 0 and self.commit(commit) is not None:
                    return
                said += ["%s: %s" % (remote, told(out, errors))] if code != 0 else []
        raise GitError("no remote of %s gave %s (%s)" % (self.path, commit[:10], "; ".join(said) or "all were asked"))

    def reset(self, commit: str) -> None:
        """HEAD, its branch if it is on one, and all tracked files go to a commit."""
        self.call("update-index", "-q", "--refresh")
        # The log of HEAD knows whole seconds only; its message tells the exact time, for whoever asks which commit a process runs.
        self.text("reset", "--quiet", "--hard", commit, extra={"GIT_REFLOG_ACTION": "fieldops %.6f" % time.time()})

    def unwritable(self) -> str:
        """Where its owner cannot write, as after a git that root ran there; empty if everywhere that a move needs it."""
        top = self.directory()
        wanted = {os.path.dirname(os.path.join(self.path, path)) for path in self.tracked()} | {os.path.join(top, "FETCH_HEAD")}
        for directory, folders, names in os.walk(top):
            wanted.add(directory)
            wanted.update(os.path.join(directory, name) for name in names if "logs" in os.path.relpath(directory, top).split(os.sep))
            folders[:] = [name for name in folders if name not in ("hooks", "info", "lfs", "modules", "worktrees")]
        with acting_as(self.owner):
            return next((path for path in sorted(wanted) if os.path.lexists(path) and not os.access(path, os.W_OK, effective_ids=True)), "")

    def locked(self) -> str:
        """The lock of another git, or of one that was killed."""
        for name in ("index.lock", "HEAD.lock"):
            path = os.path.join(self.directory(), name)
            if os.path.lexists(path):
                return path
        return ""

    def call(self, *arguments: str, extra: Optional[Dict[str, str]] = None) -> Tuple[int, str, str]:
        """Exit code, output and errors of one command."""
        argv = [*self._prefix, str(self._program), *_QUIET, "-C", self.path, *arguments]
        return run(argv, environment(self.owner, dict(_ENVIRONMENT, **(extra or {}))), self.timeout)


class Borrowed:
    """A repository of its own with the checkout's configuration and objects."""

    def __init__(self, git: Git, path: str) -> None:
        self.git = git
        self.path = path
        self.away: Dict[str, str] = {}
        """Remotes that did not answer and need not, and what git said."""

    @property
    def objects(self) -> str:
        return os.path.join(self.path, "objects")

    def fill(self, common: str) -> None:
        self.text("init", "--quiet", "--bare")
        with acting_as(self.git.owner):
            _write(os.path.join(self.path, "objects", "info", "alternates"), os.path.realpath(os.path.join(common, "objects")) + "\n")
            with contextlib.suppress(OSError), open(os.path.join(common, "shallow"), encoding="ascii") as file:
                _write(os.path.join(self.path, "shallow"), file.read())
            # The checkout's own remotes, with whatever they need to be reached; a token in them is not put on a command line.
            config = '[include]\n\tpath = "%s"\n[core]\n\tbare = true\n' % _escaped(os.path.join(common, "config"))
            _write(os.path.join(self.path, "config"), config)

    def know(self, ask: bool, ref: str) -> None:
        """Branches and tags of the remotes: as they have them now, or as the checkout last saw them."""
        if not ask:
            self.text("fetch", "--quiet", "--no-tags", self.git.path, "+refs/remotes/*:refs/remotes/*", "+refs/tags/*:refs/tags/*")
            return
        remotes = self.git.remotes(ref)
        for remote in reversed(remotes):  # of tags that they do not agree on, that of the first one counts
            arguments = ("fetch", "--quiet", "--tags", "--force", "--no-recurse-submodules", "--", remote)
            if remote == remotes[0]:
                self.text(*arguments)
                continue
            code, out, errors = self.call(*arguments)
            if code != 0:
                self.away[remote] = told(out, errors)
                self.text("fetch", "--quiet", "--no-tags", self.git.path, "+refs/remotes/%s/*:refs/remotes/%s/*" % (remote, remote))

    def call(self, *arguments: str) -> Tuple[int, str, str]:
        """From within the checkout, because the address of a remote may be relative to it."""
        return self.git.call("--git-dir=%s" % self.path, *arguments)

    def text(self, *arguments: str) -> str:
        code, out, errors = self.call(*arguments)
        if code != 0:
            remote = arguments[-1] if arguments[-2:-1] == ("--",) else "origin"
            raise GitError("git %s for %s (remote %s) failed: %s" % (arguments[0], self.git.path, self.git.remote_url(remote) or "none", told(out, errors)))
        return out

    def commit(self, name: str) -> Optional[str]:
        """What a ref of the remote, a tag or a commit stands for, as of now."""
        refs = () if SHA.fullmatch(name) else ("refs/remotes/%s" % name, "refs/tags/%s" % name)
        for candidate in (*refs, name) if _ID.fullmatch(name) else refs:  # never FETCH_HEAD and the like
            code, out, _errors = self.call("rev-parse", "--verify", "--quiet", "%s^{commit}" % candidate)
            if code == 0 and SHA.fullmatch(out.strip()):
                return out.strip()
        return None

    def there_is(self, limit: int = 10) -> str:
        """Branches and the newest tags, for an error."""
        branches = self.text("for-each-ref", "--format=%(refname:lstrip=2)", "--sort=-committerdate", "--count=%d" % limit, "refs/remotes").split()
        tags = self.text("for-each-ref", "--format=%(refname:lstrip=2)", "--sort=-creatordate", "--count=%d" % limit, "refs/tags").split()
        told_tags = "; newest tags %s" % ", ".join(tags) if tags else ""
        return "branches %s%s" % (", ".join(name for name in branches if not name.endswith("/HEAD")) or "none", told_tags)

    def count(self, *wanted: str) -> int:
        return int(self.text("rev-list", "--count", *wanted, "--"))

    def log(self, wanted: Sequence[str], limit: int) -> List[str]:
        return self.text("log", "--format=%h %s", "--max-count=%d" % limit, "--no-show-signature", *wanted, "--").splitlines()

    def show(self, commit: str, path: str) -> Optional[str]:
        code, out, _errors = self.call("cat-file", "blob", "%s:%s" % (commit, path))
        return out if code == 0 else None


def run(argv: Sequence[str], env: Dict[str, str], timeout: float) -> Tuple[int, str, str]:
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(list(argv), env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    except OSError as exc:
        raise GitError("cannot run %s: %s" % (argv[0], exc.strerror)) from exc
    with process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise GitError("git did not come to its end within %g s" % timeout) from None
        finally:
            _end(process)
    return process.returncode, out.decode("utf-8", "surrogateescape"), errors.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """With what it has started; first so that it can take its locks away."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE)


@contextmanager
def _workspace(owner: Account) -> Iterator[str]:
    try:
        with workspace(owner) as place:
            yield place
    except CommandError as exc:
        raise GitError(str(exc)) from exc


def told(out: str, errors: str) -> str:
    """What git said, without what may be secret in a remote's address."""
    lines = [line.strip() for text in (errors, out) for line in text.splitlines() if line.strip()]
    return redact(without_userinfo("; ".join(lines[-3:])), ()) or "it said nothing"


def without_userinfo(text: str) -> str:
    return _USERINFO.sub(r"\1********@", text)


def checked_ref(name: str, option: str) -> str:
    """A name that git cannot take for an option or a range."""
    if not REF.fullmatch(name) or ".." in name or "@{" in name or name.endswith((".lock", "/")):
        raise GitError(
            "%s %r is not the name of a branch of the remote, a tag or a commit; accepted is for example origin/main, v1.2 or a commit id" % (option, name)
        )
    return name


def owner_of(path: str) -> Account:
    try:
        info = os.stat(path)
    except OSError as exc:
        raise GitError("there is no checkout %s: %s" % (path, exc.strerror)) from exc
    if not stat.S_ISDIR(info.st_mode) or not os.path.lexists(os.path.join(path, ".git")):
        raise GitError("%s is not a checkout of git: it has no .git" % path)
    try:
        entry = pwd.getpwuid(info.st_uid)
    except KeyError:
        return Account(str(info.st_uid), info.st_uid, info.st_gid, "/")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def names_in(text: str) -> List[str]:
    """Paths that were printed with ``-z``."""
    return [name for name in text.split("\0") if name]


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')

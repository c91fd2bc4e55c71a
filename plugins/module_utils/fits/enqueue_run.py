# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queueing files through upstream's own script, and judging it by the rows that appear."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Pattern, Sequence, Set, Tuple

from ..connect.command import Account, CommandError, Ended, account, acting_as, environment, redact, run, switch, workspace
from ..connect.files import tail
from ..connect.postgres import Postgres, compose, identifier, raw
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal, RunbookError
from .enqueue import EnqueueState, Target, check_not_skipped, diagnose, exported, plan_enqueue, read_wish, refuse, select, stem
from .errors import FitsError
from .observe import FitsHost
from .storage import NOT_REGULAR, Storage
from .tables import STAMP, Table
from .workers import script_name

SCRIPTS_DIR = "/opt/FitsStorage/fits_storage/scripts"
_OUTPUT_SHOWN = 20
_AT_WORK = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} \d+:\w+:\d+ \w+: (?:Ingesting|Exporting) (.+?)(?: - (\d+))?(?:,? \(\d+ (?:on|in) queue\))?$")
Key = Tuple[str, str, Optional[str]]
_PRESENT = """
SELECT f.name, d.filename, coalesce(d.path, ''), EXISTS (SELECT 1 FROM header h WHERE h.diskfile_id = d.id)
  FROM file f JOIN diskfile d ON d.file_id = f.id WHERE d.present AND f.name = ANY (%(names)s) ORDER BY d.id
"""


class Script:
    """Upstream's script for one queue: how it is called, as whom, and in what environment."""

    def __init__(self, params: Mapping[str, Any], queue: str) -> None:
        self.path = os.path.join(params["scripts_dir"] or SCRIPTS_DIR, "add_to_%s_queue.py" % queue)
        self.python: str = params["python"]
        self.timeout: float = params["timeout"]
        self.user = account(params["run_as"])
        self.prefix = _switch(self.user)
        own = {str(name): str(value) for name, value in params["environment"].items()}
        self.secrets = tuple(own.values())
        zone = params.get("timezone") or os.environ.get("TZ")
        local = {"TZ": zone} if zone else {}
        self.env = environment(self.user, dict(local, PYTHONPATH=":".join(params["pythonpath"]), **own))
        self.said: List[Dict[str, Any]] = []

    def check(self) -> None:
        if not os.path.isfile(self.path):
            raise FitsError("upstream's script %s is not installed on this node: pass scripts_dir, or run this where FITS Storage is" % self.path)
        if not os.access(self.python, os.X_OK):
            raise FitsError("there is no interpreter %s to run upstream's script with: pass python" % self.python)
        if self.timeout <= 0:
            raise FitsError("timeout must be more than 0 seconds, not %s" % self.timeout)
        for name in self.env:
            if not name.isidentifier() or not name.isascii():
                raise FitsError("%r in environment is not the name of a variable" % name)

    def run(self, arguments: Sequence[str], directory: str, watch: Callable[[], None]) -> Ended:
        """Run it once. What it said is kept without the values of the environment.

        In a directory of its own: C logs into the working directory when it finds no configuration.
        """
        argv = [self.python, self.path] + list(arguments)
        try:
            ended = run(self.prefix + argv, self.env, self.timeout, watch, directory)
        except CommandError as exc:
            ended = Ended(None, str(exc), 0.0)
        lines = [redact(line, self.secrets) for line in ended.last_lines(_OUTPUT_SHOWN)]
        self.said.append({"argv": argv, "exit_code": ended.code, "seconds": round(ended.seconds, 3), "output": lines})
        return ended


def _switch(user: Account) -> List[str]:
    try:
        return switch(user)
    except CommandError as exc:
        raise FitsError("upstream's script must run as %s: %s. Pass become: true (become_user: root or %s), or run_as." % (user.name, exc, user.name)) from exc


# -- what appears ------------------------------------------------------------------------------------------------------


class Appearing:
    """Rows of some files that were not there before. Looked for all the while, because a worker may serve one at once."""

    def __init__(self, postgres: Postgres, table: Table, names: Sequence[str]) -> None:
        self.postgres = postgres
        self.table = table
        self.names = frozenset(names)
        self.newest = newest_id(postgres, table)
        self.before = dict(self._rows("q.filename = ANY (%(names)s)"))
        self.seen: Dict[int, Image] = {}

    def look(self) -> None:
        """Only what came since the last look, by the primary key."""
        for row_id, image in self._rows("q.id > %(newest)s ORDER BY q.id"):
            self.newest = max(self.newest, row_id)
            if image["filename"] in self.names:
                self.seen[row_id] = image

    def last_look(self) -> None:
        """By name, for ids that do not grow."""
        for row_id, image in self._rows("q.filename = ANY (%(names)s)"):
            if row_id not in self.before:
                self.seen.setdefault(row_id, image)

    def added(self) -> Dict[Key, Image]:
        """The first new row of each file, as upstream added it: what a worker has made of it since is not part of that."""
        mark: Image = {"inprogress": False, **({"fail_dt": STAMP, "error": None} if self.table.stamped else {"failed": False})}
        return {key_of(self.seen[row_id]): dict(self.seen[row_id], **mark) for row_id in sorted(self.seen, reverse=True)}

    def _rows(self, condition: str) -> List[Tuple[int, Image]]:
        statement = compose("SELECT q.id, to_jsonb(q) FROM {table} q WHERE {condition}", table=identifier(self.table.name), condition=raw(condition))
        rows = self.postgres.rows(statement, {"names": list(self.names), "newest": self.newest})
        return [(row[0], row[1]) for row in rows]


def newest_id(postgres: Postgres, table: Table) -> int:
    return int(postgres.row(compose("SELECT coalesce(max(id), 0) FROM {table}", table=identifier(table.name)))[0])


def key_of(image: Mapping[str, Any]) -> Key:
    return (image["filename"], image.get("path") or "", image.get("destination"))


def served_since(host: FitsHost, table: Table, names: Sequence[str], log_dirs: Sequence[str], started: float, newest: int) -> Set[str]:
    """Names of files that a worker has been at since a time: a new diskfile row, or a line in a log of the service."""
    values = {"names": list(names), "started": started, "timezone": host.timezone}
    found: Set[str] = set()
    if table.queue == "ingest" and host.schema.has_diskfile:
        statement = "SELECT DISTINCT filename FROM diskfile WHERE filename = ANY (%(names)s) AND entrytime >= to_timestamp(%(started)s)"
        found = {row[0] for row in host.postgres.rows(statement, values)}
    since = host.postgres.row("SELECT to_char(to_timestamp(%(started)s) AT TIME ZONE %(timezone)s, 'YYYY-MM-DD HH24:MI:SS')", values)[0]
    for line in _log_lines(script_name(table.queue), log_dirs):
        named = _AT_WORK.match(line)
        if named and named.group(1) >= since and (named.group(3) is None or int(named.group(3)) > newest):
            found.add(named.group(2))
    return found & set(names)


def _log_lines(prefix: str, directories: Sequence[str]) -> Iterator[str]:
    for directory in directories:
        with contextlib.suppress(OSError):
            for name in os.listdir(directory):
                if name.startswith(prefix) and name.endswith(".log"):
                    yield from tail(os.path.join(directory, name))


# -- the procedure -----------------------------------------------------------------------------------------------------


class Enqueue(Procedure[EnqueueState]):
    """Puts files on the ingest or the export queue."""

    name = "fits_enqueue"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wish = read_wish(params)
        self.script = Script(params, self.wish.queue)
        self.script.check()
        if self.script.timeout >= params["lock_expiry"]:
            raise FitsError(
                "timeout (%s s) must be less than lock_expiry (%s s): the lock is not renewed while the script runs"
                % (self.script.timeout, params["lock_expiry"])
            )
        self.storage = Storage(params["storage_root"], self.script.user)
        self.log_dirs: Sequence[str] = params["log_dir"]
        self.targets: Tuple[Target, ...] = ()
        self.skipped: Tuple[Tuple[str, str], ...] = ()
        self.newest = 0
        self.standing: FrozenSet[int] = frozenset()
        self.may_be_live = False
        self.made: FrozenSet[str] = frozenset()
        self.missing: List[Change] = []
        self.host = FitsHost(params)

    def close(self) -> None:
        self.host.close()

    @property
    def table(self) -> Table:
        return self.host.schema.table(self.wish.queue)

    def observe(self) -> EnqueueState:
        """Files are looked at once: a worker may move them as soon as they are queued."""
        if not self.targets:
            self.targets = self._exports() if self.wish.queue == "export" else self._ingests()
        queue = self.host.observe([self.wish.queue], sorted({target.filename for target in self.targets}))[self.wish.queue]
        self.newest = newest_id(self.host.postgres, self.table)
        self.may_be_live = queue.workers.may_be_live
        self.standing = frozenset(row.id for row in queue.rows)
        return EnqueueState(queue, self.targets, self.wish.force, self._forced(), self.skipped, self.made)

    def plan(self, state: EnqueueState) -> List[Change]:
        return plan_enqueue(state)

    def guards(self, state: EnqueueState, plan: Sequence[Change]) -> List[Refusal]:
        return refuse(state)

    def diagnose(self, state: EnqueueState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: EnqueueState) -> Mapping[str, Any]:
        skipped = [{"filename": name, "why": why} for name, why in state.skipped[:1000]]
        return {"schema_generation": self.host.schema.generation, "skipped": skipped}

    def evidence(self, state: EnqueueState) -> Mapping[str, Any]:
        return {"workers": {self.wish.queue: state.queue.workers.to_dict()}, "script": self.script.said}

    def context(self) -> Mapping[str, Any]:
        """What finds the rows of a run that was killed before it learned their ids."""
        return {"database": self.host.postgres.database, "queue": self.wish.queue, "newest_id": self.newest, "timezone": self.host.timezone}

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One run of the script each: ingest takes a list of files, export one file and destination."""
        for batch in [plan] if self.wish.queue == "ingest" else [[change] for change in plan]:
            yield batch
            if self.missing:  # journaled by now, so that what did appear can be undone
                raise self._failure(len(batch))

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        images = [change.after or {} for change in changes]
        appearing = Appearing(self.host.postgres, self.table, [image["filename"] for image in images])
        started, newest = time.time(), appearing.newest
        with workspace(self.script.user) as directory:
            self.script.run(self._arguments(images, directory), directory, appearing.look)
        appearing.last_look()
        added, between = appearing.added(), {key_of(image) for row_id, image in appearing.before.items() if row_id not in self.standing}
        unseen = [image["filename"] for image in images if key_of(image) not in added]
        served = served_since(self.host, self.table, unseen, self.log_dirs, started, newest) if unseen else set()
        outcomes = [self._outcome(image, added.get(key_of(image)), served, between) for image in images]
        self.missing = [change for change, outcome in zip(changes, outcomes) if not outcome.done and not outcome.note]
        self.made |= {change.subject for change, outcome in zip(changes, outcomes) if outcome.done}
        return [outcome if outcome.done or outcome.note else Outcome(False, "no row appeared") for outcome in outcomes]

    @staticmethod
    def _outcome(image: Image, added: Optional[Image], served: Set[str], between: Set[Key]) -> Outcome:
        if added is not None:
            return Outcome(True, actual=added)
        if image["filename"] in served:
            # An id that no row has: an undo finds it gone, instead of finding somebody else's later row.
            return Outcome(True, "served already: a worker took the row before it could be read", dict(image, id=None))
        if key_of(image) in between:
            return Outcome(False, "somebody else queued it meanwhile, so upstream ignored it")
        return Outcome(False)

    def _arguments(self, images: Sequence[Image], directory: str) -> List[str]:
        """What upstream's script is called with; every value in the word of its option, so that none is taken for one."""
        names = [image["filename"] for image in images]
        if self.wish.queue == "export":
            return ["--selection=filename=" + stem(names[0]), "--destination=" + images[0]["destination"]]
        arguments = ["--path=" + self.wish.path, "--logsuffix=fieldops"] + (["--force"] if self.wish.force else [])
        if len(names) == 1:
            return arguments + ["--filename=" + names[0]]
        # Also where a file_re was given: upstream would match it against whatever is there by then, which nobody has seen.
        path = os.path.join(directory, "list")
        with acting_as(self.script.user), open(path, "w", encoding="utf-8") as file:
            file.writelines(name + "\n" for name in names)
        return arguments + ["--listfile=" + path]

    def _failure(self, planned: int) -> RunbookError:
        said = self.script.said[-1]
        ended = "ended with exit code %s" % said["exit_code"] if said["exit_code"] is not None else "was killed after %s s, or never started" % said["seconds"]
        if self.table.stamped:
            cause = (
                "A user who cannot read FITS Storage's configuration works on an empty database in memory, without a word:"
                " check run_as (%s), or pass FITS_STORAGE_DB_URL in environment." % self.script.user.name
            )
        else:
            cause = "It may work on another database than %s: see FITS_DB_NAME and FITS_DB_SERVER." % self.host.postgres.database
        if self.may_be_live:
            cause += " A live worker that finds a file unchanged also serves its row at once."
        return RunbookError(
            "%s %s, but %d of %d rows did not appear, first %s. %s It said: %s"
            % (self.script.path, ended, len(self.missing), planned, self.missing[0].subject, cause, " | ".join(said["output"][-5:]) or "nothing")
        )

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def _ingests(self) -> Tuple[Target, ...]:
        names, path = list(self.wish.names), self.wish.path
        if self.wish.pattern is None:
            check_not_skipped(names, self.table)
        else:
            names = self._matches(path, self.wish.pattern)
        self.storage.check(path, names)
        return tuple(Target(name, path) for name in names)

    def _matches(self, path: str, pattern: Pattern[str]) -> List[str]:
        names, skipped = select(self.storage.listing(path), pattern, self.table)
        problems = self.storage.problems(path, names)
        skipped += [(name, NOT_REGULAR) for name in names if problems.get(name) == NOT_REGULAR]
        self.skipped = tuple(skipped)
        names = [name for name in names if problems.get(name) != NOT_REGULAR]
        if not names:
            all_skipped = "; %d names match, and upstream would skip them all, first %s: %s" % (len(skipped), *skipped[0]) if skipped else ""
            raise FitsError("file_re %r matches no file in %s%s" % (pattern.pattern, self.storage.directory(path), all_skipped))
        return names

    def _exports(self) -> Tuple[Target, ...]:
        rows: Dict[str, List[Tuple[Any, ...]]] = {}
        for row in self.host.postgres.rows(_PRESENT, {"names": [stem(name) for name in self.wish.names]}):
            rows.setdefault(row[0], []).append(row)
        files = sorted({exported(name, rows.get(stem(name), []), self.wish.path) for name in self.wish.names})
        return tuple(Target(name, path, destination) for name, path in files for destination in self.wish.destinations)

    def _forced(self) -> Dict[int, bool]:
        if not self.table.has("force") or not self.standing:
            return {}
        statement = compose("SELECT id, force FROM {table} WHERE id = ANY (%(ids)s)", table=identifier(self.table.name))
        return {row[0]: bool(row[1]) for row in self.host.postgres.rows(statement, {"ids": list(self.standing)})}

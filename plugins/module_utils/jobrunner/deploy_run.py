# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that deploys job-runner, and the way back."""

from __future__ import annotations

import math
import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.command import CommandError
from ..connect.git import Git, GitError, checked_ref
from ..connect.service import ServiceError
from ..connect.sqlite import Database, SqliteError
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.journal import Journal
from ..procedure.undo import Store
from .checkout import in_the_way, look, release
from .config import read_config
from .deploy import DeployState, diagnose, facts, guards, not_writable, plan
from .deploy_act import Bench
from .errors import JobRunnerError
from .place import Place
from .service import read_service
from .tables import read_layout

ERRORS = (JobRunnerError, GitError, SqliteError, ServiceError, CommandError)
_LEFT_OUT = "left out, because %s"


class Deploy(Procedure[DeployState]):
    """Dependencies, code, migration, restart, in this order."""

    name = "jobrunner_deploy"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.refs = {"lib": checked_ref(params["lib_ref"], "lib_ref"), "code": checked_ref(params["ref"], "ref")}
        for name in ("settle", "timeout"):
            if not math.isfinite(params[name]) or not 0 <= params[name] <= 3600:
                raise JobRunnerError("%s must be between 0 and 3600 seconds, not %s" % (name, params[name]))
        if not os.access(params["python"], os.X_OK) or os.path.isdir(params["python"]):
            raise JobRunnerError("there is no interpreter %s; python is that of the service, for example /usr/bin/python3" % params["python"])
        self.params = params
        self.place = Place.of(params)
        self.restart: str = params["restart"]
        self.bench = Bench(
            code=Git(os.path.abspath(params["code_dir"]), params["timeout"]),
            lib=Git(os.path.abspath(params["lib_dir"]), params["timeout"]),
            unit=params["service"],
            python=params["python"],
            config=self.place.config,
            settle=params["settle"],
            timeout=params["timeout"],
        )
        self.journal_dir = Journal(params["journal_dir"]).directory
        self.first: Optional[DeployState] = None
        self.restarted = False
        self.halted = ""

    # -- the left half -------------------------------------------------------------------------------------------------

    def observe(self) -> DeployState:
        bench, known = self.bench, {each.part: each.target for each in (self.first.checkouts if self.first else ())}
        seen = {part: look(git, part, self.refs[part], known.get(part)) for part, git in bench.parts.items()}
        service = read_service(bench.unit)
        if service.compose:
            raise JobRunnerError(
                "%s is the unit of the later layout (a compose project, since 2024-10-11), which is not deployed from a checkout" % service.unit
            )
        path, version = self._database()
        state = DeployState(
            checkouts=tuple(checkout for checkout, _present, _wanted in seen.values()),
            present=seen["code"][1],
            wanted=seen["code"][2],
            service=service,
            restart=self.restart,
            database=path,
            version=version,
            running=bench.running(service),
            variables=frozenset(self.place.config.effective()),
            restarted=self.restarted,
            forbidden=bench.forbidden() if self.restart != "never" else "",
        )
        self.first = self.first or state
        return state

    def _database(self) -> Tuple[str, Optional[int]]:
        database = Database(self.place.database)
        try:
            return database.path, read_layout(database).version
        finally:
            database.close()

    def diagnose(self, state: DeployState) -> List[Finding]:
        return diagnose(state)

    def plan(self, state: DeployState) -> List[Change]:
        return plan(state)

    def guards(self, state: DeployState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan)

    def facts(self, state: DeployState) -> Mapping[str, Any]:
        return facts(state)

    def evidence(self, state: DeployState) -> Mapping[str, Any]:
        origins = {name: self.place.config.origin(name) for name in ("WORKDIR",)}
        return {"remotes": {each.part: each.url for each in state.checkouts}, "workdir": self.place.workdir, "origin_of_workdir": origins["WORKDIR"]}

    def context(self) -> Mapping[str, Any]:
        return {
            "unit": self.bench.unit,
            "python": self.bench.python,
            "settle": self.bench.settle,
            "timeout": self.bench.timeout,
            "config_files": [facts.path for facts in self.place.config.files],
            "database": self.place.database,
            "parts": {part: git.path for part, git in self.bench.parts.items()},
        }

    # -- the right half ------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """One change; what builds upon one that was not made is left out."""
        return [self._one(change) if not self.halted else Outcome(False, _LEFT_OUT % self.halted) for change in changes]

    def _one(self, change: Change) -> Outcome:
        before, after = change.before or {}, change.after or {}
        if change.action == "update":
            outcome = self.bench.move(self._git(before["path"]), before["commit"], after["commit"], True)
        elif change.action == "migrate":
            outcome = self.bench.migrate(self.place.database, after["user_version"], self.journal_dir)
        else:
            self.bench.check_import()
            self.restarted = True
            outcome = Outcome(True, self.bench.restart())
        if not outcome.done:
            self.halted = "%s was not done" % change.subject
        return outcome

    def _git(self, path: str) -> Git:
        return next(git for git in self.bench.parts.values() if git.path == path)


class DeployStore(Store):
    """The checkouts, the database and the service of one run."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        parts, timeout = header["parts"], float(header["timeout"])
        self.started = float(header["started"])
        self.database = str(header["database"])
        self.bench = Bench(
            code=Git(str(parts["code"]), timeout),
            lib=Git(str(parts["lib"]), timeout),
            unit=str(header["unit"]),
            python=str(header["python"]),
            config=read_config([str(path) for path in header["config_files"]]),
            settle=float(header["settle"]),
            timeout=timeout,
        )

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [(self._now(change), None) for change in changes]

    def _now(self, change: Change) -> Image:
        images = (change.before or {}, change.after or {})
        if any("user_version" in image for image in images):
            return {"user_version": self._version()}
        if any("path" in image for image in images):
            path = next(image["path"] for image in images if "path" in image)
            return {"path": path, "commit": self._git(path).head()}
        return self.bench.service_image(self.started)

    def _version(self) -> int:
        database = Database(self.database)
        try:
            return database.user_version
        finally:
            database.close()

    def _git(self, path: str) -> Git:
        return next(git for git in self.bench.parts.values() if git.path == path)

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        refusals = []
        moves = [change for change in plan if "commit" in (change.after or {})]
        for change in moves:
            refusals += self._of_move((change.before or {})["commit"], (change.after or {})["commit"], self._git((change.after or {})["path"]))
        forbidden = self.bench.forbidden() if any("on" in (change.after or {}) for change in plan) else ""
        if forbidden:
            refusals.append(Refusal("rights", forbidden, "run it as root, or as opensafely with upstream's sudoers file."))
        return refusals

    def _of_move(self, before: str, after: str, git: Git) -> List[Refusal]:
        if git.commit(after) is None:
            return [Refusal("gone", "%s has no commit %s any more." % (git.path, after), "fetch it from where it is.")]
        changed = git.really_changed(before)
        lost = sorted(set(changed) & set(git.really_changed(after))) if changed else []
        if lost:
            return [
                Refusal("dirty", "%s has local changes that this would destroy, first %s." % (git.path, lost[0]), "keep them elsewhere and take them back.")
            ]
        stuck = git.unwritable()
        if stuck:
            return [Refusal("rights", *not_writable(git.owner.name, git.path, stuck))]
        taken = in_the_way(git, before, after)
        if taken:
            return [Refusal("in_the_way", "%s has files of its own where this would put others, first %s." % (git.path, taken[0]), "move them away.")]
        if git is self.bench.code:
            with git.fetched(False) as here:
                wanted = release(here, after).version
            if wanted is not None and wanted < self._version():
                reason = "the database is at user_version %d by now, and %s starts only with %d." % (self._version(), after[:10], wanted)
                return [Refusal("migrated", reason, "deploy a later commit; the copy of the database that was kept lacks what has happened since.")]
        return []

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Checkouts first, then the service, whatever the order in which they are asked for."""
        outcomes: Dict[int, Outcome] = {}
        for n, change in sorted(enumerate(changes), key=lambda pair: "on" in (pair[1].after or {})):
            stuck = [outcome for outcome in outcomes.values() if not outcome.done]
            outcomes[n] = Outcome(False, _LEFT_OUT % "a checkout was not moved") if stuck else self._one(change)
        return [outcomes[n] for n in range(len(changes))]

    def _one(self, change: Change) -> Outcome:
        before, after = change.before or {}, change.after or {}
        if "commit" in after:
            return self.bench.move(self._git(after["path"]), before["commit"], after["commit"], False)
        if not after.get("on"):
            self.bench.ask("stop")
            return Outcome(True, "stopped")
        self.bench.check_import()
        return Outcome(True, self.bench.restart())


STORES: Dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Store]] = {"jobrunner_deploy": DeployStore}

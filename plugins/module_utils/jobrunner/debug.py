# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a container beside a job, with the job's volume, and takes it away again."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import UNNAMED, Docker
from ..connect.images import Images
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, matches
from .debug_state import SUBJECT, WORKSPACE, DebugState, Wanted, configuration, debug_name, diagnose, guards, is_ours, plan, shape
from .errors import JobRunnerError
from .names import ID, checked_ids, volume_name
from .objects import directory_of
from .place import Place

LONGEST_LIFE = 7 * 86400
_CHANGED = "the container was made, changed or removed since it was looked at: left alone"


class JobDebug(Procedure[DebugState]):
    """``state: present`` and ``state: absent``."""

    name = "jobrunner_debug"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.place = Place.of(params)
        self.present = params["state"] == "present"
        self.wanted = Wanted(one_id(params["job_id"]), params["image"] or "", params["lifetime"], params["writable"], params["privileged"])
        if self.present and not self.wanted.image:
            raise JobRunnerError("image is empty: name an image that is on this node")
        if not 1 <= self.wanted.lifetime <= LONGEST_LIFE:
            raise JobRunnerError("lifetime must be 1 to %d seconds, not %s" % (LONGEST_LIFE, self.wanted.lifetime))
        self.docker = Docker(self.place.docker_host, timeout=params["timeout"])

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> DebugState:
        seen = self.docker.inspect(self.wanted.name)
        volume = self._volume()
        here = not self.present or Images(self.docker).get(self.wanted.image) is not None
        half = self.docker.inspect(self.wanted.name + UNNAMED)
        left = shape(half) if half and is_ours(half) else None
        if seen is None:
            return DebugState(volume, None, image_here=here, half=left)
        return DebugState(volume, shape(seen), not is_ours(seen), bool(seen["State"]["Running"]), written(self.docker, self.wanted.name), here, left)

    def _volume(self) -> Optional[str]:
        found = self.docker.volume(volume_name(self.wanted.job_id))
        if found is not None:
            return str(found["Name"])
        folder = directory_of(self.place.high, self.wanted.job_id)
        return folder if os.path.isdir(folder) else None

    def diagnose(self, state: DebugState) -> List[Finding]:
        return diagnose(state, self.wanted)

    def facts(self, state: DebugState) -> Mapping[str, Any]:
        there: Optional[Dict[str, Any]] = None
        if state.there is not None:
            name = self.wanted.name
            there = dict(state.there, name=name, running=state.running, written=list(state.written), command="docker exec -it %s sh" % name)
        return {"container": there, "volume": state.volume}

    def evidence(self, state: DebugState) -> Mapping[str, Any]:
        return {"docker_host": self.place.docker_host}

    def plan(self, state: DebugState) -> List[Change]:
        return plan(state, self.wanted, self.present)

    def guards(self, state: DebugState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wanted, self.present)

    def context(self) -> Mapping[str, Any]:
        return {"docker_host": self.place.docker_host}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [move(self.docker, change) for change in changes]


def one_id(text: str) -> str:
    """A whole job id. Fragments are no ids; the database is not asked, so that it works whatever layout it has."""
    (job_id,) = checked_ids([text])
    if not ID.fullmatch(job_id):
        raise JobRunnerError("%r is no whole job id: it has 16 characters of a to z and 2 to 7; jobrunner_info lists the running ones" % text)
    return job_id


def written(docker: Docker, name: str) -> List[str]:
    """What a container wrote beside its volume. The place of the volume itself is made by the engine."""
    return [path for path in docker.written(name) if path != WORKSPACE and not path.startswith(WORKSPACE + "/")]


def move(docker: Docker, change: Change) -> Outcome:
    """From one image to the other, if it is still as it was looked at."""
    name = change.subject[len(SUBJECT) :]
    seen = docker.inspect(name)
    if not matches(change.before, shape(seen) if seen else None) or (seen and not is_ours(seen)):
        return Outcome(False, _CHANGED)
    if change.after is None:
        docker.remove(name)
    else:
        docker.start(name, configuration(change.after))
    return Outcome(True)


class DebugStore(Store):
    """Containers for debugging on the engine that a run was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.docker = Docker(str(header["docker_host"]))

    def close(self) -> None:
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        seen = [self.docker.inspect(change.subject[len(SUBJECT) :]) for change in changes]
        return [(shape(each) if each else None, None) for each in seen]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        lost = [change for change in plan if change.after is None and written(self.docker, change.subject[len(SUBJECT) :])]
        if not lost:
            return []
        reason = "%s has written files outside %s, which would be lost." % (lost[0].subject, WORKSPACE)
        return [Refusal("written", reason, "copy them out, then remove it with fieldops.runbooks.jobrunner_debug, state: absent.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [move(self.docker, change) for change in changes]


STORES = {"jobrunner_debug": DebugStore}

__all__ = ["STORES", "JobDebug", "debug_name", "one_id"]

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking away the Docker objects of a job: what is to be done, as changes, and doing it.

The container goes first and the manager before the volume, which it keeps in use. Containers are addressed by the id that was seen, so that
one of the same name that was made meanwhile is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional

from ..connect.docker import Docker
from ..procedure.envelope import Change, Image, Outcome
from .errors import JobRunnerError
from .objects import Container, Objects, inspected
from .tables import RESULTS_UNSAVED
from .transitions import Row

PROCESS, CONTAINER, VOLUME, DIRECTORY = "process:", "container:", "volume:", "directory:"
"""Subjects. What runs in a container is one of its own: it is killed before the container is removed."""
ALIVE = ("running", "paused", "restarting")
"""States of a container that has processes."""
_EXITED = re.compile(r"Exited \((\d+)\)")
_NO_MANAGER = "it holds the volume, which cannot be removed before it"


def must_have(high: str) -> None:
    """A base that is not there, or not mounted, may hold volumes that nobody sees."""
    if not os.path.isdir(high):
        raise JobRunnerError("the high privacy base %s is no directory: is its disk mounted, and high_privacy_base right? Nothing was changed" % high)


def exit_code(container: Optional[Container]) -> Optional[int]:
    """Of a container that has ended."""
    if container is None or container.state not in ("exited", "dead"):
        return None
    match = _EXITED.match(container.status)
    return int(match.group(1)) if match else None


def unsaved(row: Optional[Row], objects: Objects) -> str:
    """What would be lost with the objects of a job: results that are finished and not filed away. Empty when nothing is.

    A container that ended with 0 has finished, whether or not the main loop has seen it; after an internal error a retry could still file it.
    """
    if row is None or row["state"] == "succeeded" or row["status_code"] == "cancelled_by_user":
        return ""
    if row["status_code"] in RESULTS_UNSAVED or exit_code(objects.container) == 0:
        return "results of job %s (%s)" % (row["id"], row["action"])
    return ""


def kill(objects: Objects, reason: str) -> List[Change]:
    """Of a container that has processes."""
    container = objects.container
    if container is None or container.state not in ALIVE:
        return []
    before, after = {"name": container.name, "alive": True}, {"name": container.name, "alive": False}
    return [Change("kill", PROCESS + container.name, before, after, reason, reversible=False, token=container.id)]


def remove(objects: Objects, reason: str, loss: str) -> List[Change]:
    """Of all that there is, as it is after the container was killed."""
    changes = []
    for container, why in ((objects.container, reason), (objects.manager, _NO_MANAGER)):
        if container is not None:
            killed = container is objects.container and container.state in ALIVE
            before = {"name": container.name, "state": "exited" if killed else container.state}
            changes.append(Change("remove", CONTAINER + container.name, before, None, why, False, loss, container.id))
    if objects.volume is not None:
        changes.append(Change("remove", VOLUME + objects.volume, {"name": objects.volume}, None, reason, False, loss))
    if objects.directory is not None:
        changes.append(Change("remove", DIRECTORY + objects.directory, {"path": objects.directory}, None, reason, False, loss))
    return changes


# -- doing it ----------------------------------------------------------------------------------------------------------


def apply(docker: Docker, change: Change) -> Outcome:
    """One of the changes above."""
    if change.subject.startswith(VOLUME):
        return _outcome(docker.remove_volume(change.subject[len(VOLUME) :]))
    if change.subject.startswith(DIRECTORY):
        return _remove_directory(change.subject[len(DIRECTORY) :])
    if change.action == "kill":
        return _kill(docker, change)
    return _outcome(docker.remove(change.token))


def _outcome(done: bool) -> Outcome:
    return Outcome(done, "" if done else "it is gone already, or another has its name")


def _kill(docker: Docker, change: Change) -> Outcome:
    if docker.kill(change.token):
        return Outcome(True)
    found = docker.inspect(change.token)
    if found is not None and exit_code(inspected(found)) == 0:
        name = (change.before or {})["name"]
        raise JobRunnerError(
            "container %s has finished its work since it was looked at, so it was not killed and its results are still there; look again, and decide. "
            "A job whose row says by now that it was killed has them filed by state: retried" % name
        )
    return Outcome(False, "it ended by itself meanwhile")


def _remove_directory(path: str) -> Outcome:
    try:
        shutil.rmtree(path)  # refuses a link in the place of the directory, and follows none
    except FileNotFoundError:
        return _outcome(False)
    except OSError as exc:
        raise JobRunnerError("the volume directory %s cannot be removed: %s: %s" % (path, exc.filename or "nothing in it", exc.strerror or exc)) from exc
    return Outcome(True)


def now_image(docker: Docker, subject: str) -> Optional[Image]:
    """A process, container, volume or directory as it is now."""
    kind, _colon, name = subject.partition(":")
    if kind + ":" == DIRECTORY:
        return {"path": name} if os.path.isdir(name) else None
    if kind + ":" == VOLUME:
        return {"name": name} if docker.volume(name) else None
    found = docker.inspect(name)
    state = inspected(found).state if found else ""
    if kind + ":" == PROCESS:
        return {"name": name, "alive": state in ALIVE}
    return {"name": name, "state": state} if found else None


def told(objects: Objects) -> Mapping[str, Any]:
    """For a result."""
    known: Dict[str, Any] = dict(objects.to_dict(), exit_code=exit_code(objects.container))
    return known

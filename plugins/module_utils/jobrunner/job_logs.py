# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log directory of a job that was killed: written as upstream's ``kill_job`` writes it, but without the secrets of its environment.

``logs/YYYY-MM/os-job-ID`` below the high privacy base, the month being that of the writing. It is written once for each container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..connect.command import acting_as
from ..connect.docker import Docker
from ..connect.sqlite import Database
from ..procedure.envelope import Change, Image, Outcome
from .errors import JobRunnerError
from .metadata import HIDDEN, Scrubber, redacted_container
from .names import container_name
from .objects import Objects
from .transitions import Row

LOGS = "logs:"
MESSAGE = "job killed by OpenSAFELY administrator"
FILES = ("logs.txt", "metadata.json")
_TAIL = 100000
_UMASK = 0o027
_SUMMARY = (
    *("job_definition_id", "job_definition_request_id", "commit", "docker_image_id", "exit_code", "status_message", "created_at", "completed_at"),
    "database_name",
)


def directory(high: str, job_id: str, now: float) -> str:
    return os.path.join(high, "logs", time.strftime("%Y-%m", time.localtime(now)), container_name(job_id))


def saved(high: str, job_id: str, container_id: str, ended: bool) -> str:
    """Where the log of a container lies already; empty when it was not saved.

    Of one that has ended by itself that may be the log which the main loop filed. It names the outputs of the job, and a log of the kill would not.
    """
    base = os.path.join(high, "logs")
    try:
        months = sorted(os.listdir(base), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    for month in months:
        path = os.path.join(base, month, container_name(job_id))
        metadata = _metadata(path)
        container = metadata.get("container_metadata")
        if not isinstance(container, dict) or container.get("Id") != container_id:
            continue
        if (ended or metadata.get("status_message") == MESSAGE) and os.path.isfile(os.path.join(path, FILES[0])):
            return path
    return ""


def plan(objects: Objects, path: str, there: bool, reason: str) -> List[Change]:
    """Save the log of a container that is there. ``path`` is where it goes; with older files in it, those are written over, as upstream does."""
    if objects.container is None:
        return []
    before: Optional[Image] = {"path": path} if there else None
    return [Change("save_logs", LOGS + path, before, {"path": path, "status_message": MESSAGE}, reason, not there, token=objects.container.id)]


def apply(docker: Docker, database: Database, change: Change, row: Row) -> Outcome:
    path = change.subject[len(LOGS) :]
    container = docker.inspect(change.token)
    if container is None:
        return Outcome(False, "its container is gone")
    scrubber = Scrubber()
    metadata = _described(container, row, scrubber)
    lines = _hidden(docker.logs(change.token, tail=_TAIL), scrubber)
    try:
        with _as_owner(database):
            _write(path, {"logs.txt": lines + _summary(metadata).encode(), "metadata.json": json.dumps(metadata, indent=2).encode()})
    except OSError as exc:
        where, why = exc.filename or path, exc.strerror or exc
        raise JobRunnerError("the log of job %s cannot be saved as %s: %s: %s" % (row["id"], database.owner.name, where, why)) from exc
    return Outcome(True)


def _hidden(lines: bytes, scrubber: Scrubber) -> bytes:
    """Lines without what the environment of their container holds."""
    for secret in scrubber.known:
        lines = lines.replace(secret.encode(errors="surrogateescape"), HIDDEN.encode())
    return lines


def take_back(database: Database, change: Change) -> Outcome:
    """Remove what was saved, and nothing else that may be in the directory."""
    path = change.subject[len(LOGS) :]
    with _as_owner(database):
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return Outcome(True)


def now_image(subject: str) -> Optional[Image]:
    """The directory as it is now."""
    path = subject[len(LOGS) :]
    if not os.path.isdir(path):
        return None
    return {"path": path, "status_message": _metadata(path).get("status_message")}


def _metadata(path: str) -> Dict[str, Any]:
    try:
        with open(os.path.join(path, "metadata.json"), encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _described(container: Mapping[str, Any], row: Row, scrubber: Scrubber) -> Dict[str, Any]:
    """``metadata.json``, with upstream's keys. The scrubber learns what is secret."""
    environment = (container.get("Config") or {}).get("Env") or ()
    uses_database = any(str(line).startswith("DATABASE_URL=") for line in environment)
    return {
        "job_definition_id": row["id"],
        "job_definition_request_id": row["job_request_id"],
        "created_at": row["created_at"],
        "completed_at": int(time.time()),
        "docker_image_id": container["Image"],
        "exit_code": str(container["State"]["ExitCode"]),
        "status_message": MESSAGE,
        "container_metadata": redacted_container(container, scrubber),
        "outputs": {},
        "commit": row["action_commit"] or row["commit"],
        "database_name": row["database_name"] if uses_database else None,
    }


def _summary(metadata: Mapping[str, Any]) -> str:
    lines = ["%s: %s\n" % (key, metadata[key]) for key in _SUMMARY if metadata[key]]
    return "\n\n%s\noutputs:\n  (no outputs)\n" % "".join(lines)


@contextmanager
def _as_owner(database: Database) -> Iterator[None]:
    """Files are job-runner's own, and nobody else's to read."""
    with acting_as(database.owner):
        before = os.umask(_UMASK)
        try:
            yield
        finally:
            os.umask(before)


def _write(path: str, files: Mapping[str, bytes]) -> None:
    """The whole directory at once where there is none, else file by file, each whole."""
    new = path + ".new"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(new)  # of a run that was killed
    os.mkdir(new)
    for name, data in files.items():
        with open(os.path.join(new, name), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    if not os.path.isdir(path):
        os.rename(new, path)
        return
    for name in files:
        os.rename(os.path.join(new, name), os.path.join(path, name))
    os.rmdir(new)

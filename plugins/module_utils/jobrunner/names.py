# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: job ids and the Docker objects of a job (job-runner, ``executors/local.py`` and ``executors/volumes.py``)."""

from __future__ import annotations

import re
from typing import Iterable, List, Optional

from .errors import JobRunnerError

ID = re.compile(r"[a-z2-7]{16}")
"""16 characters of base32 in lower case (``models.py``)."""
_CONTAINER = re.compile(r"os-job-([a-z2-7]{16})")
_VOLUME = re.compile(r"os-volume-([a-z2-7]{16})")
_MANAGER = re.compile(r"os-volume-([a-z2-7]{16})-manager")


def container_name(job_id: str) -> str:
    return "os-job-%s" % job_id


def volume_name(job_id: str) -> str:
    return "os-volume-%s" % job_id


def manager_name(job_id: str) -> str:
    """The container that keeps a volume in use; it goes before its volume."""
    return "os-volume-%s-manager" % job_id


def job_of_container(name: str) -> Optional[str]:
    return _id(_CONTAINER, name)


def job_of_volume(name: str) -> Optional[str]:
    return _id(_VOLUME, name)


def job_of_manager(name: str) -> Optional[str]:
    return _id(_MANAGER, name)


def checked_ids(given: Iterable[str]) -> List[str]:
    """Whole job ids, each once. A container's name is taken for its id, since that is what people copy."""
    ids = []
    for each in given:
        job_id = each.strip()
        job_id = job_of_container(job_id) or job_id
        if not ID.fullmatch(job_id) and not re.fullmatch(r"[A-Za-z0-9_-]+", job_id):
            raise JobRunnerError("%r is no job id; a job id is 16 characters of a to z and 2 to 7, for example ab2cd3ef4gh5ij6k" % each)
        if job_id not in ids:
            ids.append(job_id)
    return ids


def _id(pattern: re.Pattern[str], name: str) -> Optional[str]:
    match = pattern.fullmatch(name.lstrip("/"))
    return match.group(1) if match else None

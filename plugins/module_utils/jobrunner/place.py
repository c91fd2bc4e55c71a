# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on a backend: from the options, else from the environment files that the service reads.

Under Ansible nobody has loaded job-runner's environment. Its own commands then fall back to a folder inside the checkout, which is another
database; here a place that nobody named is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ..connect.docker import DEFAULT_HOST
from .config import Config, read_config
from .errors import JobRunnerError

HIGH = "/srv/high_privacy"
MEDIUM = "/srv/medium_privacy"
LATER = (
    "Later layouts are not supported: since 2024-10-11 the service runs as a compose project, and since 2025-05-29 the database is on the central controller."
)


@dataclass(frozen=True)
class Place:
    """Places of one backend. ``workdir`` is None where neither an option nor the configuration names it."""

    config: Config
    docker_host: str
    high: str
    medium: str
    workdir: Optional[str]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Place:
        config = read_config(params.get("config_files") or ())
        return cls(
            config=config,
            docker_host=params.get("docker_host") or DEFAULT_HOST,
            high=params.get("high_privacy_base") or config.get("HIGH_PRIVACY_STORAGE_BASE") or HIGH,
            medium=params.get("medium_privacy_base") or config.get("MEDIUM_PRIVACY_STORAGE_BASE") or MEDIUM,
            workdir=params.get("workdir") or config.get("WORKDIR"),
        )

    @property
    def database(self) -> str:
        """Path of job-runner's database, which must be there."""
        if not self.workdir:
            raise JobRunnerError("no workdir: none of the config_files sets WORKDIR, so give the option workdir (the folder that holds db.sqlite)")
        path = os.path.join(self.workdir, "db.sqlite")
        if not os.path.exists(path):
            raise JobRunnerError("there is no database %s: check workdir and config_files. %s" % (path, LATER))
        return path

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, from environment variables of the same names as the real ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import release

BESIDE_THE_CODE = Path(__file__).resolve().parents[1] / "workdir"
DATABASES = ("default", "include_t1oo")
TRUE = ("true", "1", "yes")


@dataclass
class Config:
    """All settings. `user_version` is the layout of the database that this job-runner wants."""

    workdir: Path
    high: Path
    medium: Path
    endpoint: str = "http://127.0.0.1:9/api/v2/"
    token: str = "token"
    poll_interval: float = 5.0
    loop_interval: float = 1.0
    backend: str = "expectations"
    dummy: bool = True
    registry: str = "registry.example.org/opensafely-core"
    database_urls: Mapping[str, str] = field(default_factory=dict)
    temporary_database: str = ""
    network: str = "jobrunner-db"
    max_workers: int = 1
    max_db_workers: int = 1
    cpu_count: float = 2.0
    memory: str = "4G"
    max_level4_size: int = 16 * 1024 * 1024
    user_version: int = release.USER_VERSION
    docker_host: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Config:
        """From an environment. Without WORKDIR it is a folder beside the code: another database than the service's."""
        get = environment.get
        workdir = Path(get("WORKDIR", str(BESIDE_THE_CODE))).resolve()
        backend = get("BACKEND", "expectations")
        workers = int(get("MAX_WORKERS") or max((os.cpu_count() or 1) - 1, 1))
        return cls(
            workdir=workdir,
            high=Path(get("HIGH_PRIVACY_STORAGE_BASE", str(workdir / "high_privacy"))),
            medium=Path(get("MEDIUM_PRIVACY_STORAGE_BASE", str(workdir / "medium_privacy"))),
            endpoint=get("JOB_SERVER_ENDPOINT", cls.endpoint),
            token=get("JOB_SERVER_TOKEN", cls.token),
            poll_interval=float(get("POLL_INTERVAL", "5")),
            loop_interval=float(get("JOB_LOOP_INTERVAL", "1.0")),
            backend=backend,
            dummy=get("USING_DUMMY_DATA_BACKEND", "false").lower().strip() in TRUE or backend == "expectations",
            registry=get("DOCKER_REGISTRY", cls.registry),
            database_urls={name: url for name in DATABASES if (url := get(f"{name.upper()}_DATABASE_URL"))},
            temporary_database=get("TEMP_DATABASE_NAME", ""),
            network=get("DATABASE_ACCESS_NETWORK", "jobrunner-db"),
            max_workers=workers,
            max_db_workers=int(get("MAX_DB_WORKERS") or workers),
            cpu_count=float(get("DEFAULT_JOB_CPU_COUNT", "2")),
            memory=get("DEFAULT_JOB_MEMORY_LIMIT", "4G"),
            max_level4_size=int(get("LEVEL4_MAX_FILESIZE", str(cls.max_level4_size))),
            user_version=int(get("LAB_USER_VERSION", str(release.USER_VERSION))),  # tests run either release from the same files
            docker_host=get("DOCKER_HOST", ""),
        )

    @property
    def database(self) -> Path:
        """The database."""
        return self.workdir / "db.sqlite"

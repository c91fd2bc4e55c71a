# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a job that has run: its outputs by level of privacy, its logs."""

from __future__ import annotations

import csv
import datetime
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .client import Client
from .config import Config
from .models import Job
from .volumes import matching, volume_of

LEVEL4_TYPES = set(".csv .tsv .jpg .jpeg .png .svg .svgz .html .txt .log .json .md".split())
SAFE_VARIABLES = set(
    "PATH PYTHON_VERSION DEBIAN_FRONTEND DEBCONF_NONINTERACTIVE_SEEN UBUNTU_VERSION PYENV_SHELL PYENV_VERSION PYTHONUNBUFFERED "
    "OPENSAFELY_BACKEND TZ TEMP_DATABASE_NAME PYTHONPATH container LANG LC_ALL".split()
)
LOGGED = (
    *("job_definition_id", "job_definition_request_id", "commit", "docker_image_id", "exit_code", "status_message", "created_at", "completed_at"),
    "database_name",
)
KILLED_MESSAGE = "Job killed by OpenSAFELY admin or memory limits"
KILLED_CODE = 137


@dataclass
class Results:
    """What a job came to."""

    exit_code: int
    image: str
    message: str | None
    outputs: dict[str, str] = field(default_factory=dict)
    unmatched_patterns: list[str] = field(default_factory=list)
    unmatched_outputs: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    timestamp_ns: int = field(default_factory=time.time_ns)


@dataclass
class Filing:
    """Files of one backend."""

    config: Config
    client: Client

    def workspace(self, base: Path, job: Job) -> Path:
        """The folder of a job's workspace."""
        return base / "workspaces" / str(job.workspace)

    def results(self, job: Job, container: Mapping[str, Any]) -> Results:
        """Look at what the job left."""
        code = int(container["State"]["ExitCode"])
        found = Results(code, container["Image"], _message(job, container))
        if job.cancelled:
            return found
        volume = volume_of(self.client, self.config.high, job.id)
        files = volume.files()
        for level, patterns in (job.output_spec or {}).items():
            for pattern in patterns.values():
                matched = matching(files, pattern)
                found.outputs.update(dict.fromkeys(matched, level))
                if not matched:
                    found.unmatched_patterns.append(pattern)
        found.unmatched_outputs = [file for file in volume.files(newer=True) if file not in found.outputs]
        return found

    def keep(self, job: Job, found: Results) -> None:
        """Copy outputs to the workspaces; level 4 gets those that may be looked at, or a note why not."""
        volume = volume_of(self.client, self.config.high, job.id)
        high, medium = self.workspace(self.config.high, job), self.workspace(self.config.medium, job)
        for name in found.outputs:
            (high / name).parent.mkdir(parents=True, exist_ok=True)
            part = high / f"{name}.part"
            volume.get(name, part)
            part.replace(high / name)
        for name, level in found.outputs.items():
            if level != "moderately_sensitive":
                continue
            reason = self.reason_to_exclude(high / name)
            target, note = medium / name, medium / f"{name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            if reason:
                found.excluded[name] = reason
                note.write_text(f"The file:\n\n{name}\n\nis not here: {reason}\n", encoding="utf-8")
            else:
                shutil.copy(high / name, target)
                note.unlink(missing_ok=True)
            write_manifest(medium, job.workspace)

    def reason_to_exclude(self, file: Path) -> str:
        """Why a file may not be looked at; nothing when it may."""
        if file.suffix not in LEVEL4_TYPES:
            return f"File type of {file.suffix} is not valid level 4 file"
        if file.suffix == ".csv":
            with file.open(encoding="utf-8", errors="replace") as lines:
                if "patient_id" in (csv.DictReader(lines).fieldnames or ()):
                    return "File has patient_id column"
        if file.stat().st_size > self.config.max_level4_size:
            return f"File size of {file.stat().st_size} is larger than the limit of {self.config.max_level4_size}"
        return ""

    def discard(self, job: Job, names: list[str]) -> None:
        """Remove files that a former job of this action left and this one did not."""
        for base in (self.config.high, self.config.medium):
            for name in names:
                (self.workspace(base, job) / name).unlink(missing_ok=True)

    def write_logs(self, job: Job, metadata: dict[str, Any], copy: bool, excluded: Mapping[str, str] | None = None) -> Path:
        """The log folder of a job, by the month of now; for finished jobs also in both workspaces."""
        name = f"os-job-{job.id}"
        month = datetime.datetime.now().astimezone().strftime("%Y-%m")
        folder = self.config.high / "logs" / month / name
        folder.mkdir(parents=True, exist_ok=True)
        facts = "".join(f"{key}: {metadata[key]}\n" for key in LOGGED if metadata[key])
        outputs = "".join(f"  {file}  - {level}\n" for file, level in sorted(metadata["outputs"].items())) or "  (no outputs)\n"
        rejected = "\nInvalid moderately_sensitive outputs:\n" + "".join(f"  {file}  - {why}\n" for file, why in excluded.items()) if excluded else ""
        (folder / "logs.txt").write_text(f"{self.client.logs(name)}\n\n{facts}\noutputs:\n{outputs}{rejected}\n", encoding="utf-8")
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")
        if copy:
            for base in (self.config.high, self.config.medium):
                target = self.workspace(base, job) / "metadata" / f"{job.action}.log"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "logs.txt", target)
        return folder


def metadata_of(job: Job, database: str | None, container: dict[str, Any], found: Results) -> dict[str, Any]:
    """What is kept of a job beside its log. The container's environment is as it is given here."""
    return {
        "job_definition_id": job.id,
        "job_definition_request_id": job.job_request_id,
        "created_at": job.created_at,
        "completed_at": int(time.time()),
        "docker_image_id": container["Image"],
        "exit_code": str(container["State"]["ExitCode"]),
        "status_message": found.message,
        "container_metadata": container,
        "outputs": found.outputs,
        "commit": job.commit,
        "database_name": database,
    }


def redact(container: dict[str, Any]) -> None:
    """Hide the values of a container's environment, but for harmless ones."""
    pairs = [line.split("=", 1) for line in container["Config"]["Env"]]
    container["Config"]["Env"] = [f"{name}={value if name in SAFE_VARIABLES else 'xxxx-REDACTED-xxxx'}" for name, value in pairs]


def write_manifest(folder: Path, workspace: str) -> None:
    """The file that must be beside released outputs."""
    target = folder / "metadata/manifest.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".tmp")
    part.write_text(json.dumps({"repo": None, "workspace": workspace}, indent=2), encoding="utf-8")
    part.replace(target)


def _message(job: Job, container: Mapping[str, Any]) -> str | None:
    state = container["State"]
    if state["ExitCode"] != KILLED_CODE:
        return None
    if job.cancelled:
        return "Job cancelled by user"
    return "Job ran out of memory" if state["OOMKilled"] else KILLED_MESSAGE

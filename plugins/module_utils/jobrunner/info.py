# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a backend: one transaction of its database, three questions to Docker, one to systemd. What fails is told, and the rest goes on."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..connect.docker import Docker, DockerError, Usage, timestamp
from ..connect.service import ServiceError
from ..connect.sqlite import Database, SqliteError
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .config_drift import look_around
from .config_findings import config_findings
from .errors import JobRunnerError
from .info_state import DEBUG, BackendState, Engine, Limits, Tables, config_rows, exited, facts, healthy
from .metadata import Scrubber
from .names import container_name
from .objects import Objects, container_of, objects_in
from .place import Place
from .service import LogLine, ServiceState, last_log_line, read_service
from .tables import active_jobs, counts, flags, jobs, read_layout
from .usage import process_usage, read_disks, read_machine
from .verdict import diagnose

T = TypeVar("T")
LONGEST_WAIT = 3600.0
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two looks while it waits."""
_ERRORS = (JobRunnerError, SqliteError, DockerError, ServiceError)


class BackendInfo(Check[BackendState]):
    """Reads only."""

    name = "jobrunner_info"
    judged_by = ("limits",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.place = Place.of(params)
        self.unit: str = params["service"]
        self.stats = params["stats"]
        self.backend_server: str = params["backend_server_dir"]
        self.limits = Limits(
            loop=_at_least("loop_timeout", params["loop_timeout"], 60),
            finalise=_at_least("finalise_timeout", params["finalise_timeout"], 0),
            disk=_at_least("disk_min_percent", params["disk_min_percent"], 0) / 100,
            settle=_at_least("settle", params["settle"], 0),
        )
        self.wait = _at_least("wait", params["wait"], 0)
        if self.wait > LONGEST_WAIT:
            raise JobRunnerError("wait must be %g seconds or less, not %g" % (LONGEST_WAIT, self.wait))
        self.docker = Docker(self.place.docker_host, timeout=params["timeout"])
        self.missing: Dict[str, str] = {}
        self.refused = False

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> BackendState:
        """Once, or again and again until it is as it should be, or time is up."""
        deadline, pause = time.monotonic() + self.wait, _PAUSE
        while True:
            state = self._look()
            left = deadline - time.monotonic()
            if left <= 0 or healthy(state, self.limits):
                return state
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _look(self) -> BackendState:
        self.missing, self.refused = {}, False
        now = time.time()
        service = self._try("service", lambda: read_service(self.unit))
        engine = self._try("docker", self._engine)
        tables = self._try("database", lambda: self._tables(sorted(engine.objects) if engine else ()))
        if service is None and tables is None and engine is None:
            raise JobRunnerError("nothing can be said of this backend: %s" % "; ".join(self.missing[part] for part in sorted(self.missing)))
        if tables is not None and engine is not None:
            engine = self._together(tables, engine)
        disks, _unread = read_disks(self._places(engine))
        return BackendState(
            now=now,
            service=service,
            last_line=self._last_line(service),
            tables=tables,
            engine=engine,
            machine=read_machine(),
            disks=disks,
            missing=dict(self.missing),
            layout_refused=self.refused,
            config=config_rows(self.place.config),
            config_findings=self._config_findings(),
            places={"database": self._database_path(), "workdir": self.place.workdir, "high": self.place.high, "medium": self.place.medium},
        )

    def diagnose(self, state: BackendState) -> List[Finding]:
        return diagnose(state, self.limits)

    def facts(self, state: BackendState) -> Mapping[str, Any]:
        shown: Dict[str, Any] = self._scrubber().value(facts(state, self.limits))
        return shown

    def evidence(self, state: BackendState) -> Mapping[str, Any]:
        return {"places": dict(state.places), "docker_host": self.place.docker_host, "missing": dict(state.missing), "uid": os.geteuid()}

    def _try(self, part: str, read: Callable[[], T]) -> Optional[T]:
        try:
            return read()
        except _ERRORS as exc:
            self.missing[part] = self._scrubber().text(str(exc))
            return None

    def _scrubber(self) -> Scrubber:
        return Scrubber(self.place.config.secrets())

    def _database_path(self) -> Optional[str]:
        try:
            return self.place.database
        except JobRunnerError:
            return None

    def _tables(self, ids: Sequence[str]) -> Tables:
        database = Database(self.place.database)
        try:
            mode = database.journal_mode
            with database.reading():
                try:
                    layout = read_layout(database)
                except JobRunnerError:
                    self.refused = True
                    raise
                active = active_jobs(database)
                left = sorted(set(ids) - {row["id"] for row in active})
                return Tables(layout, mode, counts(database), active, flags(database), jobs(database, left) if left else {})
        finally:
            database.close()

    def _engine(self) -> Engine:
        info = self.docker.info()
        containers = [container_of(listed) for listed in self.docker.containers()]
        found = objects_in(containers, self.docker.volumes(), self.place.high)
        return Engine(str(info.get("ServerVersion", "")), str(info.get("DockerRootDir", "")), found, [c for c in containers if c.name.startswith(DEBUG)])

    def _together(self, tables: Tables, engine: Engine) -> Engine:
        """What only both can tell: when containers of running jobs ended, and what those that run use.

        Database and engine are not read in the same moment. What looks wrong is looked at again: a job that just ended or began is no fault.
        """
        running = [row["id"] for row in tables.active if row["state"] == "running"]
        objects = engine.objects
        if set(objects) - set(running) or any(not objects.get(job_id, Objects(job_id)).container for job_id in running):
            again = self._try("docker", self._engine)
            objects = _agreed(objects, again.objects, running) if again else objects
        ended = self._try("docker", lambda: self._ended(objects, running)) or {}
        up = {found.container.name: found.container.id for found in objects.values() if found.container and found.container.state == "running"}
        return replace(engine, objects=objects, ended=ended, usage=self._usage(up) if self.stats else {})

    def _usage(self, up: Mapping[str, str]) -> Dict[str, Usage]:
        """As the engine measures it; what it cannot measure by the processes themselves."""
        found = self._try("docker", lambda: self.docker.usage(list(up))) or {}
        unmeasured = {name: container for name, container in up.items() if name not in found}
        return dict(process_usage(unmeasured), **found) if unmeasured else found

    def _ended(self, objects: Mapping[str, Objects], running: Sequence[str]) -> Dict[str, Optional[float]]:
        ended: Dict[str, Optional[float]] = {}
        for job_id in running:
            found = objects.get(job_id)
            if found is not None and exited(found.container):
                seen = self.docker.inspect(container_name(job_id))
                ended[job_id] = timestamp(str(seen["State"].get("FinishedAt", ""))) if seen else None
        return ended

    def _places(self, engine: Optional[Engine]) -> List[Tuple[str, str]]:
        named = [("high privacy files", self.place.high), ("medium privacy files", self.place.medium)]
        if self.place.workdir:
            named.append(("the database", self.place.workdir))
        if engine and engine.root:
            named.append(("containers and volumes", engine.root))
        return named

    def _config_findings(self) -> List[Finding]:
        if not self.place.config.files:
            return []
        checkout = self.backend_server if os.path.isdir(self.backend_server) else None
        return config_findings(self.place.config, look_around(self.place.config, checkout))

    def _last_line(self, service: Optional[ServiceState]) -> Optional[LogLine]:
        return last_log_line(self.unit) if service is not None and service.known else None


def _agreed(first: Mapping[str, Objects], second: Mapping[str, Objects], running: Sequence[str]) -> Dict[str, Objects]:
    """Of running jobs what either look saw, of others what the second one saw."""
    found = dict(second)
    for job_id in running:
        if job_id in first and not second.get(job_id, Objects(job_id)).container:
            found[job_id] = first[job_id]
    return found


def _at_least(option: str, value: float, least: float) -> float:
    if not value >= least:
        raise JobRunnerError("%s must be %g or more, not %g" % (option, least, value))
    return value

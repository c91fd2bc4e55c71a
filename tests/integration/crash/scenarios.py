# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each fix is killed in the middle of. A new fix module joins by an entry in ``SCENARIOS``; a test asks for it."""

from __future__ import annotations

import getpass
import json
import os
import stat
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.postgres import Postgres
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process, processes
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.enqueue_run import Appearing
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_act import Steward
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from conftest import Databases
from lab.fits.root import install
from lab.fits.schema import OWNER
from lab.systemd_standin.units import Units
from support import run_ok

Effect = tuple[Any, str, Callable[..., str]]
"""An object, the name of a function on it, and what to call one of its calls; empty: this call has no effect."""


@dataclass(frozen=True)
class Lab:
    """What scenarios are made of."""

    databases: Databases
    connection: dict[str, Any]
    places: dict[str, Any]
    path: Path
    patch: pytest.MonkeyPatch
    finish: Callable[[Callable[[], None]], None]
    """What a scenario leaves running is ended by what it gives to this."""
    fixture: Callable[[str], Any]
    """A fixture by its name, for scenarios that need a server of another kind."""


class Scenario(ABC):
    """One fix on one broken system, which can be looked at and put back as it was."""

    module: str
    effects: Sequence[Effect] = ()
    """Where this fix touches its system: it is killed before each call, and before whatever comes after it."""

    undoable = True
    """Otherwise an undo is refused as soon as anything was made, and changes nothing."""

    finely = True
    """Also at each write of a file, not only at the boundaries of the engine: for fixes that are quick to repeat."""

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        self.lab = lab
        self.journal_dir = journal_dir
        """The journal before the fix runs; each kill gets a copy."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Arguments of the fix, without ``journal_dir``."""

    @abstractmethod
    def undo_arguments(self) -> dict[str, Any]:
        """What runbook_undo needs to reach the same system."""

    @abstractmethod
    def dump(self) -> Any:
        """All that the fix may touch, when nobody is at it any more."""

    @abstractmethod
    def restore(self, dump: Any) -> None:
        """Back to a dump."""

    @abstractmethod
    def look(self, change: Change) -> dict[str, Any] | None:
        """The subject of a change as it is now."""

    def service(self, dump: Any) -> Any:
        """The part of a dump that must be the same after a run that was killed and repeated as after one that was not."""
        return dump


# -- FITS queues ------------------------------------------------------------------------------------------------------

QUEUES = ("ingestqueue", "exportqueue")
STAMP = "9999-12-31 23:59:59.999999"


def _statement(_postgres: Postgres, statement: Any, *_values: Any) -> str:
    text = statement if isinstance(statement, str) else repr(statement)
    return next((word for word in ("COMMIT", "DELETE", "UPDATE", "INSERT") if word in text), "")


class QueueReset(Scenario):
    """Rows to be reset and rows to be removed, in one run."""

    module = "fits_queue_reset"
    effects: Sequence[Effect] = ((Postgres, "rows", _statement),)
    generation: str
    lagging = False
    rows: Sequence[dict[str, Any]]

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.database = lab.databases(self.generation, lagging=self.lagging)
        self._connection = lab.databases.server.connect(self.database)
        for row in self.rows:
            self._insert(row)

    def _insert(self, row: dict[str, Any]) -> None:
        names = ", ".join(row)
        self._execute(f"INSERT INTO ingestqueue ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))

    def _execute(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def arguments(self) -> dict[str, Any]:
        conditions = ["failed", "orphaned", "twin", "unpoppable"]
        return {**self.undo_arguments(), **self.lab.places, "queue": "ingest", "conditions": conditions, "settle": 0}

    def undo_arguments(self) -> dict[str, Any]:
        return {**self.lab.connection, "login_db": self.database}

    def dump(self) -> Any:
        self._wait_until_alone()
        return {table: self._execute(f"SELECT to_jsonb(q) FROM {table} q ORDER BY id") for table in QUEUES}

    def restore(self, dump: Any) -> None:
        for table, rows in dump.items():
            images = json.dumps([row for (row,) in rows])
            self._execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s)", (images,))

    def look(self, change: Change) -> dict[str, Any] | None:
        found = self._execute("SELECT to_jsonb(q) FROM ingestqueue q WHERE id = %s", ((change.before or change.after or {})["id"],))
        return found[0][0] if found else None

    def _wait_until_alone(self) -> None:
        """The server takes a moment to see that a client was killed, and rolls back then."""
        deadline = time.monotonic() + 10
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        while self._execute(others, (self.database,)) != [(0,)]:
            assert time.monotonic() < deadline, "a session of the killed run is still there"
            time.sleep(0.002)


def _row(filename: str, **values: Any) -> dict[str, Any]:
    return {"filename": filename, "path": "", "inprogress": False, "sortkey": "z", "added": "2026-01-02 03:04:05", "after": "2026-01-02 03:04:05", **values}


class QueueResetC(QueueReset):
    generation = "C"
    rows = (
        _row("orphan.fits", inprogress=True, fail_dt=STAMP, force=True),
        _row("failed.fits", fail_dt="2026-01-03 00:00:00", error="it broke"),
        _row("failed.fits", fail_dt="2026-01-04 00:00:00", error="it broke again: \u00e9 'quoted' 100 %\n\ttwo lines"),
        _row("twin.fits", inprogress=True, fail_dt=STAMP),
        _row("twin.fits", fail_dt=STAMP),
        _row("never.fits", fail_dt=None),
        _row("healthy.fits", fail_dt=STAMP),
    )


class QueueResetA(QueueReset):
    generation = "A"
    lagging = True
    rows = (
        _row("orphan.fits", inprogress=True, failed=False),
        _row("failed.fits", failed=True),
        _row("twin.fits", inprogress=True, failed=False),
        _row("twin.fits", failed=False),
        _row("never.fits", failed=False, after=None),
        _row("healthy.fits", failed=False),
    )


class UndoneReset(QueueResetC):
    """A reset is taken back. What is killed, repeated and undone here is the undo."""

    module = "runbook_undo"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        reset = {**super().arguments(), "journal_dir": journal_dir}
        self.undo_id = run_ok("fits_queue_reset", reset)["undo_id"]

    def arguments(self) -> dict[str, Any]:
        return {**self.undo_arguments(), "undo_id": self.undo_id}


# -- a file is queued by upstream's script ----------------------------------------------------------------------------


class _Once:
    """A point that is passed many times is one place to die at."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_arguments: Any) -> str:
        name, self.name = self.name, ""
        return name


class Enqueue(QueueReset):
    """Two files in one run of the script, which lives on when the module is killed beside it."""

    module = "fits_enqueue"
    generation = "C"
    rows = QueueResetC.rows
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.effects = ((subprocess, "Popen", lambda *_arguments, **_named: "script"), (Appearing, "look", _Once("while the script runs")))
        self.root = install(lab.path / "root", self.generation, lab.databases.server.dsn(self.database, user=OWNER))
        for name in ("N20200804S0091.fits", "N20200804S0092.fits"):
            self.root.write_file(name)

    def arguments(self) -> dict[str, Any]:
        root = self.root
        return {
            **self.undo_arguments(),
            **self.lab.places,
            "scripts_dir": str(root.scripts),
            "storage_root": str(root.dataflow),
            "run_as": getpass.getuser(),
            "python": sys.executable,
            "pythonpath": [str(root.python_path)],
            "filename": ["N20200804S0091.fits", "N20200804S0092.fits"],
        }

    def dump(self) -> Any:
        deadline = time.monotonic() + 20
        while any(is_below(process, self.root.scripts) for process in processes()):
            assert time.monotonic() < deadline, "the script does not come to its end"
            time.sleep(0.05)
        return super().dump()

    def look(self, change: Change) -> dict[str, Any] | None:
        found = self._execute("SELECT to_jsonb(q) FROM ingestqueue q WHERE filename = %s", ((change.after or {})["filename"],))
        return found[0][0] if found else None

    def service(self, dump: Any) -> Any:
        """Ids, and the times of queueing, are those of the run that was there to see them."""
        return {table: [{**row, "id": 0, "added": "", "after": ""} if row["id"] > len(self.rows) else row for (row,) in rows] for table, rows in dump.items()}


# -- files that others copied in ----------------------------------------------------------------------------------------


class Permissions(Scenario):
    """A directory and two files that another user shut; one file that is as it should be."""

    module = "fits_permissions"
    effects: Sequence[Effect] = ((os, "chmod", lambda *_arguments: "mode"),)

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.root = lab.path / "dataflow"
        folder = self.root / "graces"
        folder.mkdir(parents=True)
        for name, mode in (("N1.fits", 0o200), ("N2.fits", 0o000), ("N3.fits", 0o644)):
            (folder / name).write_bytes(b"data")
            (folder / name).chmod(mode)
        folder.chmod(0o300)
        self.user = "nobody" if os.geteuid() == 0 else getpass.getuser()  # no mode keeps root out

    def arguments(self) -> dict[str, Any]:
        return {"path": ["graces"], "storage_root": str(self.root), "user": self.user}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        return {str(path.relative_to(self.root)): path.stat().st_mode for path in (self.root / "graces", *sorted((self.root / "graces").iterdir()))}

    def restore(self, dump: Any) -> None:
        for name, mode in dump.items():
            (self.root / name).chmod(mode)

    def look(self, change: Change) -> dict[str, Any] | None:
        info = (self.root / change.subject).stat()
        mode = f"{stat.S_IMODE(info.st_mode):04o}"
        return {"path": change.subject, "mode": mode, "uid": info.st_uid, "gid": info.st_gid, "inode": info.st_ino}


def is_below(process: Process, directory: Path) -> bool:
    return (process.script() or "").startswith(f"{directory}/")


# -- services are started, and stopped --------------------------------------------------------------------------------


class StartServices(Scenario):
    """Two services, one after the other. A restart cannot be undone; what becomes of it when it is killed is tested by itself."""

    module = "service_restart"
    effects: Sequence[Effect] = ((Steward, "ask", lambda _steward, verb, seen, _timeout: f"{verb} {seen.id}"),)
    finely = False
    wanted = "started"
    names = ("first", "second")

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.units = Units(lab.path / "systemd").create()
        path = f"{self.units.bin}:{os.environ['PATH']}"
        lab.patch.setenv("PATH", path)
        lab.finish(self.units.close)
        for name in self.names:
            self.units.define(name, ["/bin/sleep", "1000"], {"PATH": path}, restart_sec=0.2)
            if self.wanted == "stopped":
                self.units.start(name)

    def arguments(self) -> dict[str, Any]:
        return {"services": list(self.names), "state": self.wanted, "manager": "systemd", "settle": 0.1, "evidence": False}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Once nothing is on its way any more."""
        deadline = time.monotonic() + 20
        while True:
            states = {name: self.units.state(name)["ActiveState"] for name in self.names}
            if set(states.values()) <= {"active", "inactive"}:
                return states
            assert time.monotonic() < deadline, states
            time.sleep(0.02)

    def restore(self, dump: Any) -> None:
        for name, state in dump.items():
            (self.units.start if state == "active" else self.units.stop)(name)

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"active": self.dump()[change.subject[len("service:") : -len(".service")]]}


class StopServices(StartServices):
    wanted = "stopped"


from crash.deploy import DeployJobRunner  # noqa: E402
from crash.hare import SCENARIOS as HARE  # noqa: E402
from crash.jobrunner_images import LookAtVolume, LookNoMore, PullImage  # noqa: E402
from crash.jobs import (  # noqa: E402
    CancelledMaintenance,
    ClearedFlag,
    Flag,
    KilledRunning,
    KilledWaiting,
    PlannedMaintenance,
    Rebooted,
    RebootedRunning,
    Retried,
)
from crash.level4 import RemoveOutput, RemoveOutputElsewhere  # noqa: E402  it builds on what is above
from crash.libvirt import SCENARIOS as LIBVIRT  # noqa: E402
from crash.mongodb import SCENARIOS as MONGODB  # noqa: E402
from crash.motr_repair import SCENARIOS as MOTR_REPAIR  # noqa: E402
from crash.motr_requests import SCENARIOS as MOTR_REQUESTS  # noqa: E402
from crash.motr_tools import SCENARIOS as MOTR_TOOLS  # noqa: E402
from crash.pausing import SCENARIOS as PAUSING  # noqa: E402
from crash.sesam_config import SCENARIOS as SESAM  # noqa: E402
from crash.sesam_profile import SCENARIOS as SESAM_PROFILE  # noqa: E402
from crash.sesam_restart import SCENARIOS as SESAM_RESTART  # noqa: E402
from crash.setting import AddSecretSetting, RemoveSetting, ReplaceSetting  # noqa: E402
from crash.talus import SCENARIOS as TALUS  # noqa: E402

SCENARIOS: dict[str, Sequence[type[Scenario]]] = {
    "fits_enqueue": (Enqueue,),
    "fits_permissions": (Permissions,),
    "fits_queue_reset": (QueueResetA, QueueResetC),
    "jobrunner_debug": (LookAtVolume, LookNoMore),
    "jobrunner_flag": (Flag, ClearedFlag),
    "jobrunner_image": (PullImage,),
    "jobrunner_job": (KilledWaiting, KilledRunning, Retried),
    "jobrunner_maintenance": (PlannedMaintenance, CancelledMaintenance),
    "jobrunner_output_remove": (RemoveOutput, RemoveOutputElsewhere),
    "jobrunner_prepare_for_reboot": (Rebooted, RebootedRunning),
    "jobrunner_deploy": (DeployJobRunner,),
    "jobrunner_setting": (ReplaceSetting, AddSecretSetting, RemoveSetting),
    "runbook_undo": (UndoneReset,),
    "service_restart": (StartServices, StopServices),
    **HARE,
    **LIBVIRT,
    **MONGODB,
    **MOTR_REPAIR,
    **MOTR_REQUESTS,
    **MOTR_TOOLS,
    **PAUSING,
    **TALUS,
    **SESAM,
    **SESAM_PROFILE,
    **SESAM_RESTART,
}

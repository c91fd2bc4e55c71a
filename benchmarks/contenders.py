# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: the same work on the same queue, in five ways, each on a copy of its own.

A contender is a generator of steps. A step is one whole process; what it printed is sent back, so that the next step can rest on it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.fits.schema import OWNER

BIN = Path(sys.executable).parent
PACKAGE = "ansible_collections.fieldops.runbooks.plugins.modules."
STAMP = "9999-12-31 23:59:59.999999"


@dataclass(frozen=True)
class Place:
    """Where a contender works."""

    generation: str
    orphans: int
    database: str
    socket: str
    port: int
    psql: Path
    directory: Path

    @property
    def login(self) -> dict[str, Any]:
        return {"login_unix_socket": self.socket, "login_port": self.port, "login_user": OWNER, "login_db": self.database}

    @property
    def info(self) -> dict[str, Any]:
        """Arguments of fits_queue_info. Only processes, logs and lock files of this run count: other workers may live on this machine."""
        nothing = str(self.directory / "nothing")
        return {**self.login, "scripts_dir": nothing, "log_dir": [nothing], "lockfile_dir": [nothing], "queues": ["ingest"]}

    @property
    def reset(self) -> dict[str, Any]:
        """Arguments of fits_queue_reset: its defaults, but for the limit that 50,000 changes are over."""
        own = {"queue": "ingest", "max_changes": 0, "journal_dir": str(self.directory / "journal")}
        return {name: value for name, value in self.info.items() if name != "queues"} | own


@dataclass(frozen=True)
class Step:
    """One process. ``leaves`` says how the table must look after it: broken, as it was found, or mended."""

    label: str
    command: list[str]
    leaves: str
    text: str = ""
    against: str = ""
    """The label whose time the ratio is taken to."""


Steps = Generator[Step, str, None]
Contender = Callable[[Place], Steps]


class WrongAnswer(RuntimeError):
    """Something ran well and said what is not so."""


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise WrongAnswer(what)


# -- the modules, each as a process of its own ------------------------------------------------------------------------


def modules(place: Place) -> Steps:
    """As on the managed node, without Ansible around them: arguments on standard input, the result on standard output."""
    found = json.loads((yield _module("fits_queue_info", "broken", place.info)))
    expect(found["queues"]["ingest"]["orphaned"] == place.orphans, "fits_queue_info did not find the orphans")
    planned = json.loads((yield _module("fits_queue_reset", "broken", place.reset, check=True)))
    mended = json.loads((yield _module("fits_queue_reset", "mended", place.reset)))
    expect(planned["plan_sha256"] == mended["plan_sha256"] and mended["changes_total"] == place.orphans, "the repair was not what check mode said")
    idle = json.loads((yield _module("fits_queue_reset", "mended", place.reset, label="fits_queue_reset, nothing left to do")))
    expect(not idle["changed"], "the second repair changed something")
    undo = {**place.login, "undo_id": mended["undo_id"], "journal_dir": place.reset["journal_dir"], "max_changes": 0}
    yield _module("runbook_undo", "broken", undo)


def _module(name: str, leaves: str, arguments: dict[str, Any], check: bool = False, label: str = "") -> Step:
    text = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}})
    label = label or name + (", check mode" if check else "")
    return Step("module: " + label, [sys.executable, "-m", PACKAGE + name], leaves, text)


# -- the runbook's own statements -------------------------------------------------------------------------------------


def read_statements(generation: str) -> list[str]:
    """`select * from ingestqueue where filename=...` for all that is not healthy, the size of the queue, and the stored errors."""
    failed = f"fail_dt <> '{STAMP}'" if generation == "C" else "failed"
    statements = [f"select * from ingestqueue where {failed} or inprogress", "select count(*) from ingestqueue"]
    return statements if generation == "C" else [*statements, "select * from queue_error where queue='INGEST' order by added desc"]


def repair_statements(generation: str) -> list[str]:
    """`failed` and `inprogress` set to false, the latter in the spelling that the column has had in every version."""
    failed = f"fail_dt='{STAMP}', error=null where fail_dt <> '{STAMP}'" if generation == "C" else "failed=false where failed"
    return [f"update ingestqueue set {failed}", "update ingestqueue set inprogress=false where inprogress"]


def psql(place: Place) -> Steps:
    yield _psql(place, "psql: the runbook's selects", "broken", read_statements(place.generation), "module: fits_queue_info")
    yield _psql(place, "psql: the runbook's updates", "mended", repair_statements(place.generation), "module: fits_queue_reset")


def _psql(place: Place, label: str, leaves: str, statements: list[str], against: str) -> Step:
    command = [str(place.psql), "-X", "-h", place.socket, "-p", str(place.port), "-U", OWNER, "-d", place.database, "-v", "ON_ERROR_STOP=1"]
    return Step(label, command + [word for statement in statements for word in ("-c", statement)], leaves, against=against)


# -- ansible, for one task --------------------------------------------------------------------------------------------


def ad_hoc(place: Place) -> Steps:
    yield _task(place, "broken", "ansible.builtin.ping", {}, label="ping")
    yield _task(place, "broken", "fieldops.runbooks.fits_queue_info", place.info)
    yield _task(place, "broken", "fieldops.runbooks.fits_queue_reset", place.reset, "--check", label="fits_queue_reset, check mode")
    yield _task(place, "mended", "fieldops.runbooks.fits_queue_reset", place.reset)
    yield _task(place, "mended", "fieldops.runbooks.fits_queue_reset", place.reset, label="fits_queue_reset, nothing left to do")


def _task(place: Place, leaves: str, module: str, arguments: dict[str, Any], *options: str, label: str = "") -> Step:
    label = label or module.rpartition(".")[2]
    command = [str(BIN / "ansible"), "localhost", "-i", _inventory(place), "-m", module, *options]
    command += ["-a", json.dumps(arguments)] if arguments else []
    return Step("ansible: " + label, command, leaves, against="" if label == "ping" else "ansible: ping")


def _inventory(place: Place) -> str:
    path = place.directory / "hosts.json"
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    path.write_text(json.dumps({"all": {"hosts": {"localhost": variables}}}), encoding="utf-8")
    return str(path)


# -- ansible-playbook: read and repair --------------------------------------------------------------------------------


def our_playbook(place: Place) -> Steps:
    tasks = [
        {"name": "Read the queue", "fieldops.runbooks.fits_queue_info": place.info},
        {"name": "Mend the queue", "fieldops.runbooks.fits_queue_reset": place.reset},
    ]
    yield _playbook(place, "playbook: our two modules", tasks, "")


def community_playbook(place: Place) -> Steps:
    query = "community.postgresql.postgresql_query"
    tasks = [
        {"name": "Read the queue", query: {**place.login, "query": read_statements(place.generation)}},
        {"name": "Mend the queue", query: {**place.login, "query": repair_statements(place.generation)}},
    ]
    yield _playbook(place, "playbook: postgresql_query, select and update", tasks, "playbook: our two modules")


def _playbook(place: Place, label: str, tasks: list[dict[str, Any]], against: str) -> Step:
    path = place.directory / "play.json"
    path.write_text(json.dumps([{"name": "Ingest queue", "hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return Step(label, [str(BIN / "ansible-playbook"), "-i", _inventory(place), str(path)], "mended", against=against)


CONTENDERS: tuple[Contender, ...] = (modules, psql, ad_hoc, our_playbook, community_playbook)

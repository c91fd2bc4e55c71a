# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of a fleet, each by itself: how it is made, what a sweep calls it, how its users see it, and what mends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.fits.sample_files import sample
from lab.hosts.backend_host import BackendHost
from lab.hosts.fits_host import DATAFLOW, FitsHost
from lab.hosts.fleet import QUICK
from lab.hosts.laboratory import Lab
from lab.hosts.motr_host import SERVED, MotrHost
from lab.hosts.sesam_host import DATA, SesamHost
from lab.hosts.talus_host import TalusHost

FILE = "S20200804S0091.fits"
FAILED = "N20200804S0092.fits"
SCHEDULER_OFF = {"task_manager": {"disable_pump_scheduler": True}}


@dataclass(frozen=True)
class Fault:
    """``undo`` is in the id of the run that mends it, where taking that run back gives the fault back."""

    host: str
    code: str
    make: Callable[[Any], Any]
    broken: Callable[[Any], bool]
    undo: str = ""


def a_worker_fails(server: FitsHost) -> None:
    """At a file that is well, as after an error that has passed."""
    server.failed("ingest", FAILED, sample())
    server.heal()


def the_slave_dies(server: TalusHost) -> None:
    """And systemd does not start it again."""
    server.stay_dead("slave")
    server.kill_daemon("slave")


def answers(server: SesamHost) -> bool:
    """Whether the node's API does."""
    try:
        return bool(server.ask("GET", "/health", timeout=5)[0] == 200)
    except OSError:
        return False


FAULTS = {
    "job-runner is paused": Fault(
        "backend",
        "jobrunner.flag.paused",
        lambda server: server.paused(),
        lambda server: (server.jobs("flags").get("paused") or [None])[0] == "true",
        "jobrunner_flag",
    ),
    "job-runner is stopped": Fault(
        "backend", "jobrunner.service.stopped", lambda server: server.stop(), lambda server: server.unit("ActiveState")["ActiveState"] != "active"
    ),
    "the web site is down": Fault(
        "fits-c", "fits.website.unit.inactive", lambda server: server.systemctl("stop", server.web_unit), lambda server: server.ask("")[0] != 200
    ),
    "requests are refused": Fault("motr", "motr.requests.stopped", lambda server: server.stop_requests(), lambda server: server.ask_m0d() != SERVED),
    "a drive has failed": Fault("motr", "hare.drive.not_online", lambda server: server.drive("failed"), lambda server: server.drive_state != "online"),
    "a file has failed": Fault("fits-c", "fits.ingest.failed", a_worker_fails, lambda server: bool(server.row("ingest", FAILED))),
    "a slave is dead": Fault("talus-master", "talus.daemon.missing", the_slave_dies, lambda server: not server.works(("slave",))["slave"]),
    "nothing can be saved": Fault(
        "talus-master", "talus.database.no_primary", lambda server: server.stepped_down(), lambda server: not server.works(("db",))["db"]
    ),
    "a node is frozen": Fault("sesam", "sesam.api.frozen", lambda server: server.freeze_process(), lambda server: not answers(server)),
    "the scheduler would stay off": Fault(
        "sesam",
        "sesam.startup_options.left",
        lambda server: server.host.put(json.dumps(SCHEDULER_OFF).encode(), f"{DATA}/startup_options.json"),
        lambda server: "disable_pump_scheduler" in (server.startup_options() or {}).get("task_manager", {}),
    ),
}
SAID = {**QUICK, "motr_hare_state": "online", "motr_hare_expected": "failed", "sesam_scheduler_take_over": True}
SERVERS: dict[str, Callable[[Any], Any]] = {"backend": BackendHost, "fits-c": FitsHost, "motr": MotrHost, "sesam": SesamHost, "talus-master": TalusHost}


def up(lab: Lab, names: list[str]) -> dict[str, Any]:
    """The servers of these names, whole."""
    servers = {name: SERVERS[name](lab.up(name)) for name in names}
    for server in servers.values():
        server.mend()
    return servers


def seed(servers: dict[str, Any]) -> None:
    """Data that no fault and no remedy may touch."""
    if "backend" in servers:
        servers["backend"].add_job("succeeded", "succeeded")
        servers["backend"].add_job("failed", "nonzero_exit")
        servers["backend"].output("ws", "output/kept.csv")
    if "fits-c" in servers:
        servers["fits-c"].file(FILE, b"kept")
    if "talus-master" in servers:
        servers["talus-master"].seed()


def data(servers: dict[str, Any]) -> dict[str, Any]:
    """What of it is there, by name."""
    found: dict[str, Any] = {}
    if "backend" in servers:
        rows = servers["backend"].rows()
        found.update({f"backend: job {name}": (row["state"], row["status_code"]) for name, row in rows.items()})
        found["backend: files"] = _files(servers["backend"], "/srv/high_privacy /srv/medium_privacy")
    if "fits-c" in servers:
        found["fits-c: files"] = _files(servers["fits-c"], DATAFLOW)
    if "talus-master" in servers:
        for kind in ("os", "code", "image", "task", "job"):
            found.update({f"talus-master: {kind} {document['_id']}": document.get("name", kind) for document in servers["talus-master"].find(kind)})
    if "sesam" in servers:
        text = json.dumps(servers["sesam"].ask("GET", "/config", timeout=30), sort_keys=True)
        found["sesam: configuration"] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _files(server: Any, below: str) -> str:
    """Names and contents of what the soak has put there."""
    return str(
        server.host.run(
            ["sh", "-c", f"find {below} -type f \\( -name kept.csv -o -name {FILE} \\) -exec sha256sum {{}} + 2>/dev/null | sort"], check=False
        ).stdout
    )

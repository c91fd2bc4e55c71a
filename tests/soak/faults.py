# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of a fleet, each by itself: how it is made, what a sweep calls it, how its users see it, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.hosts.backend_host import BackendHost
from lab.hosts.fits_host import FitsHost
from lab.hosts.laboratory import Lab
from lab.hosts.motr_host import SERVED, MotrHost

FILE = "S20200804S0091.fits"


@dataclass(frozen=True)
class Fault:
    """``undo`` is in the id of the run that mends it, where taking that run back gives the fault back."""

    host: str
    code: str
    make: Callable[[Any], Any]
    broken: Callable[[Any], bool]
    undo: str = ""


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
}
SAID = {"motr_hare_state": "online", "motr_hare_expected": "failed", "fits_web_timeout": 5}
SERVERS: dict[str, Callable[[Any], Any]] = {"backend": BackendHost, "fits-c": FitsHost, "motr": MotrHost}


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


def data(servers: dict[str, Any]) -> dict[str, Any]:
    """What of it is there, by name."""
    found: dict[str, Any] = {}
    if "backend" in servers:
        rows = servers["backend"].rows()
        found.update({f"backend: job {name}": (row["state"], row["status_code"]) for name, row in rows.items()})
        found["backend: files"] = _files(servers["backend"], "/srv/high_privacy /srv/medium_privacy")
    if "fits-c" in servers:
        found["fits-c: files"] = _files(servers["fits-c"], "/data")
    return found


def _files(server: Any, below: str) -> str:
    """Names and contents of what the soak has put there."""
    return str(
        server.host.run(
            ["sh", "-c", f"find {below} -type f \\( -name kept.csv -o -name {FILE} \\) -exec sha256sum {{}} + 2>/dev/null | sort"], check=False
        ).stdout
    )

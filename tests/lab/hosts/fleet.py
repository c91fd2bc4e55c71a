# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of every system, and two faults for each of them at once.

with Lab() as lab:
    fleet = Fleet.up(lab)
    fleet.break_everything()
    fleet.broken()                           # what their users would complain of
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab.hosts.backend_host import BackendHost
from lab.hosts.fits_host import FitsHost
from lab.hosts.laboratory import Lab
from lab.hosts.motr_host import SERVED, MotrHost
from lab.hosts.sesam_host import DATA, SesamHost
from lab.hosts.talus_host import TalusHost

FILE = "S20200804S0091.fits"
REMEDIES = {
    "fits.ingest.failed": "fits_ingest_queue",
    "fits.website.unit.inactive": "fits_website",
    "talus.database.no_primary": "talus_replica_set",
    "talus.daemon.missing": "talus_daemon_restart",
    "sesam.api.frozen": "sesam_frozen",
    "sesam.startup_options.left": "sesam_scheduler",
    "jobrunner.service.stopped": "jobrunner_after_restart",
    "jobrunner.flag.paused": "jobrunner_pause",
    "motr.requests.stopped": "motr_requests",
    "hare.drive.not_online": "motr_hare",
}
"""What is broken, by what a sweep calls it, and the playbook that mends it."""
SAID = {
    "remediate_codes": list(REMEDIES),
    "motr_hare_state": "online",
    "motr_hare_expected": "failed",
    "sesam_scheduler_take_over": True,
}
"""What a person has to say to have it mended: that these are wanted, that the drive is well, and that nobody needs the scheduler to be off."""
QUICK = {
    "fits_web_timeout": 5,
    "sesam_request_timeout": 3,
    "sesam_settle": 3,
    "sesam_stop_timeout": 5,
    "sesam_stacktrace_interval": 1,
    "sesam_stacktrace_timeout": 10,
    "sesam_scheduler_settle": 3,
    "talus_daemon_settle": 3,
    "talus_settle": 1,
    "talus_start_timeout": 240,
}
"""For hosts that are small and near."""


@dataclass
class Fleet:
    """Five hosts."""

    fits: FitsHost
    talus: TalusHost
    sesam: SesamHost
    backend: BackendHost
    motr: MotrHost

    @classmethod
    def up(cls, lab: Lab) -> Fleet:
        """All of them, brought up where they are not."""
        talus, sesam = TalusHost(lab.up("talus-master")), SesamHost(lab.up("sesam"))
        sesam.wait_up()
        return cls(FitsHost(lab.up("fits-c")), talus, sesam, BackendHost(lab.up("backend")), MotrHost(lab.up("motr")))

    @property
    def all(self) -> tuple[FitsHost, TalusHost, SesamHost, BackendHost, MotrHost]:
        return (self.fits, self.talus, self.sesam, self.backend, self.motr)

    def break_everything(self) -> None:
        """The web site of FITS Storage is down, and a worker has failed at a file. Talus' slave has died, and its database has stepped down.
        Sesam's node hangs, and would come back with its scheduler off. job-runner is stopped, and paused. A process of Motr refuses requests,
        and a drive of it has failed.
        """
        self.fits.failed("ingest", FILE, b"no FITS file at all")
        self.fits.heal()
        self.fits.systemctl("stop", self.fits.web_unit)
        self.talus.stay_dead("slave")
        self.talus.kill_daemon("slave")
        self.talus.stepped_down()
        options = {"task_manager": {"disable_pump_scheduler": True}}
        self.sesam.host.put(json.dumps(options).encode(), f"{DATA}/startup_options.json")
        self.sesam.freeze_process()
        self.backend.paused()
        self.backend.stop()
        self.motr.stop_requests()
        self.motr.drive("failed")

    def broken(self) -> list[str]:
        """What does not work, as users see it."""
        switches: dict[str, Any] = (self.sesam.startup_options() or {}).get("task_manager", {})
        works = {
            "the web site answers": self.fits.ask("")[0] == 200,
            "the file has been taken in": not self.fits.row("ingest", FILE),
            "all parts of Talus work": all(self.talus.works().values()),
            "the node's API answers": self._node_answers(),
            "pipes start after a restart of the node": "disable_pump_scheduler" not in switches,
            "job-runner runs": self.backend.unit("ActiveState")["ActiveState"] == "active",
            "new jobs are started": (self.backend.jobs("flags").get("paused") or [None])[0] != "true",
            "Motr serves requests": self.motr.ask_m0d() == SERVED,
            "the drive is in use": self.motr.drive_state == "online",
        }
        return [what for what, so in works.items() if not so]

    def _node_answers(self) -> bool:
        try:
            return self.sesam.ask("GET", "/health", timeout=5)[0] == 200
        except OSError:
            return False


__all__ = ["FILE", "QUICK", "REMEDIES", "SAID", "Fleet"]

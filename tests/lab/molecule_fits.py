# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts with systemd of the molecule scenario fits_hosts, between its steps.

python tests/lab/molecule_fits.py start INVENTORY.json    fits-a, fits-c and archive; returns when they serve
python tests/lab/molecule_fits.py break INVENTORY.json    services that are down or deaf, rows that nobody serves, a file that cannot be read
python tests/lab/molecule_fits.py look INVENTORY.json     JSON: what users would see
python tests/lab/molecule_fits.py stop INVENTORY.json     nothing is left; no error if nothing runs
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.fits.sample_files import sample
from lab.hosts import Lab, runs
from lab.hosts.fits_host import DATAFLOW, FitsHost

NAMES = ("fits-a", "fits-c", "archive")
RUN = "molecule"
TODAY = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
SHUT = f"N{TODAY}G0001.fits"  # an observer copied it, for nobody else to read
LOST = f"N{TODAY}S0001.fits"  # its ingest failed
STUCK = f"N{TODAY}S0002.fits"  # a worker died with it in its hands


def hosts() -> dict[str, FitsHost]:
    """The hosts that were started."""
    lab = Lab(runs.kept(RUN))
    return {name: FitsHost(lab.up(name)) for name in NAMES}


def start(inventory: Path) -> None:
    """Bring them up, and say how they are reached."""
    lab = Lab(runs.keep(RUN))
    for name in NAMES:
        lab.up(name)
    inventory.write_text(json.dumps(lab.inventory()["all"]["hosts"]), encoding="utf-8")


def break_(_inventory: Path) -> None:
    """Each host in its own way."""
    found = hosts()
    old, new, archive = (found[name] for name in NAMES)
    old.systemctl("stop", old.web_unit)
    old.unreadable(SHUT, sample(date=TODAY))
    old.failed("ingest", LOST, sample(date=TODAY), "no end card found")
    old.heal()
    new.orphan("ingest", STUCK, sample(date=TODAY))
    new.systemctl("stop", new.api_unit, "fits-copy_from_dhs.service")
    archive.systemctl("stop", "fits-service_ingest_queue*")


def look(_inventory: Path) -> None:
    """The web sites, the files and where they are, the units that do not run."""
    found = hosts()
    seen: dict[str, Any] = {}
    for name, fits in found.items():
        units = fits.host.run(["sh", "-c", "systemctl list-unit-files --state=enabled --no-legend 'fits-*' | cut -d' ' -f1"]).stdout.split()
        down = [unit for unit in units if not fits.host.active(unit)]
        arrived = {file: bool(fits.jsonfilelist(file)) for file in (SHUT, LOST, STUCK)} if not down else {}
        seen[name] = {"web": fits.ask("")[0], "down": down, "files": arrived}
    mode = found["fits-a"].host.run(["stat", "-c", "%a", f"{DATAFLOW}/graces/{SHUT}"]).stdout.strip()
    print(json.dumps({"hosts": seen, "mode": mode}))


def stop(inventory: Path) -> None:
    """Take all of it down."""
    if runs.kept_token(RUN) is not None:
        runs.kept(RUN).close()
    runs.sweep()
    inventory.unlink(missing_ok=True)


STEPS: dict[str, Callable[[Path], None]] = {"start": start, "break": break_, "look": look, "stop": stop}

if __name__ == "__main__":
    STEPS[sys.argv[1]](Path(sys.argv[2]))

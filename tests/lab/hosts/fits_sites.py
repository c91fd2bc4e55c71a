# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`fits-a` (the runbook's era), `fits-c` (the rewrite) and `archive` (the rewrite; what the other two export to).

What a test does with them: `lab.hosts.fits_host`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from lab.hosts.host import Host
from lab.hosts.sites import Site, register

LAB = Path(__file__).resolve().parents[1]
CODE = "/usr/local/lib/fieldops-lab"
PARTS = ("__init__.py", "keeper.py", "procfs.py", "fits")
DECIDES = (
    *("host_rows.py", "host_setup.py", "host_tls.py", "overlay", "opt", "root.py", "schema.py", "sql", "standin"),
    *("faults.py", "procs.py", "workers.py"),
)
ARCHIVE = "https://archive"
CA_CERT = "/usr/local/share/ca-certificates/lab-ca.crt"


def setup(host: Host, **plan: Any) -> None:
    """Once: the laboratory's code goes to the host, and makes a server of it."""
    for part in PARTS:
        host.put(LAB / part, f"{CODE}/lab/{part}")
    code(host, "host_setup", json.dumps({"name": host.name, **plan}), timeout=300.0)


def code(host: Host, module: str, *arguments: str, user: str | None = None, stdin: str | None = None, timeout: float = 120.0) -> str:
    """Run a module of lab.fits on the host."""
    environment = {"PYTHONPATH": CODE, "PYTHONDONTWRITEBYTECODE": "1"}
    return host.run(["python3", "-m", f"lab.fits.{module}", *arguments], user=user, input=stdin, env=environment, timeout=timeout).stdout


def ready(host: Host) -> None:
    """At each start: every unit runs, and the web site answers."""
    wanted = host.run(["sh", "-c", "systemctl list-unit-files --state=enabled --no-legend 'fits-*' | cut -d' ' -f1"]).stdout.split()
    host.wait_for(lambda: host.run(["systemctl", "is-active", "--quiet", *wanted], check=False).returncode == 0, f"{', '.join(wanted)} are active", 60)
    host.wait_for(lambda: _answers(host), "the web site answers", 60)


def _answers(host: Host) -> bool:
    url = f"{'https' if host.exists('/opt/uwsgi') else 'http'}://localhost/jsonfilelist/present/filename=none"
    return host.run(["curl", "--silent", "--fail", "--max-time", "5", url], check=False).stdout.strip() == "[]"


def _register(name: str, group: str, generation: str, variables: dict[str, Any], **plan: Any) -> None:
    register(
        name,
        Site(
            kind="fits",
            setup=functools.update_wrapper(functools.partial(setup, generation=generation, **plan), setup),
            files=(*(LAB / "fits" / part for part in DECIDES), *(LAB / part for part in PARTS[:-1])),
            ready=ready,
            groups=(group,),
            variables={
                "fits_peer_user": "fitsdata",
                "fits_scripts_dir": "/opt/FitsStorage/fits_storage/scripts",
                "fits_web_ca_cert": CA_CERT,
                **variables,
            },
            ports=(80, 443),
        ),
    )


FITS = {"fits_archive_url": ARCHIVE, "fits_sources": ["dhs", "visiting"]}
SOURCELESS = {"fits_sources": [], "fits_site": "archive", "fits_dhs_dir": ""}
_register("fits-a", "fits_servers", "A", FITS, destinations=[ARCHIVE])
_register("fits-c", "fits_servers", "C", FITS, destinations=[ARCHIVE])
_register("archive", "archive_servers", "C", SOURCELESS, archive=True)

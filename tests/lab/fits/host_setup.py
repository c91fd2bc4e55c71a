# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a FITS server or an archive of a Debian host with systemd. Runs on that host, as root, with the system's Python.

    PYTHONPATH=... python3 -m lab.fits.host_setup '{"name": "fits-a", "generation": "A", "destinations": ["https://archive"]}'

Afterwards every unit is enabled, none of FITS Storage's runs, and the database is stopped: what is on the disk is whole.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.fits import host_tls, schema
from lab.fits.root import install

OVERLAY = Path(__file__).with_name("overlay")
NET = ("net/mkovisdata/home/alopeke", "net/cpostonfs-nv1/tier2/ins/sto/zorro", "net/cpostonfs-nv1/tier2/ins/sto/igrins/DATA")
DATAFLOW = ("graces", "alopeke", "alopeke/20201023", "zorro", "zorro/20201023", "igrins", "skycam", "obslogs", "masks")
CONDA = Path("/opt/miniforge3/envs/fitsdata/bin")


@dataclass
class Plan:
    """What is wanted."""

    name: str
    generation: str
    destinations: list[str] = field(default_factory=list)
    archive: bool = False
    archive_url: str = "https://archive"

    @property
    def web_user(self) -> str:
        """Whom the web application runs as, and connects to the database as."""
        return "fitsweb" if self.generation == "C" else "apache"

    @property
    def units(self) -> list[str]:
        """Units of this host; an archive copies from nowhere."""
        found = sorted(path.name for path in (OVERLAY / self.generation / "etc/systemd/system").glob("*.service"))
        return ["lab-smtp.service", *(unit for unit in found if not (self.archive and "copy_from" in unit))]


def make(plan: Plan) -> None:
    """Everything, in order."""
    _users(plan)
    _directories(plan)
    _programs(plan)
    _database(plan)
    host_tls.renew([plan.name, f"{plan.name}.example.org", "localhost"])
    crontab = Path("/etc/lab/crontab")
    _run("crontab", "-u", "fitsdata", str(crontab))
    shutil.rmtree(crontab.parent)
    _run("systemctl", "daemon-reload")
    _run("systemctl", "--quiet", "disable", "apache2.service", "nginx.service")
    _run("systemctl", "--quiet", "enable", "postgresql.service", *plan.units)
    _run("systemctl", "stop", "postgresql.service")
    os.sync()


def _run(*argv: str, stdin: str | None = None) -> None:
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr or done.stdout}")


def _users(plan: Plan) -> None:
    _run("groupadd", "--force", "geminidata")
    for user, groups in (("fitsdata", "geminidata"), (plan.web_user, ""), ("observer", "geminidata")):
        try:
            pwd.getpwnam(user)
        except KeyError:
            _run("useradd", "--create-home", "--shell", "/bin/bash", "--groups", groups, user)


def _directories(plan: Plan) -> None:
    """`graces` takes files from whoever observes; their permissions are their own affair."""
    _directory("/data", "fitsdata:fitsdata")
    for name in ("logs", "locks", "backups"):
        _directory(f"/data/{name}", "fitsdata:fitsdata")
    _directory("/data/upload_staging", f"{plan.web_user}:fitsdata", 0o2775)
    for path in ("/sci/dataflow", "/sci/dhs", *(f"/sci/dataflow/{name}" for name in DATAFLOW)):
        _directory(path, "fitsdata:geminidata", 0o2775)
    for name in NET:
        _directory(f"/{name}", "observer:geminidata")
    _directory("/opt/DRAGONS", "root:root")
    if plan.generation == "C":
        _directory("/opt/uwsgi", "fitsweb:fitsweb")
    else:
        _directory("/opt/modwsgi-default", "root:root")


def _directory(path: str, owner: str, mode: int = 0o755) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    user, group = owner.split(":")
    shutil.chown(path, user, group)
    os.chmod(path, mode)


def _programs(plan: Plan) -> None:
    for layer in ("all", plan.generation, *(["archive"] if plan.archive else [])):
        shutil.copytree(OVERLAY / layer, "/", dirs_exist_ok=True)
    for unit in Path("/etc/systemd/system").glob("fits-copy_from_*.service"):
        if unit.name not in plan.units:
            unit.unlink()
    if plan.generation == "C":
        CONDA.mkdir(parents=True, exist_ok=True)
        for name, target in (("python3", "/usr/bin/python3"), ("uwsgi", "/usr/bin/uwsgi-core")):
            (CONDA / name).unlink(missing_ok=True)
            (CONDA / name).symlink_to(target)
    old = {"min_dhs_age_seconds": 1, "upload_staging_path": "/data/upload_staging", "smtp_server": "localhost", "fits_servername": "localhost"}
    new = {
        "dhs_perm": "/sci/dhs",
        "min_dhs_age_seconds": 1,
        "upload_staging_dir": "/data/upload_staging",
        "smtp_server": "localhost",
        "email_from": "fitsdata@example.org",
        "fits_server_name": "localhost",
        "is_archive": plan.archive,
    }
    # Faster than the field's, so that nobody waits: looks at queues and directories, and the age that a file must have.
    install(
        "/",
        plan.generation,
        "postgresql:///fitsdata",
        destinations=tuple(plan.destinations),
        defer=1,
        python="/usr/bin/python3",
        config=new if plan.generation == "C" else old,
        real=True,
        strict=True,
        idle=0.5,
        error_sleep=1.0,
        scan=1.0,
        visitor_scan=2.0,
        archive_url=plan.archive_url,
    )


def _database(plan: Plan) -> None:
    """Everybody is known by the name of the user who asks, as Debian's configuration has it."""
    _run("systemctl", "start", "postgresql.service")
    deadline = time.monotonic() + 60
    while subprocess.run(["pg_isready", "--quiet"], check=False).returncode:
        if time.monotonic() > deadline:
            sys.exit("PostgreSQL does not answer")
        time.sleep(0.1)
    web = plan.web_user
    roles = schema.roles_sql() + (f"CREATE ROLE {web} LOGIN;" if web != schema.WEB else "")
    grants = f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {web};"
    if plan.generation == "C":
        grants += f"GRANT INSERT ON fileopsqueue TO {web}; GRANT USAGE ON SEQUENCE fileopsqueue_id_seq TO {web};"
    _sql("postgres", roles)
    _sql("postgres", f"CREATE DATABASE fitsdata OWNER {schema.OWNER} TEMPLATE template0;")
    _sql("fitsdata", schema.ddl(plan.generation) + grants)


def _sql(database: str, text: str) -> None:
    _run("runuser", "-u", "postgres", "--", "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", database, stdin=text)


if __name__ == "__main__":
    make(Plan(**json.loads(sys.argv[1])))

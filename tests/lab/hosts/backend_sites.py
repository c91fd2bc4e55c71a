# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`backend`: a host that runs job-runner, with an engine of its own inside. What a test does with it: `lab.hosts.backend_host`."""

from __future__ import annotations

from pathlib import Path

from lab.engine import busybox_root
from lab.hosts.host import Host
from lab.hosts.sites import Site, register
from lab.jobrunner.jobs import IMAGES, REGISTRY

LAB = Path(__file__).resolve().parents[1]
CODE = "/usr/local/lib/fieldops-lab"
PARTS = ("__init__.py", "keeper.py", "procfs.py", "jobrunner")
DECIDES = ("overlay", "backend-server", "standin", "host_setup.py", "host_jobs.py", "jobs.py", "rows.py", "jobserver.py", "lab_secrets.py")


def setup(host: Host) -> None:
    """Once: the laboratory's code goes to the host, and makes a backend of it."""
    for part in PARTS:
        host.put(LAB / part, f"{CODE}/lab/{part}")
    code(host, "host_setup", timeout=300.0)


def code(host: Host, module: str, user: str | None = None, stdin: str | None = None, timeout: float = 120.0) -> str:
    """Run a module of lab.jobrunner on the host."""
    environment = {"PYTHONPATH": CODE, "PYTHONDONTWRITEBYTECODE": "1"}
    return host.run(["python3", "-m", f"lab.jobrunner.{module}"], user=user, input=stdin, env=environment, timeout=timeout).stdout


def ready(host: Host) -> None:
    """At each start: the engine has the images of jobs (they are not on the host's disk), git knows the files as they lie now, the service runs."""
    host.run(["sh", "/var/lib/lab-backend/refresh.sh"])
    host.wait_for(lambda: host.active("docker"), "the engine runs", 60)
    first, *others = (f"{REGISTRY}/{image}" for image in IMAGES)
    change = ["--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin"]
    host.run(["docker", "import", *change, "-", first], input=busybox_root())
    for name in others:
        host.run(["docker", "tag", first, name])
    host.wait_for(lambda: host.active("lab-jobserver") and host.active("jobrunner"), "job-runner runs", 90)


register(
    "backend",
    Site(
        kind="backend",
        setup=setup,
        files=(*(LAB / "jobrunner" / part for part in DECIDES), *(LAB / part for part in PARTS[:-1])),
        ready=ready,
        groups=("jobrunner_backends",),
        options=("--volume=/var/lib/docker",),
    ),
)

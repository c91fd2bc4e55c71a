# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`talus-master`: a master of Talus with a slave on it, and an engine of its own inside. What a test does with it: `lab.hosts.talus_host`.

`talus-slave` is another slave, on a host that runs virtual machines. It looks for its master under the name `talus-master` and never again if that is
not there, so it is brought up after it.
"""

from __future__ import annotations

import importlib.util
import json
import textwrap
from pathlib import Path
from typing import Any

from lab.hosts import libvirt_machines, libvirt_sites
from lab.hosts.common import LabError
from lab.hosts.host import Host
from lab.hosts.sites import Site, register
from lab.mongo import binaries

LAB = Path(__file__).resolve().parents[1]
CODE = "/usr/local/lib/fieldops-lab"
PACKAGES = "/usr/local/lib/python3.11/dist-packages"
PARTS = ("amqp", "initiate", "master", "network", "on_host", "probes", "seeds", "settings", "slave", "web", "__init__")
DRIVER = ("pymongo", "bson", "gridfs")
EXECUTABLE = "/home/talus/talus/src/*/bin/* /home/talus/talus/src/*/startup.sh /home/talus/talus/src/web/apache2ctl /usr/local/bin/talus-slave"


def _package(name: str) -> Path:
    """Where this environment has a package: the same goes to the host, where Debian's is too old for the modules."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LabError(f"the laboratory needs the Python package {name}")
    return Path(spec.submodule_search_locations[0])


def _code(host: Host) -> None:
    """The laboratory's code, and the driver."""
    host.put(LAB / "__init__.py", f"{CODE}/lab/__init__.py")
    for part in PARTS:
        host.put(LAB / f"talus/{part}.py", f"{CODE}/lab/talus/{part}.py")
    for name in DRIVER:
        host.put(_package(name), f"{PACKAGES}/{name}")
    host.put(f"{CODE}\n".encode(), f"{PACKAGES}/fieldops-lab.pth")


def setup(host: Host) -> None:
    """Once: the laboratory's code, the database's program and Talus itself go to the host."""
    _code(host)
    host.put(binaries.mongod("6.0"), "/opt/mongo/bin/mongod", mode=0o755)
    host.put(LAB / "talus/overlay", "/")
    script = f"""
        chmod 0755 {EXECUTABLE} /usr/local/sbin/lab-virbr2
        useradd --no-create-home --home-dir /home/talus --shell /bin/bash talus
        chown --recursive talus:talus /home/talus
        mkdir -p /talus/data /talus/install /talus/talus_code_cache/code /var/lib/libvirt/images /var/log/talus /root/.vagrant.d/boxes
        git init --quiet --bare /talus/talus_code.git
        mkdir -p /var/lib/lab-talus
        cp --archive /home/talus/talus/src /etc/talus-lab /var/lib/lab-talus/
        mkdir /var/lib/lab-talus/units
        cp --archive /etc/systemd/system/*talus*.service /var/lib/lab-talus/units/
        systemctl daemon-reload
        systemctl --quiet enable containerd docker.socket docker lab-virbr2
        """
    host.run(["sh", "-e", "-c", textwrap.dedent(script)])


def setup_slave(host: Host) -> None:
    """Once: what runs machines, and the daemon beside it."""
    libvirt_sites.setup(host)
    _code(host)
    for path in ("home/talus/talus/src/slave", "usr/local/bin/talus-slave", "etc/systemd/system/talus-slave.service", "var/lib/lab-talus/decoys"):
        host.put(LAB / "talus/overlay" / path, f"/{path}")
    script = """
        chmod 0755 /home/talus/talus/src/slave/bin/* /usr/local/bin/talus-slave
        mkdir -p /etc/talus-lab /var/log/talus
        systemctl daemon-reload
        systemctl --quiet enable talus-slave
        """
    host.run(["sh", "-e", "-c", textwrap.dedent(script)])


def call(host: Host, name: str, *arguments: Any, timeout: float = 600.0, **options: Any) -> Any:
    """A function of lab.talus.on_host or lab.talus.probes, on the host; what it returned."""
    environment = {"PYTHONPATH": CODE, "PYTHONDONTWRITEBYTECODE": "1"}
    stdin = json.dumps([name, arguments, options])
    return json.loads(host.run(["python3", "-m", "lab.talus.on_host"], input=stdin, env=environment, timeout=timeout).stdout)


def ready(host: Host) -> None:
    """At each start: the engine has the images (they are not on the host's disk), and everything runs, started in order."""
    host.wait_for(lambda: host.active("docker"), "the engine runs", 60)
    call(host, "images")
    host.run(["sh", "-c", "cd /etc/systemd/system && systemctl --quiet enable *talus*.service"])
    call(host, "up")


def ready_slave(host: Host) -> None:
    """At each start: Talus' network is there, and the daemon runs, be its master there or not."""
    libvirt_sites.ready(host)
    host.run(["systemctl", "reset-failed", "talus-slave.service"], check=False)
    host.run(["systemctl", "restart", "talus-slave.service"])


OURS = (LAB / "talus/overlay", *(LAB / f"talus/{part}.py" for part in PARTS), _package("pymongo") / "_version.py")

register(
    "talus-master",
    Site(
        kind="talus",
        setup=setup,
        files=(*OURS, LAB / "mongo/binaries.py"),
        ready=ready,
        groups=("talus_masters", "talus_slaves"),
        variables={"talus_libvirt": False},  # it has none
        options=("--volume=/var/lib/docker",),
    ),
)

register(
    "talus-slave",
    Site(
        kind="talus-slave",
        setup=setup_slave,
        files=(*OURS, Path(libvirt_sites.__file__), Path(libvirt_machines.__file__)),
        ready=ready_slave,
        groups=("talus_slaves",),
    ),
)

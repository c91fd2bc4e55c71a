# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the laboratory: containers with systemd as PID 1, on a Docker engine that answers or on one of our own.

    from lab.hosts import Lab

    with Lab() as lab:                           # finds or starts the engine; at the end all that was made is gone
        host = lab.up("fits-c")                  # a site by name (lab.hosts.sites); the host that runs already, if one does
        other = lab.up("anything", kind="bare")  # an image kind without a setup: a folder below lab/hosts/images
        host.run(["systemctl", "is-active", "cron"], check=False).stdout
        host.run(["psql"], user="postgres", input="SELECT 1", env={"PGDATABASE": "fitsdata"}, timeout=60.0)
        host.put(b"text", "/etc/some.conf", owner="root:adm", mode=0o640)
        host.put(Path("folder"), "/opt/place", owner="fitsdata")       # what is in the folder, into the place
        host.read("/etc/hostname")               # bytes
        host.exists("/run/lock")
        host.wait_for(lambda: host.active("cron"), "cron is active", timeout=30)
        host.address                             # in the laboratory's network, where `fits-c` and `archive` are names
        host.port(8443)                          # the loopback port of this machine where 8443 was published (Site.ports)
        host.ansible_vars()                      # the docker connection; host.ssh_vars() real ssh as user `ops`, who has sudo
        lab.inventory()                          # of all hosts, with the sites' groups and variables
        lab.down("anything")

A site is declared in a module `lab/hosts/<anything>_sites.py`, which is found by its name:

    from lab.hosts.sites import Site, register

    register("fits-c", Site(kind="fits", setup=install, files=(Path(...),), ready=wait_until_serving, groups=("fits_servers",), variables={...},
                            options=("--tmpfs", "/data:size=64m"), ports=(443,)))

`setup(host)` is run once: what it left on the host's disk is kept as an image, named by the hash of the image kind and of all `files` (files or
folders; the module of `setup` itself counts without being named). `ready(host)` is run at each start.

In tests/hosts the fixtures `lab` and `host` are these: `host("fits-c")` gives the running host, `host("mine", kind="bare")` another one.

By hand: `make lab-up LAB="fits-a archive"`, `python -m lab.hosts status`, `python -m lab.hosts shell fits-a`, `make lab-down`.
For a program whose steps are processes of their own (molecule): `python -m lab.hosts up --as molecule fits-c`, then `.cache/lab/inventory-molecule.json`,
and `down --as molecule`, at the start too: hosts that run already are taken as they are.
`LAB_ENGINE=own` starts an own engine although another one answers; `LAB_DEBIAN_MIRROR` names another mirror of Debian.
"""

from lab.hosts.common import LabError
from lab.hosts.host import Host
from lab.hosts.laboratory import Lab

__all__ = ["Host", "Lab", "LabError"]

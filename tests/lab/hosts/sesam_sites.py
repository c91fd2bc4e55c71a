# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`sesam`: a host with a Sesam node in a container `sesam-node`, as the documentation's compose file has it; the node is a stand-in (`lab.sesam`).

What a test does with it: `lab.hosts.sesam_host`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from lab.hosts.host import Host
from lab.hosts.sites import Site, register
from lab.sesam import container, image, samples
from lab.sesam.standin import auth, licence, settings

CONTAINER = "sesam-node"
NODE = "/sesam/node-00"
DATA, LOGS = "/srv/data/sesam/node-00/data", f"{NODE}/logs"
CONTROL = "/var/lib/lab-sesam"
RUN = "/usr/local/sbin/lab-sesam-run"
OWNER = "777:777"
PORT = 9042
WORDS = " ".join(["lake", "-l", container.LOGS, "-d", container.DATA, *container.ARGUMENTS])
TOKEN_LIFETIME = 7 * 86400.0


def run_script(arguments: str = "", begins: str = "exec") -> str:
    """What makes and starts the container; the words of the second line are what a compose file says."""
    chown = f"chown -R {OWNER} {container.LOGS} {container.DATA}/"
    command = container.COMMANDS[begins].format(chown=chown, owner=OWNER, words=f"{WORDS.removeprefix('lake ')}{arguments}")
    labels = " ".join(f"--label={name}={value}" for name, value in container.LABELS.items())
    volumes = f"--volume={NODE}:/sesam --volume={NODE}/data:{container.DATA} --volume={CONTROL}:{container.CONTROL}"
    fixed = f"--name={CONTAINER} --hostname={CONTAINER} --restart=always --network=host --stop-timeout=5 --env={settings.VARIABLE}={container.CONTROL}"
    return f'#!/bin/sh -e\nexec docker run --detach {fixed} {labels} {volumes} {image.IMAGE} sh -c "{command}"\n'


def setup(host: Host) -> None:
    """Once: folders, and what starts the node."""
    script = f"""
        groupadd --gid 777 sesam
        mkdir -p {DATA} {LOGS} {CONTROL}
        ln -s {DATA} {NODE}/data
        chown -R {OWNER} {DATA} {LOGS}
        chmod 0777 {CONTROL}
        systemctl --quiet enable containerd docker.socket docker
        """
    host.run(["sh", "-e", "-c", textwrap.dedent(script)])


def ready(host: Host) -> None:
    """At each start: the engine has the image (it is not on the host's disk), and a fresh node runs."""
    host.run(["systemctl", "start", "docker"])
    host.wait_for(lambda: host.active("docker"), "the engine runs", 60)
    changes = [word for change in image.CHANGES for word in ("--change", change)]
    host.run(["docker", "import", *changes, "-", image.IMAGE], input=image.root())
    fresh(host)


def fresh(host: Host, config: Sequence[Mapping[str, Any]] | None = None, arguments: str = "", begins: str = "exec", **chosen: Any) -> None:
    """A node that never was before, with nothing wrong."""
    host.run(["sh", "-c", f"docker rm --force {CONTAINER} >/dev/null 2>&1; rm -rf {DATA}/* {DATA}/.[!.]* {LOGS}/* {CONTROL}/*"])
    entities = samples.config(pipes=2, scheduled=2, interval=1.0) if config is None else config
    host.put(json.dumps({"default": {entity["_id"]: entity for entity in entities}}).encode(), f"{DATA}/config.json")
    host.put(licence.key().encode(), f"{DATA}/{licence.NAME}")
    host.put(json.dumps({"port": PORT, **chosen}).encode(), f"{CONTROL}/{settings.CONTROL}", mode=0o666)
    host.put(run_script(arguments, begins).encode(), RUN, mode=0o755)
    host.run([RUN])


register(
    "sesam",
    Site(
        kind="backend",
        setup=setup,
        ready=ready,
        groups=("sesam_nodes",),
        variables={
            "sesam_jwt": auth.issue(settings.DEFAULTS["jwt_key"], settings.DEFAULTS["subscription"], [auth.ADMIN], TOKEN_LIFETIME),  # type: ignore[arg-type]
        },
        options=("--volume=/var/lib/docker",),
    ),
)

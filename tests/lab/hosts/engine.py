# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine that the hosts run in: one that answers already, or one of this checkout's own.

An engine that answers is used as it is: nothing of its configuration is touched. Our own keeps its images in `.cache/lab/docker`, has no default
bridge and no rules in the machine's firewall, and runs until the last run that uses it is over (see `runs`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from lab import procfs
from lab.hosts.common import MARK, PLACE, LabError, as_root, call, install, say, tail

DEFAULT = "unix:///var/run/docker.sock"
RUNTIME = Path("/run") / MARK  # short: the path of a socket may have some 100 characters
SOCKET = RUNTIME.with_suffix(".sock")
PIDFILE = RUNTIME.with_suffix(".pid")
DATA = PLACE / "docker"
LOG = PLACE / "engine.log"
NETWORK_TRIES = 5
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine, and the client that talks to it."""

    url: str
    own: bool

    def command(self, *arguments: str) -> list[str]:
        """The client's command line."""
        return ["docker", "--host", self.url, *arguments]

    def docker(self, *arguments: str, timeout: float | None = 120.0) -> str:
        """What the client answers, without the white space around it."""
        return call(["env", "DOCKER_BUILDKIT=0", *self.command(*arguments)], f"docker {' '.join(arguments[:2])}", timeout).strip()

    def inspect(self, thing: str, kind: str = "container") -> dict[str, Any] | None:
        """What the engine knows of a container, image or network; None when there is no such thing."""
        done = subprocess.run(self.command("inspect", "--type", kind, thing), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            if "no such" in done.stderr.lower() or "not found" in done.stderr:
                return None
            raise LabError(f"docker inspect {thing}: {tail(done.stderr)}")
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def answers(self) -> bool:
        """Whether anybody is there."""
        try:
            return bool(self.docker("version", "--format", "{{.Server.Version}}", timeout=15))
        except LabError:
            return False

    def remove(self, *filters: str) -> bool:
        """Remove the containers and networks that the filters let through, and the containers' own volumes; whether all of them went."""
        chosen = [word for one in filters for word in ("--filter", one)]
        if containers := self.docker("ps", "--all", "--quiet", "--no-trunc", *chosen).split():
            self.docker("rm", "--force", "--volumes", *containers)
        networks = self.docker("network", "ls", "--quiet", "--filter", "type=custom", *chosen).split()
        return not [network for network in networks if not self._remove_network(network)]

    def _remove_network(self, name: str) -> bool:
        """An engine under load may hold an end of a container that is gone, until it starts again. Nobody else's tests are to fail for that."""
        for _try in range(NETWORK_TRIES):
            try:
                self.docker("network", "rm", name)
                return True
            except LabError as error:
                if "active endpoints" not in str(error):
                    raise
                time.sleep(1)
        say(f"the engine does not let go of network {name}; it is removed the next time")
        return False


OWN = Engine(f"unix://{SOCKET}", own=True)


def ready() -> Engine:
    """An engine that answers. To be called with the lock `engine` held, as all that starts and stops one."""
    if os.environ.get("LAB_ENGINE") != "own" and not running():
        for url in dict.fromkeys((os.environ.get("DOCKER_HOST", DEFAULT), DEFAULT)):
            if not url.startswith("unix://") or Path(url.removeprefix("unix://")).exists():
                _install_client()
                if Engine(url, own=False).answers():
                    return Engine(url, own=False)
    start()
    return OWN


def _install_client() -> None:
    install({"docker": "docker.io"})
    install({"docker": "docker-cli"})  # a package of its own since Debian 13


def running() -> dict[int, int]:
    """Processes of our own engine (dockerd, containerd, shims), pid to start time: all carry our mark, or a path of ours, as an argument."""
    marks = tuple(os.fsencode(path) for path in (PIDFILE, RUNTIME))
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if not _program(pid).startswith(("dockerd", "containerd")):
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        started = procfs.start_time(pid)
        if started is not None and any(word in {MARK.encode(), mark} or word.startswith(mark + b"/") for word in words for mark in marks):
            found[pid] = started
    return found


def start() -> None:
    """Start our own engine; if it runs already, that will do. One that was killed finds its containers again."""
    install({"dockerd": "docker.io", "iptables": "iptables"})
    _install_client()
    if OWN.answers():
        return
    _end_deaf_daemon()
    _forget_dead_processes()
    say("starting a Docker engine ...")
    path = f"PATH={os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    with open(LOG, "wb") as log:
        # It may outlive this process, and the stage of the checks that it belongs to.
        detached = as_root("env", "--unset=FIELDOPS_STAGE", path, "setsid", "--fork", *_daemon_argv())
        subprocess.run(detached, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False)
    began = time.monotonic()
    while not OWN.answers():
        waited = time.monotonic() - began
        if waited > START_TIMEOUT or (waited > 2 and not _pids("dockerd")):
            raise LabError(
                "no Docker engine answers, and none could be started. It needs root (or sudo), Linux control groups mounted at /sys/fs/cgroup, "
                f"and the packages docker.io and iptables. The end of {LOG.name}:\n{tail(LOG.read_text(errors='replace'))}"
            )
        time.sleep(0.1)
    if OWN.docker("info", "--format", "{{.Driver}}") == "vfs":
        say("the engine could not use overlay2 here and copies whole images (vfs): it is slow, and needs some gigabytes")


def _daemon_argv() -> list[str]:
    return [
        "dockerd",
        f"--host={OWN.url}",
        f"--group={os.getgid()}",
        "--pidfile",
        str(PIDFILE),
        "--exec-root",
        str(RUNTIME),
        f"--data-root={DATA}",
        # A system containerd, where one runs, is shared with others.
        f"--containerd-namespace={MARK}",
        f"--containerd-plugins-namespace={MARK}-plugins",
        # The machine's network stays as it is: hosts reach each other on bridges of their own, and are reached through ports on loopback.
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--ip-forward=false",
    ]


def _end_deaf_daemon() -> None:
    """A daemon that runs but does not answer (it may be starting, or hang) would hold the pid file against a new one."""
    limit = time.monotonic() + 10
    while (deaf := _pids("dockerd")) and not OWN.answers():
        if time.monotonic() > limit:
            for pid, started in deaf.items():
                _end(pid, started)
        time.sleep(0.2)


def _forget_dead_processes() -> None:
    """Pid files of processes that were killed: a new daemon would take a zombie, which waits for its parent, for alive."""
    files = {"dockerd": PIDFILE, "containerd": RUNTIME / "containerd/containerd.pid"}
    call(as_root("rm", "-f", *[str(file) for program, file in files.items() if not _pids(program)]), "rm")


def _pids(program: str) -> dict[int, int]:
    """Those of our processes that run this program, with their start times."""
    return {pid: started for pid, started in running().items() if _program(pid) == program}


def _program(pid: int) -> str:
    try:
        return os.path.basename(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]))
    except OSError:
        return ""


def stop() -> None:
    """Stop our own engine and all that runs in it."""
    if not running():
        return
    if not OWN.answers():
        start()  # only a daemon knows which containers, bridges and mounts an earlier one left
    OWN.remove()
    for pid, started in [*_pids("dockerd").items(), *running().items()]:  # the daemon takes the others along
        _end(pid, started)
    while mounted := _mounts():  # a killed daemon's lie below those of the next one, and show when these are gone
        call(as_root("umount", "--lazy", mounted[0]), f"umount {mounted[0]}")
    call(as_root("rm", "-rf", "--one-file-system", *map(str, (RUNTIME, SOCKET, PIDFILE))), f"rm {RUNTIME}")


def _mounts() -> list[str]:
    """What an engine that ended leaves mounted, the innermost first."""
    mounted = [line.split()[1].encode().decode("unicode_escape") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [path for path in reversed(mounted) if f"{path}/".startswith((f"{RUNTIME}/", f"{DATA}/"))]


def _end(pid: int, started: int) -> None:
    """End a process that may be root's."""
    for signum, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, 5.0)):
        if not procfs.is_running(pid, started):
            return
        subprocess.run(as_root("kill", f"-{signum.value}", str(pid)), stderr=subprocess.DEVNULL, check=False)
        if procfs.wait_gone(pid, started, patience):
            return
    raise LabError(f"process {pid} of the engine cannot be ended")

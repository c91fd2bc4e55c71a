# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker Engine of a test session's own, which tests may kill, and a proxy that takes it away in the middle of a module's work.

    with Engine() as engine:
        engine.docker_host                   # for a module's option, or DOCKER_HOST
        engine.docker("run", "--detach", "--network=none", engine.image, "sleep", "60")
        engine.kill()                        # SIGKILL: the containers run on, nobody answers for them
        engine.start()                       # the same data; as Docker has it, it ends what ran, and starts what has a restart policy
        engine.reboot()                      # everything dies at once, then it starts: as after a restart of the machine
        with CuttingProxy(engine, after=2) as proxy:
            proxy.docker_host                # two changing requests get through, and with the third the engine is gone
            proxy.restore()                  # it is back, at the same address

It shares nothing with an engine of the machine, nor with that of `lab.hosts`: it has a containerd, a folder and control groups of its own, and no
network. When the test run is killed, the keeper removes all of it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import procfs
from lab.cutting import CuttingProxy
from lab.hosts.common import CHECKOUT, PLACE, LabError, as_root, call, install, locked, tail
from lab.hosts.engine import Engine as Client
from lab.keeper import keeper

IMAGE = "busybox:lab"
BUSYBOX = PLACE / "busybox"
CGROUPS = Path("/sys/fs/cgroup")
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
FILES = (
    ("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    # In the place of commands that have the database: what they are given is what they do.
    ("bin/generate-dataset", 0o755, b'#!/bin/sh\nexec "$@"\n'),
)
CONTAINERD = """
version = 2
root = "{folder}/containerd-root"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{folder}/containerd.sock"
"""


class Engine:
    """An engine in a folder of its own, started by entering it. Give a short folder: paths of sockets have some 100 characters."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="lab-engine-"))
        self.docker_host = f"unix://{self.socket}"
        self._client = Client(self.docker_host, own=True)

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self.folder / "docker.sock"

    def start(self) -> None:
        """Start what does not run of it, and wait until it answers."""
        install({"dockerd": "docker.io", "docker": "docker.io", "iptables": "iptables"})
        install({"docker": "docker-cli"})  # a package of its own since Debian 13
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        keeper().watch_command(self._end_command(), CHECKOUT / "tests")
        if not self._pids("containerd"):
            _unlink(self.folder / "containerd.sock")
            (self.folder / "containerd.toml").write_text(CONTAINERD.format(folder=self.folder), encoding="utf-8")
            self._spawn("containerd", "--config", str(self.folder / "containerd.toml"))
            self._wait("containerd", (self.folder / "containerd.sock").exists)
        if not self._pids("dockerd"):
            _unlink(self.folder / "docker.pid")  # a killed daemon's; its pid may be anybody's by now
            self._spawn("dockerd", *self._arguments())
        self._wait("dockerd", self.answers)

    def kill(self) -> None:
        """The daemon dies at once. Containers run on, as they do with the real one."""
        _end_all(self._pids("dockerd"))

    def stop(self) -> None:
        """The daemon ends in the ordinary way, and stops what runs."""
        for pid, started in self._pids("dockerd").items():
            _signal(pid, signal.SIGTERM)
            if not procfs.wait_gone(pid, started, STOP_TIMEOUT):
                _end_all({pid: started})

    def reboot(self) -> None:
        """All processes of the engine and of every container die at once, and the engine starts again."""
        _end_all(processes(self.folder))
        self.start()

    def answers(self) -> bool:
        """Whether anybody is there."""
        return self._client.answers()

    def close(self) -> None:
        """End it with all that it holds."""
        with contextlib.suppress(LabError):
            self.clear()
        end(self.folder)
        keeper().forget_command(self._end_command())

    def clear(self) -> None:
        """Remove all containers and volumes; images stay."""
        if containers := self.docker("ps", "--all", "--quiet", "--no-trunc").split():
            self.docker("rm", "--force", "--volumes", *containers)
        if volumes := self.docker("volume", "ls", "--quiet").split():
            self.docker("volume", "rm", "--force", *volumes)

    def _arguments(self) -> list[str]:
        return [
            f"--host={self.docker_host}",
            f"--group={os.getgid()}",
            f"--pidfile={self.folder}/docker.pid",
            f"--exec-root={self.folder}/exec",
            f"--data-root={self.folder}/data",
            f"--containerd={self.folder}/containerd.sock",
            f"--cgroup-parent=/{_cgroup(self.folder)}",
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"),
        ]

    def _spawn(self, program: str, *arguments: str) -> None:
        path = f"PATH={os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        with open(self.folder / f"{program}.log", "ab") as log:
            command = as_root("env", path, "setsid", "--fork", program, *arguments)
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True)

    def _wait(self, program: str, ready: Any) -> None:
        began = time.monotonic()
        while not ready():
            waited = time.monotonic() - began
            if waited > START_TIMEOUT or (waited > 2 and not self._pids(program)):
                said = tail((self.folder / f"{program}.log").read_text(errors="replace"))
                raise LabError(f"{program} does not answer; it needs root (or sudo) and control groups at {CGROUPS}. It said last:\n{said}")
            time.sleep(0.05)

    def _pids(self, program: str) -> dict[int, int]:
        return {pid: started for pid, started in processes(self.folder, containers=False).items() if _program(pid) == program}

    def _end_command(self) -> list[str]:
        return [sys.executable, "-m", "lab.engine", "end", str(self.folder)]

    # -- use ----------------------------------------------------------------------------------------------------------

    def docker(self, *arguments: str, timeout: float | None = 120.0) -> str:
        """What the command line client answers, without the white space around it."""
        return self._client.docker(*arguments, timeout=timeout)

    def inspect(self, thing: str, kind: str = "container") -> dict[str, Any] | None:
        """What the engine knows of a container, image or volume; None when there is no such thing."""
        return self._client.inspect(thing, kind)

    @property
    def image(self) -> str:
        """A small image with a shell and the usual programs: busybox, as Debian links it."""
        return self.imported(IMAGE)

    def imported(self, name: str) -> str:
        """The same image under another name."""
        if self.inspect(name, "image") is None:
            if name == IMAGE:
                options = ["--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin"]
                command = self._client.command("import", *options, "-", name)
                done = subprocess.run(command, input=busybox_root(), capture_output=True, timeout=60, check=False)
                if done.returncode:
                    raise LabError(f"docker import: {tail(done.stderr.decode(errors='replace'))}")
            else:
                self.docker("tag", self.image, name)
        return name


# -- the image --------------------------------------------------------------------------------------------------------------


def busybox_root() -> bytes:
    """A tar of a root file system that has busybox under all of its names."""
    program = _busybox()
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("workspace", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        archive.add(program, "bin/busybox", filter=_of_root)
        for name in names:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if name != "busybox":
                archive.addfile(link)
        for path, mode, content in FILES:
            file = tarfile.TarInfo(path)
            file.size, file.mode = len(content), mode
            archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755
    return member


def _busybox() -> Path:
    """The statically linked program out of Debian's package, fetched once."""
    with locked("busybox"):
        if not BUSYBOX.exists():
            with tempfile.TemporaryDirectory(prefix="busybox-", dir=PLACE) as work:
                with locked("apt"):
                    _download("busybox-static", Path(work))
                call(["dpkg-deb", "--extract", str(next(Path(work).glob("*.deb"))), work], "dpkg-deb")
                shutil.move(Path(work) / "bin/busybox", BUSYBOX)
    return BUSYBOX


def _download(package: str, folder: Path) -> None:
    command = ["env", "-C", str(folder), "apt-get", "-qq", "download", package]
    try:
        call(command, f"apt-get download {package}", timeout=120)
    except LabError:
        call(as_root("apt-get", "-qq", "update"), "apt-get update", timeout=600)
        call(command, f"apt-get download {package}", timeout=120)


# -- ending it, also after a test run that was killed ----------------------------------------------------------------------------


def processes(folder: Path, containers: bool = True) -> dict[int, int]:
    """Processes of the engine in this folder, pid to start time, the daemon first; with those in its containers."""
    found: dict[int, int] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if _program(pid).startswith(("dockerd", "containerd")) and str(folder) in _command(pid):
            started = procfs.start_time(pid)
            if started is not None:
                found[pid] = started
    ordered = dict(sorted(found.items(), key=lambda item: _program(item[0]) != "dockerd"))
    return {**ordered, **dict(_below(ordered))} if containers else ordered


def _below(engine: dict[int, int]) -> Iterator[tuple[int, int]]:
    """The first process of every container: with it goes all that runs there."""
    for shim in (pid for pid in engine if _program(pid).startswith("containerd-shim")):
        for pid in procfs.children(shim):
            started = procfs.start_time(pid)
            if started is not None:
                yield pid, started


def end(folder: Path) -> None:
    """End an engine and remove all that is left of it: processes, mounts, control groups, files."""
    for _again in range(10):  # what was just being started shows in the next round
        found = processes(folder)
        if not found:
            break
        _end_all(found)
    mounted = [line.split()[1].encode().decode("unicode_escape") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{folder}/")]):
        subprocess.run(as_root("umount", "--lazy", path), stderr=subprocess.DEVNULL, check=False)
    for group in [*CGROUPS.glob(_cgroup(folder)), *CGROUPS.glob(f"*/{_cgroup(folder)}")]:
        below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        subprocess.run(as_root("rmdir", *map(str, [*below, group])), stderr=subprocess.DEVNULL, check=False)
    subprocess.run(as_root("rm", "-rf", "--one-file-system", str(folder)), check=False)


def _cgroup(folder: Path) -> str:
    return f"fieldops-{folder.name}"


def _end_all(found: dict[int, int]) -> None:
    for pid in found:
        _signal(pid, signal.SIGKILL)
    for pid, started in found.items():
        if not procfs.wait_gone(pid, started, 10.0):
            raise LabError(f"process {pid} of an engine cannot be ended")


def _signal(pid: int, signum: signal.Signals) -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
    else:
        subprocess.run(as_root("kill", f"-{signum.value}", str(pid)), stderr=subprocess.DEVNULL, check=False)


def _command(pid: int) -> str:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return ""


def _program(pid: int) -> str:
    return os.path.basename(_command(pid).partition("\0")[0])


def _unlink(path: Path) -> None:
    call(as_root("rm", "-f", str(path)), "rm")


__all__ = ["IMAGE", "CuttingProxy", "Engine"]

if __name__ == "__main__":
    end(Path(sys.argv[2]))

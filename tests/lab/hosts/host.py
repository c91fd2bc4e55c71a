# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host: a container with systemd as PID 1, and what a test does on it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab.hosts.common import LabError, call, say, tail
from lab.hosts.connection import provide_docker_connection
from lab.hosts.runs import Run

HOST_LABEL = "fieldops.lab.host"
BOOT_TIMEOUT = 180.0
PORT_TRIES = 20
STOP_TIMEOUT = 60
SSH_USER = "ops"
# Systemd needs most capabilities and the control groups; a machine that lacks SYS_RESOURCE itself could not give it.
SYSTEMD = (
    *("--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    *("--tmpfs=/run", "--tmpfs=/run/lock", "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"),
)
Found = TypeVar("Found")


class Host:
    """A host that runs. `name` is what it is called on the laboratory's network and in the inventory."""

    def __init__(self, run: Run, name: str) -> None:
        self.name = name
        self.container = f"lab-{run.token}-{name}"
        self._run = run
        self._engine = run.engine

    def __repr__(self) -> str:
        return f"<host {self.name}, container {self.container}>"

    # -- life ---------------------------------------------------------------------------------------------------------

    def boot(self, image: str, network: str, options: Sequence[str] = (), ports: Sequence[int] = ()) -> Host:
        """Make and start the container; returns when systemd has started all it wanted to."""
        published = [f"--publish=127.0.0.1::{port}" for port in dict.fromkeys((22, *ports))] if network != "none" else []
        placed = [f"--network={network}", *([f"--network-alias={self.name}"] if network != "none" else [])]
        labels = [f"--label={self._run.label}", f"--label={HOST_LABEL}={self.name}"]
        names = [f"--name={self.container}", f"--hostname={self.name}"]
        self._engine.docker("create", *names, *labels, *placed, *published, *SYSTEMD, *options, image)
        return self.start()

    def wait_booted(self) -> Host:
        """Wait until systemd says that it is done."""
        limit = time.monotonic() + BOOT_TIMEOUT
        while (state := self.run(["systemctl", "is-system-running"], check=False).stdout.strip()) not in {"running", "degraded"}:
            if not self.running or time.monotonic() > limit:
                log = self._engine.docker("logs", "--tail", "20", self.container)
                raise LabError(f"{self.name} did not boot: systemd says {state or 'nothing'}. The end of its console:\n{tail(log)}")
            time.sleep(0.2)
        if state == "degraded":
            say(f"{self.name} is up, but degraded: {', '.join(self.failed_units())} failed")
        return self

    def failed_units(self) -> list[str]:
        """Units that systemd calls failed."""
        return [line.split()[0] for line in self.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout.splitlines()]

    @property
    def running(self) -> bool:
        """Whether the container runs."""
        found = self._engine.inspect(self.container)
        return found is not None and bool(found["State"]["Running"])

    def halt(self) -> None:
        """Shut down in the ordinary way; the disk stays."""
        self._engine.docker("stop", "--time", str(STOP_TIMEOUT), self.container, timeout=STOP_TIMEOUT + 60)

    def start(self) -> Host:
        """Boot, also again after `halt()`, or after the host crashed.

        An engine knows which ports it gave away, and not which another engine or program has: it takes the next one when it is asked again.
        """
        for again in range(PORT_TRIES, -1, -1):
            try:
                self._engine.docker("start", self.container)
                break
            except LabError as error:
                if not again or "address already in use" not in str(error):
                    raise
        return self.wait_booted()

    def crash(self) -> None:
        """The host dies as in a power cut."""
        self._engine.docker("kill", self.container)

    def commit(self, tag: str) -> None:
        """Keep the disk as an image."""
        self._engine.docker("commit", self.container, tag, timeout=600)

    def remove(self) -> None:
        """Remove the host with its disk."""
        self._engine.docker("rm", "--force", "--volumes", self.container)

    # -- on the host --------------------------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002  as subprocess calls it
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root or as a user of the host. One that takes too long is given up, not ended."""
        done = self._exec(argv, user, input.encode() if isinstance(input, str) else input, env, timeout)
        result = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if check and result.returncode:
            raise LabError(f"{self.name}: {' '.join(argv)} ended with {result.returncode}: {tail(result.stderr or result.stdout)}")
        return result

    def _exec(
        self, argv: Sequence[str], user: str | None, given: bytes | None, env: Mapping[str, str] | None, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        options = [f"--env={name}={value}" for name, value in (env or {}).items()]
        options += ["--interactive"] if given is not None else []
        options += ["--user", user] if user else []
        command = self._engine.command("exec", *options, self.container, *argv)
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        try:
            return subprocess.run(command, capture_output=True, timeout=timeout, check=False, **source)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name}: {' '.join(argv)} did not end within {timeout:g} s") from error

    def put(self, source: Path | bytes, path: str, owner: str = "root", mode: int | None = None) -> None:
        """Write bytes or a file to a path, or what a folder holds into it; folders above are made. `owner` is `user` or `user:group`."""
        target = path.strip("/")
        user, _colon, group = owner.partition(":")

        def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname, member.gname = user, group or self._group_of(user)
            if mode is not None and not member.isdir():
                member.mode = mode
            return member

        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            if isinstance(source, bytes):
                member = tarfile.TarInfo(target)
                member.size, member.mtime, member.mode = len(source), int(time.time()), 0o644
                archive.addfile(owned(member), io.BytesIO(source))
            elif source.is_dir():
                for entry in sorted(file for file in source.rglob("*") if "__pycache__" not in file.parts):
                    archive.add(entry, f"{target}/{entry.relative_to(source)}", recursive=False, filter=owned)
            else:
                archive.add(source, target, filter=owned)
        above = f"/{target}" if isinstance(source, Path) and source.is_dir() else f"/{target.rpartition('/')[0]}"
        self.run(["mkdir", "-p", above])
        self.run(["tar", "--extract", "--same-owner", "--preserve-permissions", "--directory=/"], input=packed.getvalue())

    def _group_of(self, user: str) -> str:
        return "root" if user == "root" else self.run(["id", "-gn", user]).stdout.strip()

    def read(self, path: str) -> bytes:
        """What a file holds."""
        done = self._exec(["cat", "--", path], None, None, None, 60.0)
        if done.returncode:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def exists(self, path: str) -> bool:
        """Whether there is such a file, folder or socket."""
        return self.run(["test", "-e", path], check=False).returncode == 0

    def active(self, unit: str) -> bool:
        """Whether systemd calls a unit active."""
        return self.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0

    def wait_for(self, condition: Callable[[], Found], what: str = "it", timeout: float = 30.0, step: float = 0.2) -> Found:
        """Wait until a condition gives something true, and give that."""
        limit = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > limit:
                raise LabError(f"{self.name}: waited {timeout:g} s in vain: {what}")
            time.sleep(step)
        return found

    # -- reaching it --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Its address in the laboratory's network."""
        networks = (self._engine.inspect(self.container) or {"NetworkSettings": {"Networks": {}}})["NetworkSettings"]["Networks"]
        for network in networks.values():
            if network["IPAddress"]:
                return str(network["IPAddress"])
        raise LabError(f"{self.name} has no address: it is down, or the engine has no network")

    def port(self, port: int = 22) -> int:
        """The port on this machine's loopback behind which a port of the host lies."""
        return int(self._engine.docker("port", self.container, f"{port}/tcp").splitlines()[0].rpartition(":")[2])

    def ansible_vars(self) -> dict[str, Any]:
        """Inventory variables of the docker connection, as root."""
        provide_docker_connection()
        return {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.container,
            "ansible_docker_extra_args": f"--host={self._engine.url}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def ssh_vars(self) -> dict[str, Any]:
        """Inventory variables of a real ssh connection, as a person with sudo; the host's own key is known beforehand."""
        key, known = self._run.folder / "id_ed25519", self._run.folder / f"known_hosts-{self.name}"
        if not key.exists():
            call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laboratory", "-f", str(key)], "ssh-keygen", timeout=30)
        self.put(key.with_suffix(".pub").read_bytes(), f"/home/{SSH_USER}/.ssh/authorized_keys", owner=SSH_USER, mode=0o600)
        port = self.port(22)
        known.write_text(f"[127.0.0.1]:{port} {self.read('/etc/ssh/ssh_host_ed25519_key.pub').decode()}", encoding="utf-8")
        return {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": SSH_USER,
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_args": f"-o UserKnownHostsFile={known} -o IdentitiesOnly=yes -o ControlMaster=no",  # nothing may outlive the test
            "ansible_python_interpreter": "/usr/bin/python3",
        }

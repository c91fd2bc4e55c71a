# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of Talus on this machine: containers of its names in an engine, daemons as small processes of exactly its argv, a broker that only answers."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import procfs
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from lab.engine import Engine
from lab.keeper import keeper
from lab.mongo import free_port

MARK = "LAB_TALUS"
DAEMON = """
import os, socket, sys, time
delay = float(os.environ.get("LAB_DELAY", "0"))
if delay:
    print("up", flush=True)
    time.sleep(delay)
held = [socket.create_connection(place.rsplit(":", 1)) for place in os.environ.get("LAB_CONNECT", "").split()]
print("up", flush=True)
time.sleep(float(os.environ.get("LAB_LIFE", "1000")))
"""
IMAGES = {"underscore": "talus_{}", "hyphen": "talus/talus-{}", "image": "registry.example.org/talus/talus-{}:lab"}
NAMES = {"underscore": "talus_{}", "hyphen": "talus-{}", "image": "lab_{}_1"}
INSIDE = {"db": 27017, "amqp": 5672, "web": 80}
_numbers = itertools.count()


class Broker:
    """Answers the first bytes of AMQP and keeps connections; nothing else."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                self._open.append(connection)
                connection.sendall(b"\x01\0\0\0\0\0\x10\0")

    def drop(self) -> None:
        """Every connection ends, as in a restart."""
        while self._open:
            with contextlib.suppress(OSError):
                self._open[-1].shutdown(socket.SHUT_RDWR)
            self._open.pop().close()

    def close(self) -> None:
        """Nobody answers any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()


class Host:
    """Everything below `path`, on `engine`. `close` ends what it started."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path, self.engine = path, engine
        self.mark = f"{os.getpid()}-{next(_numbers)}"
        self.network = f"talus_nw_{self.mark}"
        self.running: list[subprocess.Popen[str]] = []
        self.broker = Broker()
        for name in ("boxes", "images", "files", "init", "data", "run/master", "run/slave"):
            (path / name).mkdir(parents=True, exist_ok=True)
        for kind in ("master", "slave"):
            (path / "run" / kind / "__main__.py").write_text(DAEMON, encoding="utf-8")
        self._networks: list[str] = []

    def close(self) -> None:
        """Processes, containers and networks."""
        self.broker.close()
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
            if process.stdout:
                process.stdout.close()
        self.engine.clear()
        for network in self._networks:
            self.engine.docker("network", "rm", network)

    @property
    def params(self) -> dict[str, Any]:
        """Options of the module that make it look here and nowhere else."""
        names = {"boxes_dir": "boxes", "images_dir": "images", "files_dir": "files", "init_dir": "init"}
        return {
            "docker_host": self.engine.docker_host,
            "amqp_port": self.broker.port,
            "settle": 0,
            **{key: str(self.path / name) for key, name in names.items()},
        }

    # -- containers ----------------------------------------------------------------------------------------------------------

    def made_network(self, name: str | None = None) -> str:
        """A network of users, made when it is first used."""
        name = name or self.network
        if name not in self._networks:
            self.engine.docker("network", "create", name)
            self._networks.append(name)
        return name

    def name(self, component: str, spelling: str = "hyphen") -> str:
        return NAMES[spelling].format(component)

    def run(self, component: str, spelling: str = "hyphen", *options: str, network: str | None = None, data: bool = True, publish: bool = True) -> str:
        """A container that does nothing, as upstream's scripts start it; its address."""
        name, image = self.name(component, spelling), self.engine.imported(IMAGES[spelling].format(component))
        words = ["--name", name, "--hostname", name, "--network", network or self.made_network(), *options]
        if data and component != "web":
            words += ["--volume", f"{self.path}/data:/talus/data"]
        if publish:
            words += ["--publish", f"127.0.0.1:{free_port()}:{INSIDE[component]}"]
        self.engine.docker("run", "--detach", *words, image, "sleep", "100000")
        return self.address(name)

    def stack(self, spelling: str = "hyphen") -> dict[str, str]:
        """All three, in their order; their addresses."""
        return {component: self.run(component, spelling) for component in INSIDE}

    def address(self, name: str) -> str:
        seen = self.engine.inspect(name)
        assert seen is not None
        return next((str(each["IPAddress"]) for each in seen["NetworkSettings"]["Networks"].values()), "")

    # -- daemons ---------------------------------------------------------------------------------------------------------------

    def environment(self, *places: str, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], MARK: self.mark, "LAB_CONNECT": " ".join(places), "PYTHONPATH": str(self.path / "run"), **more}

    @property
    def amqp(self) -> str:
        return f"127.0.0.1:{self.broker.port}"

    def daemon(self, kind: str, *places: str, words: tuple[str, ...] | None = None, **environment: str) -> int:
        """One daemon that is connected to these places; its pid."""
        words = words or (("lo",) if kind == "master" else ("127.0.0.1", "10", "lo"))
        return self.process([sys.executable, "-m", kind, *words], self.environment(*places, **environment))

    def process(self, command: list[str], environment: Mapping[str, str] | None = None, says: str = "up") -> int:
        """Any process, once it has said that it is up."""
        started = subprocess.Popen(
            command, env=dict(environment or self.environment()), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        keeper().watch_process(started.pid, signal.SIGKILL)
        self.running.append(started)
        assert started.stdout is not None
        assert not says or started.stdout.readline().strip() == says
        return started.pid

    def processes(self) -> Callable[..., Any]:
        """In place of `procfs.processes`: those of this host, and not what other tests have on the machine."""
        real, mark = procfs.processes, f"{MARK}={self.mark}".encode()

        def own(process: Process) -> bool:
            try:
                return mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            except OSError:
                return False

        return lambda root="/proc": (process for process in real(root) if own(process))

    # -- boxes -----------------------------------------------------------------------------------------------------------------

    def box(self, name: str, image: bool = True, volume: bool = True, link: bool = True) -> Path:
        """A box as Talus leaves it: its box.img is a link to the base image."""
        folder = self.path / "boxes" / name / "0" / "libvirt"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text("{}", encoding="utf-8")
        base = self.path / "images" / f"{name}_vagrant_box_image_0.img"
        if volume:
            base.write_bytes(b"image")
        if image:
            (folder / "box.img").symlink_to(base) if link else (folder / "box.img").write_bytes(b"image")
        return folder

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Consul (1.8.7, of Debian 11), filled as Hare fills it.

    with Consul(tmp_path / "consul") as consul:
        consul.fill()                                # two nodes, with processes, services, drives and a broadcast queue
        consul.put("processes/0x7200000000000001:0xa", {...})
        consul.health("ssc-vm-2", "critical")
        consul.freeze()                              # it takes connections, and answers nobody
        consul.kill()
    with Servers(tmp_path / "servers") as servers:   # three of them, of which one leads
        servers.leader.kill()

The program is fetched once for each checkout into `.cache/consul`; `LAB_CONSUL` names another one. No part of this needs root.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import old_debian
from lab.hare import NODES, Keys, fid
from lab.hosts.common import CHECKOUT, LabError, locked
from lab.keeper import keeper
from lab.mongo import free_port, wait_for

PLACE = CHECKOUT / ".cache/consul"
VERSION = "1.8.7"
AGENT = "ssc-vm-1"
"""Consul's own name of its node."""


def program() -> Path:
    """The program, fetched where it is missing."""
    chosen = os.environ.get("LAB_CONSUL")
    if chosen:
        return Path(chosen)
    root = PLACE / VERSION
    if not root.exists():
        with locked("consul"):
            if not root.exists():
                old_debian.unpack("consul", root)
    return root / "usr/bin/consul"


class Consul(Keys):
    """An agent in development mode: one server, which keeps everything in memory."""

    def __init__(self, folder: Path, token: str = "") -> None:
        """With a `token` nobody else may read or write anything."""
        self.folder = folder
        self.token = token
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- life -----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Consul:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> Consul:
        """Start it, empty, on the port that it had or on a free one, and wait until it has a leader."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atexit.register(self.close)
        for _attempt in range(3):
            self.port = self.port or free_port()
            with open(self.folder / "consul.log", "ab") as log:
                self._process = subprocess.Popen(self._argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
            keeper().watch_process(self._process.pid, signal.SIGKILL)
            if self._answers_in_time():
                return self
            self.close()
            self.port = 0
        raise LabError(f"consul does not answer: {(self.folder / 'consul.log').read_text(errors='replace')[-2000:]}")

    def _argv(self) -> list[str]:
        """Its command line, with ports that are free now."""
        ports = [f"-{name}-port={free_port()}" for name in ("server", "serf-lan", "serf-wan")]
        words = ["agent", "-dev", f"-node={AGENT}", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1", f"-http-port={self.port}", *ports]
        if self.token:
            rules = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": self.token}}}
            (self.folder / "acl.json").write_text(json.dumps(rules), encoding="utf-8")
            words.append(f"-config-file={self.folder / 'acl.json'}")
        return [str(program()), *words]

    def _answers_in_time(self) -> bool:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                self.put("ready", "yes")
                # A write needs a leader; the agent's own node is known a little later.
                if self.ask("GET", f"/v1/health/node/{AGENT}"):
                    self.delete("ready")
                    return True
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """End it; what it held is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            keeper().forget_process(self._process.pid)
        atexit.unregister(self.close)

    kill = close

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        wait_for(self._stands, "consul stands still")

    def _stands(self) -> bool:
        """Each of its threads, for one that still runs may answer."""
        pid = self._process.pid if self._process is not None else 0
        return all(path.read_text().rpartition(")")[2].split()[0] == "T" for path in Path(f"/proc/{pid}/task").glob("*/stat"))

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, body, {"X-Consul-Token": self.token} if self.token else {}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)


class Member(Consul):
    """One of three servers."""

    def __init__(self, folder: Path, number: int, ports: Sequence[dict[str, int]]) -> None:
        super().__init__(folder)
        self.number, self.ports = number, ports
        self.port = ports[number]["http"]

    def _argv(self) -> list[str]:
        settings = {
            "server": True,
            "bootstrap_expect": len(self.ports),
            "node_name": f"member-{self.number}",
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "data_dir": str(self.folder / "data"),
            "ports": {**self.ports[self.number], "dns": -1, "grpc": -1},
            "retry_join": [f"127.0.0.1:{each['serf_lan']}" for each in self.ports],
            "retry_interval": "1s",
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
        }
        (self.folder / "consul.json").write_text(json.dumps(settings), encoding="utf-8")
        return [str(program()), "agent", f"-config-file={self.folder / 'consul.json'}"]

    def launch(self) -> None:
        """Start it, and wait for nothing: alone it has no leader."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atexit.register(self.close)
        with open(self.folder / "consul.log", "ab") as log:
            self._process = subprocess.Popen(self._argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
        keeper().watch_process(self._process.pid, signal.SIGKILL)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def asked(self, path: str) -> Any:
        """What it answers; None where it cannot."""
        try:
            return self.ask("GET", path)
        except (OSError, urllib.error.URLError):
            return None


class Servers:
    """Three servers that elect a leader. Two of them are wanted for any write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members: list[Member] = []

    def __enter__(self) -> Servers:
        for attempt in range(10):
            found: set[int] = set()
            while len(found) < 12:
                found.add(free_port())
            free = iter(found)
            ports = [{name: next(free) for name in ("http", "server", "serf_lan", "serf_wan")} for _number in range(3)]
            self.members = [Member(self.folder / f"{attempt}-{number}", number, ports) for number in range(3)]
            if self._elect():
                return self
            self.close()  # somebody else has got one of the ports meanwhile
        raise LabError(f"no three servers of consul find each other: see their logs below {self.folder}")

    def _elect(self) -> bool:
        for each in self.members:
            each.launch()
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and all(each.runs for each in self.members):
            if all(len(each.asked("/v1/status/peers") or ()) == 3 and each.asked("/v1/status/leader") for each in self.members):
                return True
            time.sleep(0.05)
        return False

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for each in self.members:
            each.close()

    @property
    def leader(self) -> Member:
        told = next(filter(None, (each.asked("/v1/status/leader") for each in self.members)))
        return next(each for each in self.members if told.endswith(f":{each.ports[each.number]['server']}"))

    @property
    def followers(self) -> list[Member]:
        leader = self.leader
        return [each for each in self.members if each is not leader]


__all__ = ["AGENT", "NODES", "Consul", "Servers", "fid", "program"]

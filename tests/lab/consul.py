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
import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import old_debian
from lab.hosts.common import CHECKOUT, LabError, locked
from lab.keeper import keeper
from lab.mongo import free_port, wait_for

PLACE = CHECKOUT / ".cache/consul"
VERSION = "1.8.7"
AGENT = "ssc-vm-1"
"""Consul's own name of its node."""
NODES = ("ssc-vm-1.colo", "ssc-vm-2.colo")
UNKNOWN = "M0_NC_UNKNOWN"


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


class Consul:
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

    # -- as somebody else would use it ------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, body, {"X-Consul-Token": self.token} if self.token else {}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def put(self, key: str, value: Any) -> None:
        """Set a key, whatever is there: text as it is, everything else as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        if self.ask("PUT", f"/v1/kv/{key}", text.encode()) is not True:
            raise LabError(f"consul did not take {key}")

    def delete(self, prefix: str = "") -> None:
        self.ask("DELETE", f"/v1/kv/{prefix}?recurse=true")

    def rows(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Keys with their values and indexes."""
        try:
            found = self.ask("GET", f"/v1/kv/{prefix}?recurse=true")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        return {row["Key"]: row for row in found}

    def values(self, prefix: str = "") -> dict[str, Any]:
        return {key: _value(base64.b64decode(row["Value"] or "").decode()) for key, row in self.rows(prefix).items()}

    def events(self) -> list[dict[str, Any]]:
        """The messages of the broadcast queue, oldest first."""
        found = self.values("bq/")
        return [found[key] for key in sorted(found, key=lambda key: int(key.rpartition("/")[2]))]

    def health(self, node: str, status: str) -> None:
        """The node's first check says this: passing, warning or critical."""
        check = {"Node": node, "CheckID": "a-node-check", "Name": "node", "Status": status}
        body = {"Node": node, "Address": "127.0.0.1", "SkipNodeUpdate": False, "Check": check}
        self.ask("PUT", "/v1/catalog/register", json.dumps(body).encode())
        wait_for(lambda: any(row["CheckID"] == "a-node-check" and row["Status"] == status for row in self.ask("GET", f"/v1/health/node/{node}")), "its health")

    # -- Hare -------------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Nothing but the keys of a cluster of two nodes that is well."""
        self.delete()
        for key, value in hare_keys():
            self.put(key, value)
        for name in NODES:
            self.health(name.partition(".")[0], "passing")


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


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def fid(letter: str, key: int) -> str:
    """A fid as Hare prints it."""
    return f"{ord(letter) << 56 | 1:#x}:{key:#x}"


def hare_keys() -> Iterator[tuple[str, Any]]:
    """What cfgen writes for a cluster, and what hax makes of it once everything has started.

    A node has hax, a confd, an ioservice with two drives, and a client. Keys of fids: node 0x10, processes 0x11 to 0x14, services 0x21 to 0x24,
    devices 0x31 and 0x32, drives 0x41 and 0x42; on the second node 0x100 more.
    """
    yield from (("epoch", "1"), ("eq-epoch", "1"), ("leader", NODES[0]), ("failvec", ""), ("m0_client_types", ["m0_client_other"]))
    yield from ((f"bytecount/{word}", "0") for word in ("healthy", "degraded", "critical", "damaged"))
    yield f"m0conf/pools/{fid('o', 1)}", "tier1-nvme"
    yield f"m0conf/profiles/{fid('p', 1)}", {"name": "default", "pools": ["tier1-nvme"]}
    rack = f"m0conf/sites/{fid('S', 1)}/racks/{fid('a', 1)}"
    yield from ((f"m0conf/sites/{fid('S', 1)}", {"state": UNKNOWN}), (rack, {"state": UNKNOWN}))
    for number, name in enumerate(NODES):
        yield from _node(name, 0x100 * number, f"{rack}/encls/{fid('e', 1 + number)}")


def _node(name: str, base: int, enclosure: str) -> Iterator[tuple[str, Any]]:
    node = f"m0conf/nodes/{fid('n', base + 0x10)}"
    control = f"{enclosure}/ctrls/{fid('c', base + 1)}"
    yield f"consul/node/{name}", name.partition(".")[0]
    yield f"bq-delivered/{name}", "1"
    yield node, {"name": name, "state": "online"}
    yield from ((enclosure, {"node": fid("n", base + 0x10), "state": "online"}), (control, {"state": UNKNOWN}))
    for number, kind in enumerate(("ha", "confd", "ios", "m0_client_other"), 1):
        key, service = base + 0x10 + number, base + 0x20 + number
        process = f"{node}/processes/{fid('r', key)}"
        event = {"ha": "M0_CONF_HA_PROCESS_HA", "m0_client_other": "M0_CONF_HA_PROCESS_OTHER"}.get(kind, "M0_CONF_HA_PROCESS_M0D")
        yield process, {"name": "m0_server", "state": "online"}
        yield f"{process}/services/{fid('s', service)}", {"name": kind, "state": UNKNOWN}
        yield f"processes/{fid('r', key)}", {"state": "M0_CONF_HA_PROCESS_DTM_RECOVERED", "type": event}
        plain = f"m0conf/nodes/{name}/processes/{key}"
        yield from ((f"{plain}/services/{kind}", str(service)), (f"{plain}/endpoint", f"inet:tcp:127.0.0.1@{22000 + key}"))
        for disk in (1, 2) if kind == "ios" else ():
            sdev, drive = fid("d", base + 0x30 + disk), fid("k", base + 0x40 + disk)
            yield f"{process}/services/{fid('s', service)}/sdevs/{sdev}", {"path": f"/dev/vd{'ab'[disk - 1]}", "state": "online"}
            yield f"{control}/drives/{drive}", {"sdev": sdev, "state": UNKNOWN}

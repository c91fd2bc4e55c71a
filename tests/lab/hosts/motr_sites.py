# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`motr`: a server with a real Consul, filled as Hare fills it, and a live process with Motr's request handler (`lab.motr.reqh`) under systemd.

What a test does with it: `lab.hosts.motr_host`.
"""

from __future__ import annotations

import base64
import email.message
import json
import tempfile
import urllib.error
from pathlib import Path
from typing import Any

from lab import consul
from lab.hare import NODES, Keys, fid, hare_keys
from lab.hosts.host import Host
from lab.hosts.sites import Site, register
from lab.motr import reqh

AGENT = NODES[0].partition(".")[0]
PROCESS = fid("r", 0x13)
"""The process of the I/O service on the first node, as Hare calls it."""
FIFO, PORT = "/run/m0d.in", "/run/m0d.port"
SEND = """
import base64, json, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
body = None if asked["body"] is None else base64.b64decode(asked["body"])
request = urllib.request.Request("http://127.0.0.1:8500" + asked["path"], body, method=asked["method"])
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""
UNITS = {
    "consul.service": f"/usr/bin/consul agent -dev -node={AGENT} -bind=127.0.0.1 -client=127.0.0.1 -dns-port=-1 -grpc-port=-1",
    # It is told what to do by lines, and ends when there can be no more of them.
    "m0d.service": f"/bin/sh -c 'exec /usr/bin/m0d -e {reqh.ENDPOINT} -f \"<7200000000000001:13>\" 0<>{FIFO}'",
}


class Client(Keys):
    """Consul, as it is asked on the host itself, whether or not that has a network."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        asked = {"method": method, "path": path, "body": None if body is None else base64.b64encode(body).decode()}
        status, text = json.loads(self.host.run(["python3", "-c", SEND], input=json.dumps(asked)).stdout)
        if status != 200:
            raise urllib.error.HTTPError(path, status, text, email.message.Message(), None)
        return json.loads(text) if text.strip() else None


def setup(host: Host) -> None:
    """Once: the programs and their units."""
    host.put(consul.program(), "/usr/bin/consul", mode=0o755)
    with tempfile.TemporaryDirectory() as folder:
        host.put(reqh.build(Path(folder), "-static"), "/usr/bin/m0d", mode=0o755)
    for name, command in UNITS.items():
        before = f"ExecStartPre=-/usr/bin/mkfifo {FIFO}\nStandardOutput=truncate:{PORT}\n" if name == "m0d.service" else "StandardOutput=null\n"
        host.put(f"[Service]\n{before}ExecStart={command}\n\n[Install]\nWantedBy=multi-user.target\n".encode(), f"/etc/systemd/system/{name}")
    host.run(["systemctl", "--quiet", "enable", *UNITS])


def ready(host: Host) -> None:
    """At each start: both answer, and the cluster is well."""
    host.wait_for(lambda: all(host.active(unit) for unit in UNITS), "consul and m0d are active", 60)
    host.wait_for(lambda: host.run(["consul", "kv", "put", "ready", "yes"], check=False).returncode == 0, "consul has a leader", 60)
    host.wait_for(lambda: Client(host).ask("GET", f"/v1/health/node/{AGENT}"), "consul knows its node", 60)
    fill(host)


def fill(host: Host) -> None:
    """Nothing but the keys of a cluster of two nodes that is well."""
    texts = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in hare_keys()]
    rows = [{"key": key, "flags": 0, "value": base64.b64encode(text.encode()).decode()} for key, text in texts]
    host.run(["sh", "-c", "consul kv delete -recurse >/dev/null && exec consul kv import -"], input=json.dumps(rows))
    # The agent tells of its own node by itself, and takes away what anybody else says of it.
    for name in NODES[1:]:
        Client(host).health(name.partition(".")[0], "passing")


register("motr", Site(kind="motr", setup=setup, files=(Path(consul.__file__), reqh.SOURCE), ready=ready, groups=("motr_servers",)))

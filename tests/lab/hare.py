# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Hare keeps in Consul, and how somebody else reads and writes it, wherever that Consul runs."""

from __future__ import annotations

import base64
import json
import urllib.error
from collections.abc import Iterator
from typing import Any

from lab.hosts.common import LabError
from lab.mongo import wait_for

NODES = ("ssc-vm-1.colo", "ssc-vm-2.colo")
UNKNOWN = "M0_NC_UNKNOWN"


class Keys:
    """Keys and checks of a Consul. Whoever derives from it says how it is asked."""

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """What it answers to a request; `urllib.error.HTTPError` where that is an error."""
        raise NotImplementedError

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

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of Motr's modules are run against: a real cluster that a file describes, or the stand-ins of the laboratory in the same form.

Nothing of a real cluster is touched that the file does not name, and nothing is written or stopped there unless it says so. docs/motr_real.md is for
whoever writes such a file.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.s3names import encode_oid

from lab.consul import Consul
from lab.hosts.common import LabError
from lab.motr import segment, target_file
from lab.motr.reqh import Handler, build
from lab.motr.scratch import Scratch
from lab.motr.store.cluster import Cluster as Store
from lab.motr.store.conf import PROCESSES
from lab.motr.target_file import PERMISSIONS, BadTarget
from lab.motr.tools import Cluster
from lab.motr.tools.cluster import CLIENTS, HA, PROFILE

VARIABLE = "FIELDOPS_MOTR"
"""The environment variable that names the file, if the option --motr does not."""
OID = "1234567:89abcdef"
UNLINK = """#!{python}
import sys

sys.path[:0] = {path!r}

from lab.motr.store.unlink import main

sys.exit(main({folder!r}, sys.argv[1:]))
"""


@dataclass
class Target:
    """Sections of options, as the modules take them, and what is permitted."""

    sections: dict[str, dict[str, Any]]
    permitted: frozenset[str]
    real: bool = True
    _ends: ExitStack = field(default_factory=ExitStack, repr=False)

    def close(self) -> None:
        """End what was started for it."""
        self._ends.close()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Target:
        """A real cluster. BadTarget, with what would be accepted, for a file that cannot be meant."""
        sections, permitted = target_file.read(path)
        if "service" in sections.get("process", {}):
            sections["process"]["pid"] = target_file.main_pid(sections["process"].pop("service"))
        made = cls(sections, permitted)
        made._link_tools()
        return made

    @classmethod
    def stand_in(cls, folder: Path) -> Target:
        """The laboratory's, which may be written and stopped."""
        ends = ExitStack()
        cluster = Cluster(folder / "cluster").create()
        index = "<7800000000000001:5001>"
        cluster.put(index, b"12345/other", b"{}")
        store, size = Store.make(folder / "store", 4, 2, 2, 10), 64 * 16384
        store.create(OID, bytes(range(256)) * (size // 256), 3)
        _name(cluster, {"layout_id": 3, "Size": size})
        for tool in cluster.bin.iterdir():
            (store.tools / tool.name).symlink_to(tool)
        unlink = store.tools / "m0unlink"
        unlink.write_text(UNLINK.format(python=sys.executable, path=sys.path, folder=str(store.folder)), encoding="utf-8")
        unlink.chmod(0o755)
        consul = ends.enter_context(Consul(folder / "consul"))
        consul.fill()
        handler = ends.enter_context(Handler(build(folder, "-static")))
        # One server is read from its memory, and the other from its file.
        first, second = PROCESSES
        holder = ends.enter_context(segment.Holder(segment.build(folder), segment.Segments(store.folder / "server0"), first))
        sections: dict[str, dict[str, Any]] = {
            "client": {
                "endpoint": next(iter(CLIENTS)),
                "ha_endpoint": HA,
                "profile": PROFILE,
                "process": next(iter(CLIENTS.values())),
                "tools_dir": str(store.tools),
            },
            "object": {"fid": OID, "conf": str(store.conf), "layout_id": 3, "size": size},
            "name": {"bucket": "photos", "key": "a b.jpg", "account": "12345"},
            "servers": {first: holder.pid, second: str(store.segment_of(second))},
            "process": {"pid": handler.pid},
            "hare": {"consul_url": consul.url, "object": "0x6b00000000000001:0x41"},
            "record": {"index": index, "key": "fieldops/probe"},
            "reset": {"client_endpoint": list(CLIENTS)[1], "server_process": "^r|1:0x29"},
            "scratch": {"first": "1234567:1", "last": "1234567:4", "layout_id": 3, "conf": str(store.conf), "devices": [each.path for each in store.devices]},
        }
        return cls(sections, frozenset(PERMISSIONS), False, ends)

    def _link_tools(self) -> None:
        """Tools that have a path each, in one directory, as the modules want them."""
        tools = self.sections.pop("tools", None)
        if tools is None:
            return
        folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="fieldops-tools-")))
        for name, path in tools.items():
            (folder / name).symlink_to(Path(path).absolute())
        self.sections.setdefault("client", {})["tools_dir"] = str(folder)

    def place(self, process: str) -> dict[str, Any]:
        """Where the segments of a server are read, by options of the modules. LabError where the file does not name it."""
        for named, place in self.sections["servers"].items():
            if ids.parse(named) == ids.parse(process):
                return {"process": named} if place == target_file.MEMORY else {"pid" if isinstance(place, int) else "segment": place}
        raise LabError(f"units of the object are served by {process}, which the section servers does not name")

    def has(self, section: str) -> bool:
        """Whether there is such a section."""
        return section in self.sections

    def scratch(self) -> Scratch:
        """Objects that tests may make, damage and remove."""
        return Scratch(self.sections["scratch"], self.sections["client"])

    def missing(self, section: str, permission: str = "") -> str:
        """Why a test of this section cannot be run here; empty where it can."""
        if section not in self.sections:
            return f"the file has no section {section}"
        return f"the file does not say {permission}: true" if permission and permission not in self.permitted else ""

    def options(self, *sections: str) -> dict[str, Any]:
        """Options of some sections together."""
        return {name: value for section in sections for name, value in self.sections.get(section, {}).items()}


def _name(cluster: Cluster, others: dict[str, Any]) -> None:
    """The records that lead from a name to the object, as s3server writes them."""
    listing, pver = (0x7800000001234567, 2), (0x7600000000000001, 10)
    index = base64.b64encode(struct.pack("<QQQQi4x", *listing, *pver, 1)).decode()
    cluster.put("<7800000000000000:100002>", b"12345/photos", json.dumps({"motr_object_list_index_layout": index}).encode())
    oid = ids.parse_object_id(OID)
    record = {"motr_oid": encode_oid((oid.hi, oid.lo)), "PVID": base64.b64encode(struct.pack("<QQ", *pver)).decode(), "FNo": 0, "PRTS": 0, **others}
    cluster.put("<%x:%x>" % listing, b"a b.jpg", json.dumps(record).encode())


__all__ = ["PERMISSIONS", "VARIABLE", "BadTarget", "Target"]

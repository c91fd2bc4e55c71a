# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what the looks of a run have recorded into a bundle, or takes one apart. Runs on the controller, connects to nothing."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from typing import Any, Dict, List, Mapping, Optional

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import bundle, looked
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.bundle import BundleError, Cut, Part
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.tasks_file import write_tasks

ROOT = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)
EVIDENCE = "__collect_evidence"
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "dest": {"type": "path"},
    "max_bytes": {"type": "int", "default": 104857600},
    "seconds": {"type": "float"},
    "bundle": {"type": "path"},
    "sha256": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """Thin: what is done with a bundle is in plugin_utils/bundle.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result: Dict[str, Any] = super().run(tmp, task_vars)
        args = self.validate_argument_spec(ARGUMENTS, mutually_exclusive=[("dest", "bundle")], required_one_of=[("dest", "bundle")])[1]
        try:
            if args["bundle"]:
                return dict(result, changed=False, **_take_apart(args))
            return dict(result, changed=True, **_put_together(args, task_vars or {}, bool(self._task.check_mode)))
        except BundleError as exc:
            raise AnsibleActionFail(str(exc)) from exc


def _put_together(args: Mapping[str, Any], values: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
    if args["max_bytes"] < 1:
        raise BundleError("max_bytes must be 1 or more, not %d" % args["max_bytes"])
    registers = _read_yaml("playbooks/vars/triage.yml")["registers"]
    hosts, reached = list(values["ansible_play_hosts_all"]), set(values["ansible_play_hosts"])
    parts: List[Part] = []
    cuts: List[Cut] = []
    about: Dict[str, Dict[str, Any]] = {}
    for host in hosts:
        variables = values["hostvars"].raw_get(host)
        about[host] = {"reached": host in reached, "groups": _groups(host, values["groups"])}
        if host in reached:
            found, lost = bundle.parts_of(host, variables, registers, EVIDENCE, looked.FAILED_LOOKS)
            parts += found
            cuts += lost
        else:
            cuts.append(Cut(host, "everything", "it was not reached"))
    parts, lost = bundle.fit(parts, args["max_bytes"])
    made = time.gmtime()
    versions = {"collection": _version(), "ansible": ansible_version, "python": platform.python_version()}
    limits = {"max_bytes": args["max_bytes"], "seconds": args["seconds"]}
    document = bundle.manifest(
        parts, cuts + lost, about, {"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", made), "versions": versions, "limits": limits, "times": _times(parts)}
    )
    told = {"hosts": len(hosts), "files": len(parts), "bytes": document["bytes"], "left_out": document["left_out"][: looked.LISTED]}
    if check_mode:
        return dict(told, path=None, sha256=None)
    path, sha256 = bundle.write(os.path.abspath(args["dest"]), time.strftime("fieldops-%Y%m%dT%H%M%SZ", made), document, parts)
    return dict(told, path=path, sha256=sha256)


def _times(parts: List[Part]) -> Dict[str, float]:
    """Seconds that the looks of each host took, all together."""
    taken: Dict[str, float] = {}
    for part in parts:
        if part.kind == "findings":
            rows = json.loads(part.data)["looks"]
            taken[part.host] = round(sum(float(row["result"].get("elapsed") or 0) for row in rows), 3)
    return taken


def _take_apart(args: Mapping[str, Any]) -> Dict[str, Any]:
    """Records and tasks go into the folder that ansible-core removes when the run ends."""
    path = os.path.abspath(args["bundle"])
    read = bundle.read(path, args["sha256"] or "")
    registers = _read_yaml("playbooks/vars/triage.yml")["registers"]
    modules = _read_yaml("meta/runtime.yml")["action_groups"]["looks"]
    place = tempfile.mkdtemp(prefix="bundle-", dir=C.DEFAULT_LOCAL_TMP)
    hosts: List[Dict[str, Any]] = []
    for replay in bundle.replays(read, registers, modules):
        named = [name for look in replay.looks for name in look[2]]
        paths = {name: os.path.join(place, "%d-%d.json" % (len(hosts), n)) for n, name in enumerate(named)}
        for name, target in paths.items():
            with open(target, "wb") as file:
                file.write(read.files[name])
        tasks = bundle.tasks(replay, paths, looked.FAILED_LOOKS)
        hosts.append({"name": replay.host, "groups": list(replay.groups), "tasks_file": write_tasks(tasks, place, "diagnosis-")})
    manifest = read.manifest
    told = {name: manifest.get(name) for name in ("made", "versions", "left_out", "bytes")}
    return dict(told, hosts=hosts, files=len(manifest["files"]), sha256=read.sha256, path=path)


def _groups(host: str, groups: Mapping[str, Any]) -> List[str]:
    return sorted(str(name) for name, members in groups.items() if name not in ("all", "ungrouped") and host in members)


def _version() -> str:
    """Of this collection: of a checkout, or as it was installed."""
    for name, keys in (("galaxy.yml", ()), ("MANIFEST.json", ("collection_info",))):
        path = os.path.join(ROOT, name)
        if os.path.exists(path):
            found = _read_yaml(name)
            for key in keys:
                found = found[key]
            return str(found["version"])
    return "unknown"


def _read_yaml(name: str) -> Any:
    """A file that lies with the collection. No name comes from outside. JSON is YAML."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return yaml.safe_load(file)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that describes a real cluster for the tests of Motr's modules: what it may say. Nothing of the cluster is asked while it is read."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids, layout
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.processes import find_process

MEMORY = "memory"
"""Of a server: its segments are read from its memory."""
PERMISSIONS = {
    "may_write": "records, states in Hare and HA notes are written, and put back",
    "may_stop": "a process refuses requests for some seconds",
    "may_break": "bytes of an object that the tests have made are overwritten on its device",
}
Sections = dict[str, dict[str, Any]]


class BadTarget(ValueError):
    """A file that describes no cluster; nothing was run."""


def _kind(kind: type) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadTarget(f"{kind.__name__} is accepted, not {value!r}{' (put it in quotes)' if kind is str else ''}")

    return check


TEXT, INTEGER = _kind(str), _kind(int)


def _fid(letters: str) -> Callable[[Any], None]:
    """A fid of one of these types; without one, an index's is accepted too, as the tools take it."""

    def check(value: Any) -> None:
        TEXT(value)
        wanted = " or ".join(f"a {ids.TYPES[letter]} ({letter})" for letter in letters)
        try:
            fid = ids.parse(value)
        except MotrError as exc:
            raise BadTarget(str(exc)) from None
        if fid.type not in [ord(letter) for letter in letters] and not (letters == "x" and fid.type == 0):
            raise BadTarget(f"{fid} is the fid of a {fid.type_name}; accepted is that of {wanted}")

    return check


def _object_id(value: Any) -> None:
    TEXT(value)
    try:
        oid = ids.parse_object_id(value)
    except MotrError as exc:
        raise BadTarget(str(exc)) from None
    if oid.reserved or oid.loses:
        raise BadTarget(f"{oid} is one of Motr's own, or has bits that a fid loses; accepted are 0:100001 to ffffffff:ffffffffffffffff")


def _layout_id(value: Any) -> None:
    INTEGER(value)
    try:
        layout.unit_size(value)
    except MotrError as exc:
        raise BadTarget(str(exc)) from None


def _path(suits: Callable[[Path], bool], what: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        TEXT(value)
        if not Path(value).exists():
            raise BadTarget(f"there is no {value} on this machine")
        if not suits(Path(value)):
            raise BadTarget(f"{value} is no {what}")

    return check


def _program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _storage(path: Path) -> bool:
    return stat.S_ISBLK(path.stat().st_mode) or path.is_file()


FILE, DIRECTORY, PROGRAM = _path(Path.is_file, "file"), _path(Path.is_dir, "directory"), _path(_program, "program that may be run")
STORAGE = _path(_storage, "block device or file")


def _each(check: Callable[[Any], None]) -> Callable[[Any], None]:
    def check_all(value: Any) -> None:
        if not isinstance(value, list) or not value:
            raise BadTarget(f"a list is accepted, not {value!r}")
        for each in value:
            check(each)

    return check_all


def _url(value: Any) -> None:
    TEXT(value)
    if not re.fullmatch(r"https?://[^/@\s]+/?", value):
        raise BadTarget(f"{value!r} is no address; one is like http://127.0.0.1:8500, without a user or token")


def _pid(value: Any) -> None:
    INTEGER(value)
    if not Path(f"/proc/{value}").exists():
        raise BadTarget(f"there is no process {value} on this machine")


def main_pid(service: str) -> int:
    """The first process of a service, as systemd tells it."""
    try:
        command = ["systemctl", "show", "--property=MainPID", "--value", "--", service]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError as exc:
        raise BadTarget(f"systemctl cannot be run ({exc.strerror}): name the process by pid") from None
    if not said.isdigit() or said == "0":
        raise BadTarget(f"{service} is no service that runs on this machine")
    return int(said)


def _service(value: Any) -> None:
    TEXT(value)
    main_pid(value)


OPTIONS: dict[str, dict[str, Callable[[Any], None]]] = {
    "client": {
        "endpoint": TEXT,
        "ha_endpoint": TEXT,
        "profile": _fid("p"),
        "process": _fid("r"),
        "tools_dir": DIRECTORY,
        "tool_timeout": INTEGER,
    },
    "tools": dict.fromkeys(("m0kv", "m0cp", "m0cat", "m0unlink", "m0ham", "m0hagen"), PROGRAM),
    "object": {"fid": _object_id, "conf": FILE, "layout_id": _layout_id, "size": INTEGER, "pool_version": _fid("v"), "cobs": _each(_fid("C"))},
    "name": {"bucket": TEXT, "key": TEXT, "account": TEXT, "schema": TEXT, "tenant": TEXT, "s3_url": _url},
    "process": {"pid": _pid, "process": _fid("r"), "service": _service, "gdb": PROGRAM},
    "hare": {"consul_url": _url, "ca_cert": FILE, "object": _fid("kd")},
    "record": {"index": _fid("x"), "key": TEXT},
    "reset": {"client_endpoint": TEXT, "server_process": _fid("r")},
    "scratch": {"first": _object_id, "last": _object_id, "layout_id": _layout_id, "conf": FILE, "pool_version": _fid("v"), "devices": _each(STORAGE)},
}
NEEDED: dict[str, tuple[str, ...]] = {
    "client": ("endpoint", "ha_endpoint", "profile", "process"),
    "object": ("fid", "conf", "layout_id", "size"),
    "name": ("bucket", "key"),
    "hare": ("consul_url",),
    "record": ("index", "key"),
    "reset": ("client_endpoint", "server_process"),
    "scratch": ("first", "last", "layout_id", "conf", "devices"),
}
USES = {"record": ("m0kv",), "reset": ("m0hagen", "m0ham"), "scratch": ("m0cp", "m0cat"), "name": ("m0kv",)}
"""Motr's tools that a section is reached through."""
ACCEPTED = ", ".join([*OPTIONS, "servers", *PERMISSIONS])


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return made


def read(path: str | os.PathLike[str]) -> tuple[Sections, frozenset[str]]:
    """Its sections, and what is permitted. BadTarget, with what would be accepted, for a file that cannot be meant."""
    try:
        told = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # noqa: S506 - it is a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise BadTarget(f"{path} cannot be read: {exc}") from exc
    if not isinstance(told, dict):
        raise BadTarget(f"{path} has no sections; accepted are {ACCEPTED}")
    permitted = frozenset(name for name in PERMISSIONS if _switch(name, told.pop(name, False)))
    for name, section in told.items():
        _check(name, section)
    _check_together(told)
    return told, permitted


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadTarget(f"{name}: true or false is accepted, not {value!r}")
    return value


def _check(name: str, section: Any) -> None:
    if name == "servers":
        _check_servers(section)
        return
    if name not in OPTIONS:
        raise BadTarget(f"{name}: there is no such section; accepted are {ACCEPTED}")
    known = OPTIONS[name]
    if not isinstance(section, dict):
        raise BadTarget(f"{name}: a section has {', '.join(known)}, not {section!r}")
    for option in section:
        if option not in known:
            raise BadTarget(f"{name}.{option}: there is no such option; accepted are {', '.join(known)}")
    _check_options(name, section)


def _check_options(name: str, section: dict[str, Any]) -> None:
    lacking = [option for option in NEEDED.get(name, ()) if option not in section]
    if lacking:
        raise BadTarget(f"{name}: {', '.join(lacking)} missing")
    if name == "process" and len({"pid", "process", "service"} & set(section)) != 1:
        raise BadTarget("process: name one, by pid, by process (its fid) or by service")
    for option, value in section.items():
        try:
            OPTIONS[name][option](value)
        except BadTarget as exc:
            raise BadTarget(f"{name}.{option}: {exc}") from None
    if name == "process" and "process" in section:
        _find("process.process", section["process"])


def _check_servers(section: Any) -> None:
    if not isinstance(section, dict) or not section:
        raise BadTarget(f"servers: accepted are fids of processes, each with {MEMORY}, a pid, or the path of its segments, not {section!r}")
    for process, place in section.items():
        try:
            _fid("r")(process)
            if place != MEMORY:
                (_pid if isinstance(place, int) else STORAGE)(place)
        except BadTarget as exc:
            raise BadTarget(f"servers: {process}: {exc}") from None
        if place == MEMORY:
            _find("servers", process)


def _find(where: str, process: str) -> None:
    try:
        find_process(process=process)
    except MotrError as exc:
        raise BadTarget(f"{where}: {exc}") from None


def _check_together(told: Sections) -> None:
    if "tools" in told and "tools_dir" in told.get("client", {}):
        raise BadTarget("tools and client.tools_dir: give one of them")
    if "scratch" in told:
        first, last = (ids.parse_object_id(told["scratch"][name]) for name in ("first", "last"))
        if first.hi != last.hi or first.lo > last.lo:
            raise BadTarget(f"scratch: {first} to {last} is no range; accepted are ids with the same first half, of which last is not below first")
    for section, programs in USES.items():
        if section not in told or told[section].get("s3_url"):
            continue
        if "client" not in told:
            raise BadTarget(f"{section} is reached through Motr's tools: the section client is missing")
        for program in programs:
            where = told["client"].get("tools_dir")
            if program not in told.get("tools", {}) and ("tools" in told or shutil.which(program, path=where) is None):
                raise BadTarget(f"{section}: there is no {program} in {'tools' if 'tools' in told else where or 'the PATH'}")

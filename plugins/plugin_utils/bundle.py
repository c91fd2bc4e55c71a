# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence bundles: what the looks of a run have recorded and found, host by host, in one archive with a manifest and checksums.

    manifest.json                          what is in it, with sizes and checksums; what was left out, and why; the hosts and their groups
    hosts/NAME/records/01-MODULE.json      what a look has read
    hosts/NAME/findings.json               what it found, and looks that failed
    hosts/NAME/evidence/...                logs and states

A bundle may come from anywhere: nothing is read from one but regular files that its manifest names, with the sizes and checksums that it gives.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import secrets
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..module_utils.connect import redact
from .looked import results
from .tasks_file import said

FORMAT = 1
MANIFEST = "manifest.json"
KINDS = ("record", "findings", "evidence")
"""What matters most first: that is what the limit of size leaves out last."""
MOST_BYTES = 1 << 30
MOST_FILES = 100000
_NAMED_TOLD = 5
_FIELDS = {"path": str, "sha256": str, "bytes": int, "kind": str, "host": str}


class BundleError(Exception):
    """One sentence on what is wrong with a bundle, or why it cannot be written."""


@dataclass(frozen=True)
class Part:
    """One file of a bundle. ``about`` goes into the manifest with it."""

    host: str
    kind: str
    path: str
    data: bytes
    about: Mapping[str, Any]


class Cut(NamedTuple):
    """What is not in the bundle, and why."""

    host: str
    what: str
    why: str


class Bundle(NamedTuple):
    """One that was verified. ``sha256`` is that of its manifest, and so of all of it."""

    manifest: Dict[str, Any]
    files: Dict[str, bytes]
    sha256: str


# -- from results to parts ---------------------------------------------------------------------------------------------------


def parts_of(host: str, variables: Mapping[str, Any], registers: Sequence[str], evidence: str, failed: str) -> Tuple[List[Part], List[Cut]]:
    """What the looks of a host have left in its variables."""
    parts: List[Part] = []
    found: List[Dict[str, Any]] = []
    for register in registers:
        for result in results(variables.get(register)):
            record = result.get("record")
            if isinstance(record, Mapping) and isinstance(record.get("check"), str):
                path = "records/%02d-%s.json" % (len(parts) + 1, file_name(record["check"]))
                parts.append(_part(host, "record", path, record, module=record["check"], register=register))
            if isinstance(result.get("findings"), list):
                told = {name: value for name, value in result.items() if name not in ("record", "invocation") and not name.startswith("_ansible")}
                found.append({"register": register, "result": redact.tree(told)})
    troubles = redact.tree([dict(entry) for entry in variables.get(failed) or () if isinstance(entry, Mapping)])
    parts.append(_part(host, "findings", "findings.json", {"looks": found, "failed": troubles}))
    texts, cuts = _evidence(host, variables.get(evidence))
    return parts + texts, cuts


def _evidence(host: str, result: Any) -> Tuple[List[Part], List[Cut]]:
    parts: List[Part] = []
    cuts: List[Cut] = []
    for n, each in enumerate((result or {}).get("files") or () if isinstance(result, Mapping) else ()):
        name, text = str(each["name"]), redact.text(str(each["text"]))
        data = text.encode("utf-8", "backslashreplace")
        parts.append(Part(host, "evidence", "hosts/%s/evidence/%03d-%s" % (file_name(host), n, file_name(name)), data, {"name": name}))
        if each.get("cut"):
            cuts.append(Cut(host, name, "only its last %d of %s bytes" % (len(data), each.get("bytes"))))
    missing = (result.get("missing") if isinstance(result, Mapping) else None) or {}
    cuts += [Cut(host, str(name), redact.text(str(why))) for name, why in sorted(missing.items())]
    if isinstance(result, Mapping) and result.get("failed"):
        cuts.append(Cut(host, "evidence", redact.text(str(result.get("msg") or "the task failed"))))
    return parts, cuts


def _part(host: str, kind: str, path: str, value: Any, **about: Any) -> Part:
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode("ascii")
    return Part(host, kind, "hosts/%s/%s" % (file_name(host), path), data, about)


def file_name(text: str) -> str:
    """A plain name from any text; another text gives another name."""
    plain = re.sub(r"[^A-Za-z0-9_.@-]", "_", text).lstrip(".")[:100]
    return plain if plain == text and plain else "%s~%s" % (plain, hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8])


def fit(parts: Iterable[Part], most: int) -> Tuple[List[Part], List[Cut]]:
    """As many as there is room for: records first, and of a kind the small ones, so that one host with much takes no other's place."""
    kept: List[Part] = []
    cuts: List[Cut] = []
    room = most
    for part in sorted(parts, key=lambda part: (KINDS.index(part.kind), len(part.data), part.path)):
        if len(part.data) <= room:
            room -= len(part.data)
            kept.append(part)
        else:
            cuts.append(Cut(part.host, str(part.about.get("name") or part.path), "left out: all of it together may have %d bytes" % most))
    return sorted(kept, key=lambda part: part.path), cuts


def manifest(parts: Sequence[Part], cuts: Sequence[Cut], hosts: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]) -> Dict[str, Any]:
    """What says what is in a bundle."""
    files = [
        dict(part.about, path=part.path, host=part.host, kind=part.kind, bytes=len(part.data), sha256=hashlib.sha256(part.data).hexdigest()) for part in parts
    ]
    told = {"format": FORMAT, "hosts": {host: dict(value) for host, value in hosts.items()}, "files": files, "left_out": [each._asdict() for each in cuts]}
    return dict(about, bytes=sum(each["bytes"] for each in files), **told)


# -- to disk -------------------------------------------------------------------------------------------------------------------


def write(directory: str, name: str, document: Mapping[str, Any], parts: Sequence[Part]) -> Tuple[str, str]:
    """Path and checksum of a new bundle: for its owner alone, whole under its name, or not there."""
    text = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii")
    path = os.path.join(directory, name + ".tar.gz")
    unfinished = os.path.join(directory, ".%s.%s" % (name, secrets.token_hex(8)))
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    for member, data in [(MANIFEST, text), *((part.path, part.data) for part in parts)]:
                        archive.addfile(_member("%s/%s" % (name, member), len(data)), io.BytesIO(data))
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)  # unlike a rename, it replaces nothing
        finally:
            os.unlink(unfinished)
    except OSError as exc:
        raise BundleError("the bundle %s cannot be written: %s" % (path, exc.strerror or exc)) from exc
    return path, hashlib.sha256(text).hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.type = size, 0o600, tarfile.REGTYPE
    return member


def read(path: str, sha256: str = "", most: int = MOST_BYTES) -> Bundle:
    """A bundle whose every byte is as its manifest says; an archive, or the folder that it was unpacked to."""
    files = _folder(path, most) if os.path.isdir(path) else _archive(path, most)
    text = files.pop(MANIFEST, None)
    if text is None:
        raise BundleError("%s is no bundle of fieldops.runbooks.collect: it has no %s" % (path, MANIFEST))
    found = hashlib.sha256(text).hexdigest()
    if sha256 and sha256.lower() != found:
        raise BundleError("%s is not the bundle that was asked for: its manifest has the checksum %s, not %s" % (path, found, sha256.lower()))
    document = _document(path, text)
    wrong = list(_wrong(document["files"], files))
    if wrong:
        more = " and %d more" % (len(wrong) - _NAMED_TOLD) if len(wrong) > _NAMED_TOLD else ""
        raise BundleError("%s is damaged, or was changed: %s%s. Take another copy" % (path, "; ".join(wrong[:_NAMED_TOLD]), more))
    return Bundle(document, files, found)


def _document(path: str, text: bytes) -> Dict[str, Any]:
    try:
        document = json.loads(text)
        known = document["format"]
    except (ValueError, KeyError, TypeError) as exc:
        raise BundleError("%s is damaged, or was changed: its manifest cannot be read" % path) from exc
    if known != FORMAT:
        raise BundleError("%s has the form %s of a bundle; this version reads %d" % (path, known, FORMAT))
    rows, hosts = document.get("files"), document.get("hosts")
    shaped = isinstance(rows, list) and isinstance(hosts, dict) and all(isinstance(host, dict) for host in hosts.values())
    if not shaped or not all(isinstance(row, dict) and _shaped(row) and row["host"] in hosts for row in rows):
        raise BundleError("%s is damaged, or was changed: its manifest says nothing that could be checked" % path)
    return dict(document)


def _shaped(row: Mapping[str, Any]) -> bool:
    return {name: type(row.get(name)) for name in _FIELDS} == dict(_FIELDS)


def _wrong(rows: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> Iterator[str]:
    """By the manifest's word."""
    named = {row["path"] for row in rows}
    if len(named) != len(rows):
        yield "its manifest names a file twice"
    yield from ("%s is not in its manifest" % path for path in sorted(files.keys() - named))
    for row in rows:
        data = files.get(row["path"])
        if data is None:
            yield "%s is missing" % row["path"]
        elif len(data) != row["bytes"] or hashlib.sha256(data).hexdigest() != row["sha256"]:
            yield "%s is not what was written" % row["path"]


def _archive(path: str, most: int) -> Dict[str, bytes]:
    files: Dict[str, bytes] = {}
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                name = member.name.partition("/")[2]
                if not member.isreg() or not _plain(name) or name in files:
                    raise BundleError("%s is damaged, or was changed: %r is nothing that belongs into a bundle" % (path, member.name))
                most -= member.size
                if most < 0 or len(files) >= MOST_FILES:
                    raise BundleError("%s is larger than any bundle: it was not read" % path)
                content = archive.extractfile(member)
                files[name] = content.read() if content else b""
            packed.read(tarfile.RECORDSIZE)  # to its end, where its checksum is
    except OSError as exc:
        if not isinstance(exc, gzip.BadGzipFile) and exc.errno is not None:
            raise BundleError("the bundle %s cannot be read: %s" % (path, exc.strerror)) from exc
        raise BundleError("%s is damaged, or no bundle: %s" % (path, exc)) from exc
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as exc:
        raise BundleError("%s is damaged, or no bundle: %s" % (path, exc)) from exc
    return files


def _plain(name: str) -> bool:
    parts = name.split("/")
    return all(re.fullmatch(r"[A-Za-z0-9_@~-][A-Za-z0-9_.@~-]*", part) for part in parts)


def _folder(path: str, most: int) -> Dict[str, bytes]:
    files: Dict[str, bytes] = {}

    def unreadable(exc: OSError) -> None:
        raise BundleError("the bundle %s cannot be read: %s" % (path, exc.strerror)) from exc

    for directory, folders, names in os.walk(path, onerror=unreadable):
        for name in [*names, *(each for each in folders if os.path.islink(os.path.join(directory, each)))]:
            full = os.path.join(directory, name)
            inner = os.path.relpath(full, path)
            if os.path.islink(full) or not os.path.isfile(full) or not _plain(inner):
                raise BundleError("%s is damaged, or was changed: %r is nothing that belongs into a bundle" % (path, inner))
            most -= os.path.getsize(full)
            if most < 0 or len(files) >= MOST_FILES:
                raise BundleError("%s is larger than any bundle: it was not read" % path)
            try:
                with open(full, "rb") as file:
                    files[inner] = file.read()
            except OSError as exc:
                unreadable(exc)
    return files


# -- from a bundle to tasks ------------------------------------------------------------------------------------------------------


class Replay(NamedTuple):
    """What is judged again of a host. ``looks`` are (register, module, paths in the bundle)."""

    host: str
    groups: Tuple[str, ...]
    looks: Tuple[Tuple[str, str, Tuple[str, ...]], ...]
    failed: Tuple[Mapping[str, str], ...]


def replays(bundle: Bundle, registers: Sequence[str], modules: Sequence[str]) -> List[Replay]:
    """Host by host. A record of a look that this version has not is told as one that failed."""
    told: List[Replay] = []
    for host, about in bundle.manifest["hosts"].items():
        looks: Dict[Tuple[str, str], List[str]] = {}
        failed = _failed(bundle, host) if about.get("reached") else [_trouble("", "reach the host", "it was not reached when the bundle was made")]
        for row in bundle.manifest["files"]:
            if row["host"] != host or row["kind"] != "record":
                continue
            register, module = str(row.get("register")), str(row.get("module"))
            if register in registers and module in modules:
                looks.setdefault((register, module), []).append(row["path"])
            else:
                failed.append(_trouble(module, "replay %s" % row["path"], "this version has no look %s for %s" % (module, register)))
        lost = [each for each in bundle.manifest.get("left_out") or () if each.get("host") == host and "/records/" in str(each.get("what"))]
        failed += [_trouble("", "replay %s" % each["what"], str(each.get("why"))) for each in lost]
        groups = tuple(str(name) for name in about.get("groups") or () if re.fullmatch(r"[A-Za-z_]\w*", str(name)))
        told.append(Replay(host, groups, tuple((*key, tuple(paths)) for key, paths in looks.items()), tuple(failed)))
    return told


def _failed(bundle: Bundle, host: str) -> List[Mapping[str, str]]:
    for row in bundle.manifest["files"]:
        if row["host"] == host and row["kind"] == "findings":
            try:
                rows = json.loads(bundle.files[row["path"]])["failed"]
            except (ValueError, KeyError, TypeError):
                return [_trouble("", "read %s" % row["path"], "it is not understood")]
            return [_trouble(*(str(each.get(key, "")) for key in ("system", "task", "reason"))) for each in rows if isinstance(each, dict)]
    return []


def _trouble(system: str, task: str, reason: str) -> Mapping[str, str]:
    return {"system": system, "task": task, "reason": reason}


def tasks(replay: Replay, place: Mapping[str, str], failed: str) -> List[Dict[str, Any]]:
    """What judges the records of a host again. ``place`` says where each of them was put; ``failed`` is the variable for looks that failed."""
    told = {"__diagnose_failed": said([dict(each) for each in replay.failed])}
    made: List[Dict[str, Any]] = [{"name": "Looks that failed then", "ansible.builtin.set_fact": {failed: "{{ __diagnose_failed }}"}, "vars": told}]
    together: Dict[str, List[Tuple[str, str]]] = {}
    for register, module, paths in replay.looks:
        together.setdefault(register, []).extend((module, place[path]) for path in paths)
    # What was looked at together is judged together: a register holds only what its last task has left there.
    for register, looks in together.items():
        names = ", ".join(dict.fromkeys(module for module, _path in looks))
        asked = [{"module": "fieldops.runbooks.%s" % module, "args": {"replay": path}} for module, path in looks]
        action = {"name": "Judge what %s has seen" % names, "fieldops.runbooks.runbook_looks": {"looks": asked}, "register": register}
        made.append({"name": "Judge again, whatever comes of it", "block": [action], "rescue": [_remember(names, failed)]})
    return made


def _remember(module: str, failed: str) -> Dict[str, Any]:
    entry = {"system": module, "task": "{{ ansible_failed_task.name }}", "reason": "{{ ansible_failed_result.msg | default('') }}"}
    fact = {failed: "{{ %s + [__diagnose_trouble] }}" % failed}
    return {"name": "Remember that it failed", "ansible.builtin.set_fact": fact, "vars": {"__diagnose_trouble": entry}}

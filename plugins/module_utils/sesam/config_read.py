# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration to be uploaded: read from a file on the node (a JSON array, or a zip as the node gives and takes it) or from the task, and checked."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
import zlib
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

from .config_secrets import secrets
from .errors import SesamError
from .metadata import NODE, Entity

_ENDING = ".conf.json"
_GROUP = "$config-group"
DEFAULT_GROUP = "default"


def read_source(path: str, limit: int) -> List[Entity]:
    """The entities of a file, a zip told by its first bytes."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            os.close(handle)
            what = "has %d bytes, more than max_size allows (%d)" % (info.st_size, limit) if stat.S_ISREG(info.st_mode) else "is not a file"
            raise _error("src: %s %s" % (path, what))
        with os.fdopen(handle, "rb") as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise _error("src: %s cannot be read: %s" % (path, exc.strerror)) from exc
    if len(data) > limit:
        raise _error("src: %s is being written to: it has more than %d bytes by now" % (path, limit))
    return from_zip(data, limit, path) if data[:2] == b"PK" else from_json(data, path)


def from_json(data: bytes, where: str) -> List[Entity]:
    """An array of entities."""
    found = parse(data, "src: %s" % where)
    if not isinstance(found, list):
        raise _error("src: %s holds one %s, a full configuration is an array of entities: [{...}, ...]" % (where, _kind(found)))
    return list(found)


def from_zip(data: bytes, limit: int, where: str) -> List[Entity]:
    """All ``*.conf.json`` of an archive, each an entity or an array of them. Nothing is written to a disk."""
    entities: List[Entity] = []
    left = limit
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = sorted((each for each in archive.infolist() if each.filename.endswith(_ENDING)), key=lambda each: each.filename)
            for member in members:
                with archive.open(member) as file:
                    text = file.read(left + 1)
                left -= len(text)
                if left < 0:
                    raise _error("src: the files in %s have more than %d bytes together, which is what max_size allows" % (where, limit))
                found = parse(text, "src: %s in %s" % (member.filename, where))
                entities += found if isinstance(found, list) else [found]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error, OSError) as exc:  # ValueError: its parts begin before it
        raise _error("src: %s is not a zip archive that can be read: %s" % (where, exc)) from exc
    if not entities:
        raise _error("src: there is no file *%s in the archive %s" % (_ENDING, where))
    return entities


def parse(data: bytes, what: str) -> Any:
    """JSON, told by place what is wrong with it. A key that is there twice, or a number that is none, is an error: one of them would be lost."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _error("%s is not UTF-8 at byte %d" % (what, exc.start)) from exc
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        raise _error("%s is not JSON: line %d column %d: %s" % (what, exc.lineno, exc.colno, exc.msg)) from None
    except RecursionError:
        raise _error("%s is nested too deeply" % what) from None
    except ValueError as exc:
        raise _error("%s is not JSON that can be relied on: %s" % (what, exc)) from None


def _object(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _value in pairs]
        raise ValueError("the key %r is there twice in one object" % next(name for name in names if names.count(name) > 1))
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError("%s is no number" % name)


def check_entities(entities: Sequence[Any], group: str, what: str) -> List[Entity]:
    """Everything that can be told without asking the node."""
    if not entities:
        raise _error("%s: there is no entity in it, and the upload of nothing would delete everything" % what)
    places: Dict[str, int] = {}
    for number, entity in enumerate(entities, 1):
        _check_one(entity, number, group, what)
        first = places.setdefault(entity["_id"], number)
        if first != number:
            raise _error("%s: entities %d and %d have the same _id %r" % (what, first, number, entity["_id"]))
    return list(entities)


def _check_one(entity: Any, number: int, group: str, what: str) -> None:
    if not isinstance(entity, Mapping):
        raise _error("%s: entity %d is %s, not an object" % (what, number, _kind(entity)))
    for key in ("_id", "type"):
        if not isinstance(entity.get(key), str) or not entity[key]:
            raise _error("%s: entity %d%s has no %s, a text that is not empty" % (what, number, _named(entity), key))
    other = entity.get(_GROUP)
    if other is not None and other != group:
        raise _error(
            "%s: %r says that it is of the group %r, and this upload is of the group %r: upload it with group: %s" % (what, entity["_id"], other, group, other)
        )
    is_metadata, is_node = entity["type"] == "metadata", entity["_id"] == NODE
    if is_metadata != is_node:
        raise _error("%s: %r is of type %r; the node's metadata, and nothing else, is {_id: node, type: metadata}" % (what, entity["_id"], entity["type"]))
    if is_node and group != DEFAULT_GROUP:
        raise _error("%s: the node's metadata belong to the group %s, not to %s" % (what, DEFAULT_GROUP, group))


def check_open(entities: Sequence[Entity]) -> None:
    """Ansible prints what a task was given, and a credential with it."""
    for entity in entities:
        found = next(secrets(entity), None)
        if found is not None:
            raise _error(
                "entities: %s of %r looks like a credential, which Ansible would log with the task: "
                "refer to it as $SECRET(name), or put the configuration into a file on the node and pass src" % (".".join(found[0]), entity.get("_id"))
            )


def _named(entity: Mapping[str, Any]) -> str:
    name: Optional[Any] = entity.get("_id")
    return " (%r)" % name if isinstance(name, str) and name else ""


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "object"
    return {list: "array", str: "text", type(None): "null", bool: "boolean"}.get(type(value), "number")


def _error(text: str) -> SesamError:
    return SesamError(text, kind="bad_request")

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state as JSON, and back: what a look has read, so that it can be judged again without the host.

A state is made of named tuples, dataclasses and enums of this collection, and of what Python has for values. What comes back is exactly equal
to what went in; anything else is refused by its type when it is written. When it is read, nothing is made but values and such types: a record may
come from anywhere.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import importlib
import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .errors import RunbookError

VERSION = 1
KIND = "~"
"""The key that tells a value that JSON has not from a mapping of texts."""
PACKAGE = __name__.rpartition(".procedure.")[0]
"""All code that a record may name lies below it, wherever Ansible has put it."""

Values = Mapping[str, Any]


def encode(value: Any, text: Callable[[str], str] = str) -> Any:
    """As JSON values. ``text`` is put over every text, to take out what nobody may see."""
    kind = type(value)  # what is derived from one of these would come back as something else
    if value is None or kind in (bool, int):
        return value
    if kind is str:
        return text(value)
    if kind is float:
        return value if math.isfinite(value) else {KIND: "float", "of": repr(value)}
    if kind is list:
        return [encode(each, text) for each in value]
    return _mapping(value, text) if isinstance(value, Mapping) else _other(value, text)


def _mapping(value: Mapping[Any, Any], text: Callable[[str], str]) -> Any:
    if {type(key) for key in value} <= {str} and KIND not in value:
        return {key: encode(each, text) for key, each in value.items()}
    return {KIND: "dict", "of": [[encode(key, text), encode(each, text)] for key, each in value.items()]}


def _other(value: Any, text: Callable[[str], str]) -> Dict[str, Any]:
    kind = type(value)
    if isinstance(value, enum.Enum):
        return {KIND: "enum", "type": _name(kind), "of": value.name}
    if hasattr(kind, "_fields"):
        return {KIND: "tuple", "type": _name(kind), "of": [encode(each, text) for each in value]}
    if dataclasses.is_dataclass(value):
        return {KIND: "data", "type": _name(kind), "of": {field.name: encode(getattr(value, field.name), text) for field in dataclasses.fields(value)}}
    if kind in (tuple, set, frozenset):
        return {KIND: kind.__name__, "of": [encode(each, text) for each in value]}
    if kind in (bytes, bytearray):
        return {KIND: kind.__name__, "of": base64.b64encode(value).decode("ascii")}
    if kind is datetime.timedelta:
        return {KIND: "timedelta", "of": [value.days, value.seconds, value.microseconds]}
    if kind in (datetime.datetime, datetime.date):
        return {KIND: kind.__name__, "of": value.isoformat()}
    raise RunbookError("a state with a %s cannot be recorded" % _name(kind))


def _name(kind: type) -> str:
    return "%s:%s" % (kind.__module__.replace(PACKAGE + ".", "", 1), kind.__qualname__)


def decode(value: Any) -> Any:
    """The state again; one clear error for what is no record."""
    try:
        return _decode(value)
    except (KeyError, TypeError, ValueError, AttributeError, ImportError) as exc:
        raise RunbookError("this is no state that this version of the collection has recorded: %s" % exc) from exc


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind is None:
        return {key: _decode(each) for key, each in value.items()}
    if kind not in _READERS:
        raise ValueError("%r is no kind of value" % (kind,))
    return _READERS[kind](value)


def _data(value: Values) -> Any:
    """Set field by field, as it was: what a constructor derives is among the fields."""
    kind = _type(value["type"], dataclasses.is_dataclass)
    names = {field.name for field in dataclasses.fields(kind)}
    if names != set(value["of"]):
        raise ValueError("%s has other fields now" % value["type"])
    made = object.__new__(kind)
    for name, each in value["of"].items():
        object.__setattr__(made, name, _decode(each))
    return made


def _tuple(value: Values) -> Any:
    fields = [_decode(each) for each in value["of"]]
    if value.get("type") is None:
        return tuple(fields)
    kind = _type(value["type"], lambda found: issubclass(found, tuple) and hasattr(found, "_fields"))
    return kind(*fields)


def _enum(value: Values) -> Any:
    return _type(value["type"], lambda found: issubclass(found, enum.Enum))[value["of"]]


def _type(name: str, fits: Callable[[Any], bool]) -> Any:
    """A class of this collection's, and of the sort that was recorded."""
    module, colon, path = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (module + "." + path).split(".")):
        raise ValueError("%r is no type of this collection" % name)
    found: Any = importlib.import_module("%s.%s" % (PACKAGE, module))
    for part in path.split("."):
        found = getattr(found, part)
    if not isinstance(found, type) or found.__module__ != "%s.%s" % (PACKAGE, module) or not fits(found):
        raise ValueError("%r is no type of a state" % name)
    return found


def _dict(value: Values) -> Dict[Any, Any]:
    return {_decode(key): _decode(each) for key, each in value["of"]}


_READERS: Dict[str, Callable[[Values], Any]] = {
    "float": lambda value: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[value["of"]],
    "dict": _dict,
    "data": _data,
    "tuple": _tuple,
    "enum": _enum,
    "set": lambda value: set(_list(value)),
    "frozenset": lambda value: frozenset(_list(value)),
    "bytes": lambda value: base64.b64decode(value["of"], validate=True),
    "bytearray": lambda value: bytearray(base64.b64decode(value["of"], validate=True)),
    "timedelta": lambda value: datetime.timedelta(*value["of"]),
    "datetime": lambda value: datetime.datetime.fromisoformat(value["of"]),
    "date": lambda value: datetime.date.fromisoformat(value["of"]),
}


def _list(value: Values) -> List[Any]:
    return [_decode(each) for each in value["of"]]


def cleaned(value: Any, redact: Any) -> Any:
    """Encoded values without secrets. ``redact`` knows them: by the name of an entry, by the word before, by their shape."""
    if isinstance(value, str):
        return redact.text(value)
    if isinstance(value, list):
        whole = all(isinstance(each, str) for each in value)  # such as a command line
        return redact.words(value) if whole else [cleaned(each, redact) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind is None:
        return {key: _entry(key, each, redact) for key, each in value.items()}
    if kind in ("bytes", "bytearray"):
        return dict(value, of=base64.b64encode(redact.data(base64.b64decode(value["of"]))).decode("ascii"))
    if kind in ("enum", "float", "timedelta", "datetime", "date"):
        return value
    if kind == "dict":
        return dict(value, of=[[cleaned(key, redact), _entry(key, each, redact)] for key, each in value["of"]])
    return dict(value, of=cleaned(value["of"], redact))


def _entry(name: Any, value: Any, redact: Any) -> Any:
    secret = isinstance(name, str) and redact.secret_name(name)
    return _hidden(value, redact) if secret else cleaned(value, redact)


def _hidden(value: Any, redact: Any) -> Any:
    """The same types, so that it can be read again, without a word."""
    if isinstance(value, dict) and KIND in value:
        if value[KIND] in ("bytes", "bytearray"):
            return dict(value, of=base64.b64encode(redact.HIDDEN.encode("ascii")).decode("ascii"))
        kept = value[KIND] in ("enum", "float", "timedelta", "datetime", "date")
        return value if kept else dict(value, of=_hidden(value["of"], redact))
    if isinstance(value, dict):
        return {key: _hidden(each, redact) for key, each in value.items()}
    return [_hidden(each, redact) for each in value] if isinstance(value, list) else redact.hidden(value)


def recorded(check: Any, state: Any, redact: Any) -> Dict[str, Any]:
    """What a result carries: what was read, and what it is judged by."""
    state, judged_by = check.to_record(state)
    told = {"state": encode(state), "judged_by": {name: encode(value) for name, value in judged_by.items()}}
    return dict({"version": VERSION, "check": check.name}, **{name: cleaned(value, redact) for name, value in told.items()})


def replayed(kind: Any, record: Any) -> Tuple[Any, Any]:
    """A check that was never connected to anything, and the state that it is to judge, from a record of the same check."""
    if not isinstance(record, dict):
        raise RunbookError("a record is a mapping with check, version, state and judged_by, not a %s" % type(record).__name__)
    told: Tuple[Optional[Any], Optional[Any]] = (record.get("check"), record.get("version"))
    if told != (kind.name, VERSION) or "state" not in record:
        raise RunbookError("replay takes what %s has recorded (version %d), not %s of version %s" % (kind.name, VERSION, *told))
    judged_by = record.get("judged_by") or {}
    if set(judged_by) != set(kind.judged_by):
        raise RunbookError("this is no record of this version of %s: it is judged by %s" % (kind.name, ", ".join(kind.judged_by) or "the state alone"))
    check = object.__new__(kind)  # its constructor reads options, and may connect
    for name, value in judged_by.items():
        setattr(check, name, decode(value))
    return check, decode(record["state"])

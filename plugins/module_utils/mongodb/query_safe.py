# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked, and what is hidden of the answer. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.mongo import parsed
from .errors import MongodbError

HIDDEN = "********"
OPERATORS = frozenset(
    """$eq $ne $gt $gte $lt $lte $in $nin $and $or $nor $not $exists $type $mod $regex $options $all $elemMatch $size
    $bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet $comment""".split()
)
"""Those that compare a document with a value, and do nothing else."""
VALUES = frozenset("""$oid $date $numberInt $numberLong $numberDouble $numberDecimal $binary $uuid $timestamp $minKey $maxKey""".split())
"""Values of extended JSON."""
_DEEPEST = 50
_NAME = re.compile(r"[^\x00-\x1f/\\. \"$*<>:|?]{1,63}")
_COLLECTION = re.compile(r"[^\x00-\x1f$]{1,200}")


def check_database(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise MongodbError('database must be a name of 1 to 63 characters without spaces and / \\ . " $ * < > : | ?, not %r' % name[:100])
    return name


def check_collection(name: str) -> str:
    if not _COLLECTION.fullmatch(name) or name.startswith(".") or name.endswith("."):
        raise MongodbError("collection must be a name of 1 to 200 characters without $ and not begin or end with a dot, not %r" % name[:250])
    return name


def check_filter(query: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse whatever runs code, and whatever is not known not to."""
    for key, depth in _keys(query, 0):
        if depth > _DEEPEST:
            raise MongodbError("filter is nested more than %d deep" % _DEEPEST)
        if key.startswith("$") and key not in OPERATORS and key not in VALUES:
            raise MongodbError(
                "filter: %s is refused; accepted are %s, and values of extended JSON such as $oid and $date" % (key, ", ".join(sorted(OPERATORS)))
            )
    return query


def values_of(query: Any) -> Any:
    """The filter with its values of extended JSON as the server wants them. The driver's own reader would drop what stands beside a $regex."""
    if isinstance(query, list):
        return [values_of(each) for each in query]
    if not isinstance(query, Mapping):
        return query
    if not VALUES.intersection(query):
        return {key: values_of(each) for key, each in query.items()}
    try:
        if not VALUES.issuperset(query):
            raise ValueError("it is mixed with other keys")
        return parsed(query)
    except Exception as exc:  # noqa: BLE001  whatever the driver makes of a wrong value
        raise MongodbError("filter: %r is no value of extended JSON: %s" % (query, exc)) from None


def _keys(value: Any, depth: int) -> Iterator[Tuple[str, int]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key), depth
            if depth <= _DEEPEST:
                yield from _keys(each, depth + 1)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _keys(each, depth + 1)


def check_projection(projection: Mapping[str, Any]) -> Dict[str, Any]:
    """Only fields in or out: an expression could show a hidden field under another name."""
    checked: Dict[str, Any] = {}
    for field, value in projection.items():
        if field.startswith("$") or ".$" in field or not field:
            raise MongodbError("projection: %r is not the name of a field" % field)
        if value in (0, 1) or _is_slice(value):
            checked[field] = dict(value) if isinstance(value, Mapping) else int(value)
        else:
            raise MongodbError("projection: %s must be true, false or {$slice: NUMBER}, not %r" % (field, value))
    return checked


def _is_slice(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"$slice"}:
        return False
    number = value["$slice"]
    return all(isinstance(each, int) and not isinstance(each, bool) for each in (number if isinstance(number, list) and len(number) == 2 else [number]))


def check_sort(sort: Sequence[Mapping[str, Any]]) -> List[Tuple[str, int]]:
    """Fields with 1 or -1, the most important first."""
    checked = []
    for row in sort:
        for field, way in row.items():
            if not field or (field.startswith("$") and field != "$natural"):
                raise MongodbError("sort: %r is not the name of a field" % field)
            if isinstance(way, bool) or way not in (1, -1):
                raise MongodbError("sort: %s must be 1 (ascending) or -1 (descending), not %r" % (field, way))
            checked.append((field, int(way)))
    return checked


class Hider:
    """Puts asterisks in the place of values whose field has one of the words in its name, in any case, anywhere."""

    def __init__(self, words: Sequence[str]) -> None:
        if any(not word for word in words):
            raise MongodbError("hide: an empty word would hide everything")
        self.words = tuple(word.lower() for word in words)
        self.fields: List[str] = []
        """Paths that were hidden, each once."""

    def __call__(self, document: Mapping[str, Any]) -> Dict[str, Any]:
        hidden: Dict[str, Any] = self._value(document, "")
        return hidden

    def matches(self, field: str) -> bool:
        name = field.lower()
        return any(word in name for word in self.words)

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: self._field(key, each, "%s.%s" % (path, key) if path else key) for key, each in value.items()}
        return [self._value(each, path) for each in value] if isinstance(value, list) else value

    def _field(self, key: str, value: Any, path: str) -> Any:
        if not self.matches(key) or value is None:
            return self._value(value, path)
        if path not in self.fields:
            self.fields.append(path)
        return HIDDEN


def hidden_in_filter(query: Any, hider: Hider) -> Optional[str]:
    """A field that the filter asks for and that is hidden: by asking often enough, its value could be found out."""
    for key, _depth in _keys(query, 0):
        if not key.startswith("$") and hider.matches(key):
            return key
    return None

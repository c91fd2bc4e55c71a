# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text form of Motr's xcode: conf.xc and the live dump of a configuration.

A sequence ``[n: a, b]`` is a list, a record ``(a, b)`` a tuple, a fid ``^T|a:b`` the tuple Fid, a union ``{tag| a}`` a Tagged, ``@NAME`` a Name,
the rest are numbers and text.
"""

from __future__ import annotations

import re
from typing import Any, List, NamedTuple

from . import ids
from .errors import MotrError

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[\[\](){}:,|])|(?P<fid>\^.\|\w+:\w+)|(?P<name>@\w+)|"(?P<text>[^"]*)"|(?P<number>-?\w+))""")
_DEPTH = 50


class Tagged(NamedTuple):
    """One branch of a union."""

    tag: int
    value: Any


class Name(str):
    """A constant by its name, without the @."""

    __slots__ = ()


def parse(text: str) -> Any:
    """The one value that the text holds. MotrError with line and column where it is damaged."""
    reader = _Reader(text)
    value = reader.value(0)
    reader.finish()
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def refuse(self, why: str) -> MotrError:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        return MotrError("line %d, column %d: %s" % (line, column, why))

    def finish(self) -> None:
        if self.text[self.at :].strip():
            raise self.refuse("nothing is wanted behind the end of the value")

    def mark(self, *wanted: str) -> str:
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.group("mark") not in wanted:
            raise self.refuse("%s is wanted" % " or ".join(wanted))
        self.at = found.end()
        return str(found.group("mark"))

    def number(self, digits: str) -> int:
        try:
            return int(digits, 16 if digits.lower().startswith("0x") else 8 if re.fullmatch("0[0-7]+", digits) else 10)
        except ValueError:
            raise self.refuse("%s is no number" % digits) from None

    def value(self, depth: int) -> Any:
        found = _TOKEN.match(self.text, self.at)
        if found is None or depth > _DEPTH:
            raise self.refuse("a value is wanted")
        mark = found.group("mark")
        if mark and mark not in "[({":
            raise self.refuse("a value is wanted, not %s" % mark)
        self.at = found.end()
        if mark:
            return {"[": self.sequence, "(": self.record, "{": self.union}[mark](depth + 1)
        if found.group("fid"):
            return ids.parse(found.group("fid"))
        if found.group("name"):
            return Name(found.group("name")[1:])
        return found.group("text") if found.group("text") is not None else self.number(found.group("number"))

    def items(self, depth: int, closing: str) -> List[Any]:
        values = [self.value(depth)]
        while self.mark(",", closing) == ",":
            values.append(self.value(depth))
        return values

    def sequence(self, depth: int) -> List[Any]:
        count = self.value(depth)
        if self.mark(":", "]") == "]":
            if count != 0:
                raise self.refuse("a sequence of %s has no elements" % (count,))
            return []
        values = self.items(depth, "]")
        if len(values) != count:
            raise self.refuse("a sequence of %s has %d elements" % (count, len(values)))
        return values

    def record(self, depth: int) -> Any:
        return tuple(self.items(depth, ")"))

    def union(self, depth: int) -> Tagged:
        tag = self.value(depth)
        if not isinstance(tag, int):
            raise self.refuse("the tag of a union is a number")
        self.mark("|")
        value = self.value(depth)
        self.mark("}")
        return Tagged(tag, value)

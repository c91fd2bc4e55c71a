# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Erlang terms as programs print them (``~p``, ``~w``), read into Python's values.

Atoms become ``Atom``, which is a ``str``; strings and binaries ``str``; tuples, lists and maps their likes; pids, ports, references and functions ``Opaque``.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

_BLANK = re.compile(r"(?:\s+|%[^\n]*)*")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+(?:[eE][+-]?\d+)?|#[0-9a-zA-Z]+)?")
_ATOM = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u00ff][\w@]*")
_OPAQUE = re.compile(r"#(?:Ref|Port|Fun)<[^>]*>|<(?:'[^']*'|[^<>\s'])[^<>]*>")
_ESCAPE = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|([0-7]{1,3})|\^(.)|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "s": " ", "d": "\x7f"}
_CLOSING = {"{": "}", "[": "]"}
_DEEPEST = 200


class TermError(ValueError):
    """What was printed is no Erlang term."""


class Atom(str):
    """A name such as ``running``."""

    __slots__ = ()


class Opaque(str):
    """What has no value outside its node: ``<0.12.0>``, ``#Ref<...>``."""

    __slots__ = ()


def parse(text: str) -> Any:
    """The first term of a text; what follows it (a full stop, ``...done.``) is not read."""
    try:
        return _Reader(text).term(0)
    except (ValueError, OverflowError) as exc:  # a number of thousands of digits, a base or a character that there is not
        raise exc if isinstance(exc, TermError) else TermError("a number or a character that there is not: %s" % exc) from None


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def term(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise TermError("terms within terms, more than %d deep" % _DEEPEST)
        head = self.peek()
        if head in _CLOSING:
            self.at += 1
            found = self.several(_CLOSING[head], depth + 1)
            return tuple(found) if head == "{" else found
        if head == '"':
            return self.strings()
        if head == "'":
            return Atom(self.quoted("'"))
        if self.text.startswith("#{", self.at):
            self.at += 2
            return self.pairs(depth + 1)
        if self.text.startswith("<<", self.at):
            self.at += 2
            return self.binary()
        return self.word()

    def word(self) -> Any:
        opaque = self.match(_OPAQUE)
        if opaque is not None:
            return Opaque(opaque)
        number = self.match(_NUMBER)
        if number is not None:
            base, based, digits = number.partition("#")
            return int(digits, int(base)) if based else float(number) if "." in number else int(number)
        atom = self.match(_ATOM)
        if atom is not None:
            return Atom(atom)
        raise self.wrong("a term")

    def several(self, closing: str, depth: int) -> List[Any]:
        found: List[Any] = []
        while not self.skip(closing):
            if found and not self.skip(","):
                if closing == "]" and self.skip("|"):  # an improper list: its tail is kept as a last element
                    found.append(self.term(depth))
                    continue
                raise self.wrong("a comma or %s" % closing)
            found.append(self.term(depth))
        return found

    def pairs(self, depth: int) -> Dict[Any, Any]:
        found: Dict[Any, Any] = {}
        while not self.skip("}"):
            if found and not self.skip(","):
                raise self.wrong("a comma or }")
            key = self.term(depth)
            if not self.skip("=>"):
                raise self.wrong("=>")
            found[_hashable(key)] = self.term(depth)
        return found

    def strings(self) -> str:
        """A string; the printer cuts long ones into several, one below the other."""
        found = self.quoted('"')
        while self.peek() == '"':
            found += self.quoted('"')
        return found

    def binary(self) -> str:
        """Text, or the numbers of bytes that are none to the printer but may be UTF-8."""
        found = bytearray()
        while not self.skip(">>"):
            if found and not self.skip(",") and self.peek() != '"':
                raise self.wrong("a comma or >>")
            if self.peek() == '"':
                text = self.strings()
                wide = self.skip("/utf8") or any(ord(char) > 255 for char in text)
                found += text.encode("utf-8" if wide else "latin-1")
            else:
                number = self.match(_NUMBER)
                if number is None or not number.isdigit() or int(number) > 255:
                    raise self.wrong("a byte")
                found.append(int(number))
        return found.decode("utf-8", "backslashreplace")

    def quoted(self, mark: str) -> str:
        start = self.at = self.at + 1
        while self.at < len(self.text) and self.text[self.at] != mark:
            self.at += 2 if self.text[self.at] == "\\" else 1
        if self.at >= len(self.text):
            raise self.wrong("the end of what begins with %s" % mark)
        self.at += 1
        return _ESCAPE.sub(_unescape, self.text[start : self.at - 1])

    def peek(self) -> str:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.text[self.at : self.at + 1]

    def skip(self, mark: str) -> bool:
        self.peek()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def match(self, pattern: re.Pattern[str]) -> Optional[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def wrong(self, wanted: str) -> TermError:
        line = self.text.count("\n", 0, self.at) + 1
        return TermError("line %d: %s was expected, not %r" % (line, wanted, self.text[self.at : self.at + 20]))


def _unescape(match: re.Match[str]) -> str:
    wide, byte, octal, control, other = match.groups()
    if wide or byte:
        return chr(int(wide or byte, 16))
    if octal:
        return chr(int(octal, 8))
    return chr(ord(control) % 32) if control else _NAMED.get(other, other)


def _hashable(key: Any) -> Any:
    if isinstance(key, list):
        return tuple(map(_hashable, key))
    if isinstance(key, tuple):
        return tuple(_hashable(each) for each in key)
    return repr(key) if isinstance(key, dict) else key


def proplist(value: Any) -> Dict[str, Any]:
    """A list of pairs, as Erlang keeps what Python has in a dict; other elements are left out."""
    pairs: List[Tuple[Any, Any]] = [each for each in value if isinstance(each, tuple) and len(each) == 2] if isinstance(value, list) else []
    return {str(key): each for key, each in pairs}

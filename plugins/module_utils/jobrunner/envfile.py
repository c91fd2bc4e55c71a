# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files: read as systemd reads them, compared with what a shell would make of them, and written so that both agree. Pure.

The service gets its environment from systemd's ``EnvironmentFile=``, people get theirs from a shell that sources the same files, and the
two do not read them alike. systemd expands nothing, knows no ``export``, and takes quotes in the middle of a value as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple

_NEWLINE = "\n\r"
_BLANK = " \t\n\r"
_COMMENT = "#;"
_ESCAPABLE = '"\\`$'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_HOME = re.compile(r"(?:^|[:=])~")
_EXPANSION = re.compile(r"\$[A-Za-z0-9_{(@*#?$!-]")
_DOLLAR_QUOTE = re.compile(r"\$['\"]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_OPERATORS = ";&|<>()"
_READ_ONLY = ("BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "TMOUT", "UID")
"""Names that a login shell of a backend does not let anybody assign: bash's own, and TMOUT (/etc/opensafely/profile)."""


@dataclass(frozen=True)
class Trouble:
    """Something about a file that systemd and a reader of the file would see differently. Never holds a value."""

    line: int
    code: str
    """``not_utf8``, ``nul``: systemd refuses the whole file. ``ignored``: a line that it passes over with a warning. ``no_assignment``:
    one that it passes over in silence. ``unterminated``: a quote that swallows the rest. ``comment_continues``, ``old_escape``: depends on
    its version. ``shell``: a shell reads something else."""

    text: str


@dataclass(frozen=True)
class Assignment:
    """One assignment as systemd takes it. ``start`` and ``end`` enclose its text, without the newline."""

    name: str
    value: str = field(repr=False)
    line: int
    start: int
    end: int
    accepted: bool = True
    """systemd takes it; else it warns and passes it over."""


@dataclass(frozen=True)
class EnvFile:
    """A file that was read."""

    text: str = field(repr=False)
    assignments: Tuple[Assignment, ...]
    troubles: Tuple[Trouble, ...]

    def values(self) -> Dict[str, str]:
        """What the file sets; the last assignment of a name wins."""
        return {each.name: each.value for each in self.assignments if each.accepted}


def parse(data: bytes) -> EnvFile:
    """Read a file as systemd does."""
    text = data.decode("utf-8", "surrogateescape")
    troubles: List[Trouble] = []
    if "\0" in text:
        troubles.append(Trouble(text[: text.index("\0")].count("\n") + 1, "nul", "a NUL character: systemd refuses the file, or reads no further"))
    reader = _Reader(text.partition("\0")[0])
    reader.read()
    for each in reader.found:
        troubles += _troubles(text, each)
    return EnvFile(text, tuple(reader.found), tuple(sorted([*troubles, *reader.troubles], key=lambda trouble: trouble.line)))


class _Reader:
    """systemd's own automaton (``parse_env_file_internal``), a state to a method."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: List[Assignment] = []
        self.troubles: List[Trouble] = []
        self.state: Callable[[str], None] = self.pre_key
        self.at = 0
        self.line = 1
        self.start = 0
        self.first_line = 1
        self.key: List[str] = []
        self.value: List[str] = []
        self.blank = -1
        """Where the blanks begin that end the value, if they end it."""

    def read(self) -> None:
        for at, char in enumerate(self.text):
            self.at = at
            self.state(char)
            self.line += char == "\n"
        self.at = len(self.text)
        if self.state in (self.single, self.double, self.double_escape):
            self._trouble("unterminated", "a quote that is never closed: systemd takes all the rest of the file for the value, a shell reads none of it")
        if self.state == self.key_:
            self._no_assignment()
        elif self.state not in (self.pre_key, self.comment, self.comment_escape):
            self._push(self.state == self.plain)

    def _trouble(self, code: str, text: str) -> None:
        self.troubles.append(Trouble(self.first_line, code, text))

    def _begin(self) -> None:
        self.start, self.first_line = self.at, self.line

    def _push(self, trim: bool) -> None:
        value = self.value[: self.blank] if trim and self.blank >= 0 else self.value
        name = "".join(self.key).rstrip(_BLANK)
        self.found.append(Assignment(name, "".join(value), self.first_line, self.start, self.at, _acceptable(name, "".join(value))))
        self.key, self.value, self.blank = [], [], -1
        self.state = self.pre_key

    def _no_assignment(self) -> None:
        self._trouble("no_assignment", "no assignment: systemd passes over the line in silence, a shell runs it as a command")
        self.key = []
        self.state = self.pre_key

    def pre_key(self, char: str) -> None:
        if char in _COMMENT:
            self._begin()
            self.state = self.comment
            if char == ";":
                self._trouble("shell", "a comment with a semicolon, which is a syntax error to a shell")
        elif char not in _BLANK:
            self._begin()
            self.key.append(char)
            self.state = self.key_

    def key_(self, char: str) -> None:
        if char in _NEWLINE:
            self._no_assignment()
        elif char == "=":
            self.state = self.pre_value
        else:
            self.key.append(char)

    def pre_value(self, char: str) -> None:
        if char in _NEWLINE:
            self._push(False)
        elif char == "'":
            self.state = self.single
        elif char == '"':
            self.state = self.double
        elif char == "\\":
            self.state = self.escape
        elif char not in _BLANK:
            self.value.append(char)
            self.state = self.plain

    def plain(self, char: str) -> None:
        if char in _NEWLINE:
            self._push(True)
        elif char == "\\":
            self.blank = -1
            self.state = self.escape
        else:
            if char not in _BLANK:
                self.blank = -1
            elif self.blank < 0:
                self.blank = len(self.value)
            self.value.append(char)

    def escape(self, char: str) -> None:
        if char not in _NEWLINE:
            self.value.append(char)
        self.state = self.plain

    def single(self, char: str) -> None:
        if char == "'":
            self.state = self.pre_value
        else:
            self.value.append(char)

    def double(self, char: str) -> None:
        if char == '"':
            self.state = self.pre_value
        elif char == "\\":
            self.state = self.double_escape
        else:
            self.value.append(char)

    def double_escape(self, char: str) -> None:
        if char in _ESCAPABLE:
            self.value.append(char)
            if char != '"':
                self._trouble("old_escape", "a backslash before %s within double quotes: older versions of systemd keep the backslash" % char)
        elif char != "\n":
            self.value += ["\\", char]
        self.state = self.double

    def comment(self, char: str) -> None:
        if char == "\\":
            self.state = self.comment_escape
        elif char in _NEWLINE:
            self.state = self.pre_key

    def comment_escape(self, char: str) -> None:
        if char in _NEWLINE:
            text = "a comment that ends with a backslash: before version 254 systemd takes the next line for a part of it, later ones and a shell do not"
            self._trouble("comment_continues", text)
        self.state = self.comment


def _acceptable(name: str, value: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not _CONTROLS.search(value)


def _troubles(text: str, each: Assignment) -> List[Trouble]:
    raw = text[each.start : each.end]
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        return [Trouble(each.line, "not_utf8", "not UTF-8: systemd refuses the whole file, and the service does not start")]
    if not each.accepted:
        return [Trouble(each.line, "ignored", _why_ignored(each))]
    reason = shell_difference(raw, each.value)
    if text[each.end : each.end + 1] == "\r":
        reason = "a carriage return at the end of the line is part of the value to a shell"
    return [Trouble(each.line, "shell", "%s: %s" % (each.name, reason))] if reason else []


def _why_ignored(each: Assignment) -> str:
    if _NAME.fullmatch(each.name):
        return "%s has a control character: systemd ignores the assignment" % each.name
    if re.match(r"(export|declare|typeset|readonly)\s", each.name):
        return "systemd knows no %s and ignores the assignment; a shell makes it" % each.name.split()[0]
    return "what is before the = is not the name of a variable (letters, digits, _): systemd ignores the assignment"


# -- what a shell makes of it ------------------------------------------------------------------------------------------


class _NotPlain(Exception):
    """More than a plain value to a shell; says what."""


def shell_difference(raw: str, value: str) -> str:
    """Why bash gets another value from an assignment than systemd got; empty where both get the same."""
    name, sign, rest = raw.partition("=")
    if not sign or not _NAME.fullmatch(name):
        return "a shell takes no blanks around the ="
    if name in _READ_ONLY:
        return "a login shell does not let anybody assign it"
    try:
        got = shell_word(rest)
    except _NotPlain as exc:
        return str(exc)
    return "" if got == value else "quotes, backslashes or a # within the value mean something else to a shell than to systemd"


def shell_word(text: str) -> str:
    """The value that bash takes from what follows the =; raises where it is not plain text to it."""
    out: List[str] = []
    at = 0
    if _HOME.match(text):
        raise _NotPlain("a shell expands the ~, systemd does not")
    while at < len(text):
        char = text[at]
        if char in " \t\n":
            _ends(text[at:])
            break
        reader = {"'": _single, '"': _double, "\\": _backslash}.get(char, _bare)
        piece, at = reader(text, at)
        out.append(piece)
    return "".join(out)


def _ends(rest: str) -> None:
    """Only a comment may follow a word."""
    rest = rest.strip(" \t\n")
    if rest and not rest.startswith("#"):
        raise _NotPlain("a shell ends the value at the first blank, and takes the rest for a command")


def _single(text: str, at: int) -> Tuple[str, int]:
    end = text.find("'", at + 1)
    if end < 0:
        raise _NotPlain("to a shell a quote is never closed")
    return text[at + 1 : end], end + 1


def _double(text: str, at: int) -> Tuple[str, int]:
    out: List[str] = []
    at += 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(out), at + 1
        if char == "\\" and text[at + 1 : at + 2] in tuple(_ESCAPABLE + "\n"):
            out.append(text[at + 1].strip("\n"))
            at += 2
            continue
        _expands(text, at)
        out.append(char)
        at += 1
    raise _NotPlain("to a shell a quote is never closed")


def _backslash(text: str, at: int) -> Tuple[str, int]:
    return (text[at + 1 : at + 2] or "\\").strip("\n"), at + 2


def _bare(text: str, at: int) -> Tuple[str, int]:
    if text[at] in _OPERATORS:
        raise _NotPlain("a shell ends the value at the %s" % text[at])
    if _HOME.match(text[at : at + 2]) and text[at] in ":=":
        raise _NotPlain("a shell expands the ~, systemd does not")
    if _DOLLAR_QUOTE.match(text, at):
        raise _NotPlain("a shell expands the $, systemd does not")
    _expands(text, at)
    return text[at], at + 1


def _expands(text: str, at: int) -> None:
    if text[at] == "`" or _EXPANSION.match(text, at):
        raise _NotPlain("a shell expands the %s, systemd does not" % text[at])


# -- writing -----------------------------------------------------------------------------------------------------------


def quoted(value: str) -> str:
    """A value such that every systemd and every shell reads back just that. In double quotes their versions differ, so only ' is put there."""
    if not value or _PLAIN.fullmatch(value):
        return value
    return '"\'"'.join("'%s'" % part if part else "" for part in value.split("'"))


def unfit(name: str, value: Optional[str]) -> str:
    """Why a name cannot be given a value by a file that both read; empty if it can."""
    if not _NAME.fullmatch(name):
        return "%r is not the name of a variable: letters, digits and _ are accepted, and no digit at the beginning" % name
    if name in _READ_ONLY:
        return "%s cannot be assigned in a login shell, so the file would fail there" % name
    if value is not None and re.search(r"[\x00-\x1f\x7f]", value):
        return "the value of %s has a control character or a newline; one line of plain text is accepted" % name
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError:
        return "the value of %s is not UTF-8; one line of plain text is accepted" % name
    return ""

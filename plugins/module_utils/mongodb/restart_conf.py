# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the replica set in a mongod's configuration file and on its command line. Pure: texts in, texts out.

A file keeps everything else byte for byte: comments, order, line ends. What cannot be edited so is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from .errors import MongodbError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_VALUE = r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^#\r\n]*?)(?P<rest>[ \t]*(?:[ \t]#[^\r\n]*)?)$"
_KEY = re.compile(r"(?P<head>[ \t]+replSet(?:Name)?:[ \t]*)" + _VALUE)
_DOTTED = re.compile(r"(?P<head>replication\.replSet(?:Name)?:[ \t]*)" + _VALUE)
_OLD = re.compile(r"(?P<head>[ \t]*replSet[ \t]*=[ \t]*)" + _VALUE)
_SECTION = re.compile(r"replication:[ \t]*(?:#.*)?$")
_YAML, _INI = re.compile(r"[A-Za-z][\w.]*:(?:\s|$)"), re.compile(r"[ \t]*[A-Za-z][\w.]*[ \t]*=")


@dataclass(frozen=True)
class Edit:
    """One piece of a file and what takes its place. Either may be empty."""

    start: int
    old: str
    new: str

    def apply(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.start + len(self.old) :]


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def name_in(text: str) -> Optional[str]:
    """The name that a configuration file sets; None where it sets none."""
    found = _find(text)[0]
    return _unquoted(found[2]) if found else None


def edit_for(text: str, name: str) -> Edit:
    """What to change so that the file sets this name."""
    found, section = _find(text)
    if found:
        start, head, value, _rest = found
        end = text.find("\n", start)
        line = text[start : end + 1] if end >= 0 else text[start:]
        new = head if head.endswith((" ", "\t", "=")) else head + " "
        return Edit(start, line, new + _quoted(name) + line[len(head) + len(value) :])
    newline = "\r\n" if "\r\n" in text else "\n"
    if section is not None:
        start, indent = section
        glue = "" if start == 0 or text[start - 1] == "\n" else newline
        return Edit(start, "", "%s%sreplSetName: %s%s" % (glue, indent, _quoted(name), newline))
    glue = "" if not text or text.endswith("\n") else newline
    if _is_old(text):
        return Edit(len(text), "", "%sreplSet=%s%s" % (glue, name, newline))
    return Edit(len(text), "", "%sreplication:%s  replSetName: %s%s" % (glue, newline, _quoted(name), newline))


def taken_back(text: str, old: str, new: str, name: Optional[str]) -> Optional[str]:
    """The file without an edit; None where the edit is not in it, or where it would then not say what it said before."""
    places = [match.start() for match in re.finditer(re.escape(new), text)] if new else []
    for start in reversed(places):
        candidate = text[:start] + old + text[start + len(new) :]
        if name_in(candidate) == name:
            return candidate
    return None


def _find(text: str) -> Tuple[Optional[Tuple[int, str, str, str]], Optional[Tuple[int, str]]]:
    """Where the name stands, as start of the line, what is before the value, the value and what is after it; and where in the section it would go."""
    lines = _lines(text)
    if _is_old(text):
        named = [(start, match) for start, line in lines for match in [_OLD.match(line)] if match]
        return _only(named), None
    inside, sections, named = False, [], []
    for start, line in lines:
        if line[:1] not in ("", " ", "\t", "#"):
            inside = _SECTION.match(line) is not None
            if line.startswith("replication:") and not inside:
                raise MongodbError("its replication section is written in one line (%s), which is not edited; write one setting a line" % line)
            if inside:
                sections.append((start, line))
        match = (_KEY if inside else _DOTTED).match(line)
        if match:
            named.append((start, match))
        if line == "..." or (line == "---" and any(each.strip() and not each.startswith(("#", "%")) for _at, each in lines if _at < start)):
            raise MongodbError("it holds several YAML documents, of which mongod reads one")
    if len(sections) > 1:
        raise MongodbError("it has %d replication sections, of which mongod accepts one" % len(sections))
    return _only(named), _place(text, sections[0]) if sections else None


def _place(text: str, section: Tuple[int, str]) -> Tuple[int, str]:
    """Right below the head of a section, as deep as what is there."""
    start = section[0] + len(section[1])
    start += len(text[start:]) - len(text[start:].lstrip("\r\n")) if text[start : start + 1] not in ("\r", "\n") else (2 if text[start] == "\r" else 1)
    for _at, line in _lines(text[start:]):
        if line.strip() and not line.lstrip().startswith("#"):
            indent = line[: len(line) - len(line.lstrip(" "))]
            return start, indent or "  "
    return start, "  "


def _only(named: Sequence[Tuple[int, re.Match[str]]]) -> Optional[Tuple[int, str, str, str]]:
    if len(named) > 1:
        raise MongodbError("it sets the name of the replica set %d times" % len(named))
    return None if not named else (named[0][0], named[0][1]["head"], named[0][1]["value"], named[0][1]["rest"])


def _is_old(text: str) -> bool:
    """The format of MongoDB 2.4, name=value, which mongod still reads where a file is no YAML."""
    lines = [line for _start, line in _lines(text)]
    yaml, old = any(_YAML.match(line) for line in lines), any(_INI.match(line) for line in lines)
    if yaml and old:
        raise MongodbError("it is neither YAML nor the old format of name=value lines throughout")
    if not yaml and not old and any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        raise MongodbError("it is written in a way that is not edited: no line of it is `section:`, nor name=value")
    return old


def _lines(text: str) -> List[Tuple[int, str]]:
    """Lines without their ends, and where they start."""
    found, start = [], 0
    for line in text.split("\n"):
        found.append((start, line[:-1] if line.endswith("\r") else line))
        start += len(line) + 1
    return found


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else json.dumps(name)


def _unquoted(value: str) -> Optional[str]:
    value = value.strip()
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except (ValueError, RecursionError):
            raise MongodbError("the name of its replica set is written in a way that is not read: %s" % value[:80]) from None
    return value[1:-1] if value[:1] == "'" else (value or None)


# -- the command line --------------------------------------------------------------------------------------------------


def option(argv: Sequence[str], *names: str) -> Optional[str]:
    """The value of an option of mongod, however it is written; None where it is not given."""
    for number, word in enumerate(argv[1:], 1):
        head, equals, value = word.partition("=")
        if head in names:
            return value if equals else (argv[number + 1] if number + 1 < len(argv) else None)
    return None


def with_replset(argv: Sequence[str], name: str) -> List[str]:
    """The command line with this name, in the place of another one or at the end."""
    kept: List[str] = []
    skip = False
    for word in argv:
        if skip:
            skip = False
            continue
        if word.partition("=")[0] == "--replSet":
            skip = "=" not in word
            continue
        kept.append(word)
    return [*kept, "--replSet", name]


def drop_in(argv: Sequence[str]) -> str:
    """What a unit needs so that it starts this instead."""
    words = " ".join(_for_unit(word) for word in argv)
    return "# Of fieldops.runbooks.mongodb_replica_set_repair: the same with the name of the replica set.\n[Service]\nExecStart=\nExecStart=%s\n" % words


def _for_unit(word: str) -> str:
    """One word as systemd reads it: specifiers and variables are not meant."""
    word = word.replace("%", "%%").replace("$", "$$")
    return word if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", word) else '"%s"' % word.replace("\\", "\\\\").replace('"', '\\"')

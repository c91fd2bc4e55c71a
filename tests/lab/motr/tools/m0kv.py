# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`m0kv`: the options of its command line, `index get|put|del|next|list|lookup|create|drop`, and what it prints of each."""

from __future__ import annotations

import ctypes
import errno
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.motr.tools.cluster import Cluster, Index, index_name, leave_traces

_WITH_VALUE = {"-l": "local", "-h": "ha", "-p": "profile", "-f": "process", "-v": "pver"}
_FLAGS = ("-s", "-e", "-L", "-C")
_PATTERN = re.compile(r"\s*\[\s*(0x[0-9a-fA-F]+|\d+)\s*:(.*?)\]\s*", re.DOTALL)
_LINE = 100
_INVALID = -errno.EINVAL


class Invalid(Exception):
    """Arguments that it does not take."""


def xcode(text: str) -> bytes:
    """A byte sequence as m0_xcode_read() takes it."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise Invalid(text)
    data = bytes(int(each, 0) for each in found.group(2).split(",") if each.strip())
    if len(data) != int(found.group(1), 0):
        raise Invalid(text)
    return data


def item(line: str) -> str:
    """What item_load() makes of a line of a file: the number at its beginning is the length of the rest, and short lines lose their end."""
    size = int(line.split(" ", 1)[0], 0)
    start = line.index(" ") + 1
    if size < _LINE:
        return line[start : start + size - (start + 1)]
    if len(line) < _LINE:  # all of it was in the first piece, and there is no second one
        raise Invalid(line)
    return line[start : start + size + 1]


def loaded(word: str, as_text: bool) -> bytes:
    """A key or value, from the command line or from a file that it names."""
    if word.startswith("@"):
        lines = Path(word[1:]).read_text(encoding="utf-8").splitlines(keepends=True)
        return xcode(item(lines[0]))
    if not word:
        raise Invalid(word)
    return word.encode() if as_text else xcode(word)


def row(number: int, key: bytes, value: bytes, as_text: bool) -> str:
    if as_text:
        return f"[{number}]:\n\tKEY: {key.decode('utf-8', 'surrogateescape')}\n\tVAL: {value.decode('utf-8', 'surrogateescape')}"
    return f"[{number}]:\n/KEY/ {hexadecimal(key)}\n/VAL/ {hexadecimal(value)}"


def hexadecimal(data: bytes) -> str:
    """A plain char is signed: its bytes from 0x80 on are printed as those of an int."""
    return "".join(f"0x{ctypes.c_uint32(ctypes.c_int8(byte).value).value:02x} " for byte in data)


class M0kv:
    """One call."""

    def __init__(self, cluster: Cluster, words: Sequence[str]) -> None:
        self.cluster = cluster
        self.options: dict[str, str] = {}
        self.text = False
        rest = list(words)
        while rest and rest[0].startswith("-"):
            word = rest.pop(0)
            if word in _FLAGS:
                self.text = self.text or word == "-s"
            elif word in _WITH_VALUE and rest:
                self.options[_WITH_VALUE[word]] = rest.pop(0)
            else:
                raise Invalid(word)
        self.words = rest

    def run(self) -> int:
        """The exit status, before it is cut to a byte."""
        rc = self._execute()
        if rc < 0:
            print(f"Got error {rc}")
        print(f"Done, rc:  {-rc}")
        return -rc

    def _execute(self) -> int:
        options, state = self.options, self.cluster.state
        if not {"local", "ha", "profile", "process"} <= set(options):
            print("Client Command Line tool: m0kv\nUsage: ./m0kv -l local_addr -h ha_addr -p profile -f proc_fid [-s] [subsystem] [subsystem commands]")
            return _INVALID
        if self.words[:1] != ["index"]:
            return -errno.EPROTONOSUPPORT
        leave_traces()
        with self.cluster.joined(options["local"]) as free:
            known = state["clients"].get(options["local"]) == options["process"] and (state["ha"], state["profile"]) == (options["ha"], options["profile"])
            time.sleep(float(state["fault"].get("start_seconds", 0)) + (3600 if state["fault"].get("hang") else 0))
            if not free or not known:
                rc = -errno.ENOENT if free else -errno.EADDRINUSE
                print(f"Initialization error {rc}")
                return rc
            rc = self._index(self.words[1], self.words[2:], state)
        if rc:
            print(f"Execution result {rc}")
        return rc

    def _index(self, verb: str, words: Sequence[str], state: dict[str, Any]) -> int:
        try:
            name = index_name(words[0])
            if verb == "next" and words[1].startswith("@"):
                raise Invalid(words[1])
            arguments = [loaded(word, self.text) for word in words[1 : {"put": 3, "list": 1}.get(verb, 2)]]
        except (Invalid, IndexError, ValueError):
            print(f"Invalid params for [{verb}]")
            return _INVALID
        broken = state["fault"].get("rc")
        if broken:
            print(f"operation rc: {broken}")
            rc = 0 if verb in {"create", "drop", "next"} else broken
            if rc:
                print(f"rcs[0]: {rc}")
        else:
            rc = getattr(self, f"_{verb}")(name, arguments, words)
        print(f"{verb} done, rc: {rc}")
        return int(rc)

    def _get(self, name: str, arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        value = self.cluster.state["indices"].get(name, {}).get(arguments[0].hex())
        print("operation rc: 0")
        if value is None:
            print(f"rcs[0]: {-errno.ENOENT}")
            return -errno.ENOENT
        print(row(0, arguments[0], bytes.fromhex(value), self.text) + "\nselected 1 records")
        return 0

    def _lookup(self, name: str, _arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        """It succeeds whatever it finds (index_op.c, index_lookup)."""
        print("operation rc: 0")
        print(f"<{name}> found rc {0 if name in self.cluster.state['indices'] else -errno.ENOENT}")
        return 0

    def _put(self, name: str, arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        with self.cluster.changing() as state:
            index: Index = state["indices"].setdefault(name, {})
            if not state["fault"].get("lost_puts"):
                index[arguments[0].hex()] = state["fault"].get("overwritten_by") or arguments[1].hex()
        print("operation rc: 0")
        return 0

    def _del(self, name: str, arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        with self.cluster.changing() as state:
            gone = state["indices"].get(name, {}).pop(arguments[0].hex(), None) is None
        print("operation rc: 0")
        if gone:
            print(f"rcs[0]: {-errno.ENOENT}")
        return -errno.ENOENT if gone else 0

    def _next(self, name: str, arguments: Sequence[bytes], words: Sequence[str]) -> int:
        """From the start key on, that included; always as many rows as were asked for."""
        index: Index = self.cluster.state["indices"].get(name, {})
        keys = sorted(key for key in map(bytes.fromhex, index) if key >= arguments[0])
        count = int(words[2])
        rows = [(key, bytes.fromhex(index[key.hex()])) for key in keys[:count]]
        rows += [(b"", b"")] * (count - len(rows))
        print("operation rc: 0")
        for number, (key, value) in enumerate(rows):
            print(row(number, key, value, self.text))
        print(f"selected {count} records")
        return 0

    def _list(self, name: str, _arguments: Sequence[bytes], words: Sequence[str]) -> int:
        names = sorted(each for each in self.cluster.state["indices"] if each >= name)
        print("operation rc: 0")
        for each in names[: int(words[1])]:
            print(f"<{each}>")
        return 0

    def _create(self, name: str, _arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        with self.cluster.changing() as state:
            there = name in state["indices"]
            state["indices"].setdefault(name, {})
        print(f"operation rc: {-errno.EEXIST if there else 0}")
        return 0

    def _drop(self, name: str, _arguments: Sequence[bytes], _words: Sequence[str]) -> int:
        with self.cluster.changing() as state:
            gone = state["indices"].pop(name, None) is None
        print(f"operation rc: {-errno.ENOENT if gone else 0}")
        return 0


def main(words: Sequence[str]) -> int:
    """The command."""
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        return M0kv(Cluster(words[0]), words[1:]).run() % 256
    except Invalid:
        return errno.EINVAL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

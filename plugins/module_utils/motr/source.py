# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of looks at segments: which process or file is meant, and at which address. What is told of them is safe in JSON."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Optional, Union

from ..procedure.argspec import ArgumentSpec
from .errors import MotrError
from .ids import Fid, parse
from .live.processes import find_process, option
from .memory import ProcessMemory, Ranges, SegmentFile

PLACES = ("pid", "process", "segment")
SOURCE = ArgumentSpec(
    {
        "pid": {"type": "int"},
        "process": {"type": "str"},
        "segment": {"type": "path"},
        "device": {"type": "path"},
    },
    mutually_exclusive=[PLACES, ("segment", "device")],
)
Source = Union[ProcessMemory, SegmentFile]
FILE = "motr-run-time-instruments.rst"
RUNBOOK = (FILE, "Clarification (CLARIFY)")

_EXACT = (1 << 53) - 1
"""Readers of JSON that know only floating-point numbers keep integers up to here."""
_ADDRESS = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")


def open_source(params: Mapping[str, Any]) -> Optional[Source]:
    """What pid, process or segment name, open for reading; None where none of them is given. MotrError where that cannot be."""
    if params["segment"] is not None:
        return SegmentFile(params["segment"])
    if params["process"] is not None:
        found = find_process(process=params["process"])
        return ProcessMemory(found.pid, device=params["device"], start=found.started)
    if params["pid"] is None:
        return None
    if params["pid"] < 1:
        raise MotrError("pid must be that of a process, 1 or more, not %d" % params["pid"])
    return ProcessMemory(params["pid"], device=params["device"])


def still_there(source: Source) -> None:
    """MotrError if the process ended meanwhile: what was read of it is then no answer."""
    if isinstance(source, ProcessMemory):
        source.check()


def process_fid(source: Source) -> Optional[Fid]:
    """The fid that the process was started with, -f; None where none is known."""
    spelt = option(source.process.argv, "-f") if isinstance(source, ProcessMemory) else None
    try:
        return parse(spelt) if spelt else None
    except MotrError:  # of another program, whose -f is something else
        return None


def told_source(source: Source) -> Dict[str, Any]:
    """What was read, for people and programs."""
    places = [{"start": hexadecimal(start), "end": hexadecimal(end)} for start, end in source.ranges]
    if isinstance(source, SegmentFile):
        return {"kind": "segment", "path": source.name, "pid": None, "process": None, "owner": None, "ranges": places}
    fid = process_fid(source)
    process = source.process
    paths = sorted({one.path for one in source.segments})
    told = {"kind": "process", "path": paths[0], "pid": process.pid, "process": str(fid) if fid else None, "owner": process.owner}
    return dict(told, ranges=places)


def parse_address(text: str, ranges: Ranges, option: str = "address") -> int:
    """An address in hexadecimal, with or without 0x. Digits alone that are no address in a segment so are tried as decimal, as YAML makes of 0x400000000000."""
    bare = text.strip()
    match = _ADDRESS.fullmatch(bare)
    if match is None:
        raise MotrError("%s must be an address in hexadecimal, such as 0x400000105000, not %r" % (option, text))
    tried = [int(match.group(1), 16)]
    if bare.isdigit():
        tried.append(int(bare))
    for address in tried:
        if any(start <= address < end for start, end in ranges):
            return address
    places = ", ".join("[%#x, %#x)" % place for place in ranges[:5])
    raise MotrError("%s %s is in no segment; there are %s" % (option, text, places))


def hexadecimal(address: int) -> str:
    return "%#x" % address


def safe(value: Any) -> Any:
    """The same with integers that not every reader of JSON keeps as text in hexadecimal."""
    if isinstance(value, dict):
        return {key: safe(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [safe(each) for each in value]
    return hexadecimal(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT else value


def within(option: str, value: int, least: int, most: int) -> int:
    """The value of an option, if it is possible."""
    if not least <= value <= most:
        raise MotrError("%s must be %d to %d, not %d" % (option, least, most, value))
    return value

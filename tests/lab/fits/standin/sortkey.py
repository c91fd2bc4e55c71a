# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which each generation takes files off a queue (descending)."""

from __future__ import annotations

import re

_AFTER_DATE = {"A": re.compile(r"\d{8}[SE]\d+"), "B": re.compile(r"\d{8}[A-Z]\d+")}

_DATE_ONLY = (
    re.compile(r"[NS](\d{8})"),
    re.compile(r"SDC[HK]_(\d{8})_"),
    re.compile(r"img_(\d{8})_"),
    re.compile(r"(\d{8})_.*_obslog.txt"),
)

_PRIORITY = (
    ("z", re.compile(r"[NS](\d{8})\w(\d+)")),
    ("z", re.compile(r"SDC[SHK]_(\d{8})_(\d+)")),
    ("x", re.compile(r"(\d{8})_(.*)_obslog.txt")),
    ("y", re.compile(r"img_(\d{8})_(\w+)")),
)


def _export_b(filename: str, destination: str) -> str:
    key = "0000" + filename
    for pattern in _DATE_ONLY:
        found = pattern.match(filename)
        if found:
            key = found.group(1)
    return ("001" if "archive" in destination else "000") + key


def _plain_c(filename: str) -> str:
    name = filename.rpartition("/")[2]
    key = "aaaa" + name
    for letter, pattern in _PRIORITY:
        found = pattern.match(name)
        if found:
            key = letter + found.group(1) + found.group(2)
    return key


def sortkey(generation: str, queue: str, filename: str, destination: str = "") -> str | None:
    """The sortkey of a new row; None where the table has no such column."""
    if generation == "C":
        key = _plain_c(filename)
        return key if queue == "ingest" else ("z" if "archive" in destination else "a") + key
    if queue == "export":
        return _export_b(filename, destination) if generation == "B" else None
    found = _AFTER_DATE[generation].search(filename)
    return "z" + found.group() if found else "a" + filename

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why upstream's copy jobs leave a file where it is: by its name, its age, its content, and what they logged about it. Pure."""

from __future__ import annotations

import re
from typing import Optional

from .filestate import DHS, FileState, LogHit, Place

_JOBS = ("copy_from_dhs", "copy_from_visiting_instrument", "copy_from_visiting_instruments")
_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+:\w+:\d+ [A-Z]+: ")
_REFUSED = re.compile(
    r"TELESCOP keyword missing in file|Bad value .* for TELESCOP|Unable to open file in astrodata|failed fitsverify check"
    r"|is a directory - skipping|is a wierd thing - skipping|Ignoring tmp file|Problem copying|already exists on storage_root - skipping"
)
_PASSING = re.compile(r"is too new|validation failed, not copying now|age is OK|is already present in database|Dryrun")
"""Said besides, or of a file that is only waited for."""
_TEMPORARY = "its name holds tmp"
_NOT_FITS = "its name does not end in .fits, which generation C asks for"


def passes_over(name: str, generation: str, jobs_area: str = DHS) -> str:
    """Why a copy job ignores a file for its name alone; empty when it does not."""
    if "tmp" in name:
        return _TEMPORARY
    return _NOT_FITS if jobs_area == DHS and generation == "C" and not name.endswith(".fits") else ""


def refusal(state: FileState) -> str:
    """Why the copy job does not take the file; empty where nothing speaks against it."""
    source = state.sources[0]
    if state.not_copied_for:
        return state.not_copied_for
    if source.problem or source.readable is False:
        return source.problem or "%s cannot read it, because %s is in the way" % (state.user, source.blocked_at)
    if source.area == DHS and source.age < state.min_age:
        return "it is too new: it was written %.0f seconds ago, and %.0f are waited for" % (max(0.0, source.age), state.min_age)
    return _content(state, source) or _logged(state)


def too_new(state: FileState) -> bool:
    """Whether time alone will do."""
    source = state.sources[0]
    return source.area == DHS and source.age < state.min_age and not state.not_copied_for and not source.problem


def _content(state: FileState, source: Place) -> str:
    if state.validity is None or state.checked != source:
        return ""
    return state.validity.refused


def _logged(state: FileState) -> str:
    """What the copy job said last of it, if that was a refusal."""
    newest: Optional[LogHit] = next((hit for hit in state.log if hit.job in _JOBS and not _PASSING.search(hit.line)), None)
    if newest is None or not _REFUSED.search(newest.line):
        return ""
    return "its log says: %s" % _PREFIX.sub("", newest.line)


def last_word(state: FileState) -> str:
    """What a copy job logged last about the file, to be added to a sentence; empty when it logged nothing."""
    newest = next((hit for hit in state.log if hit.job in _JOBS), None)
    return "; the copy job last said of it: %s" % _PREFIX.sub("", newest.line) if newest else ""

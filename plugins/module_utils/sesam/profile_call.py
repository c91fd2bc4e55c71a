# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the API with the profiler: the node makes the call, and answers with a file in place of its answer.

The call is really made. A PUT would replace what is there, only its answer would not be seen: so nothing but questions are asked.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import parse_qsl, unquote

from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from ..procedure.evidence import own_directory, run_directory
from ..procedure.journal import default_directory
from .api import Node, Reply
from .errors import SesamError
from .profile_files import SUFFIX, Profile, content_kind, disposition_name, safe_name, write

HEADER = "SESAM-API-PROFILER"
RUNBOOK = ("sesam.rst", "Profiling one specific Sesam API call")
LARGEST = 1 << 30
_EXECUTED = "the call is made, only its answer is discarded"
_ACTS = ("admin", "run-all-pipes", "stop-run-all-pipes", "delete-all-sink-datasets", "proxy", "receivers", "receiver", "jwt")
"""Parts of paths that do something, or that have somebody else do it, whatever the method."""
_ASKS = ("operation", "force", "profiler")
_VERB = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE)\s", re.IGNORECASE)
_WHAT = {
    "json": "JSON, the ordinary answer: the node does not know the header %s" % HEADER,
    "html": "a page of HTML",
    "empty": "nothing",
    "unknown": "something that is neither a profile for pstats nor one for KCachegrind",
    "pstats": "a profile for pstats",
    "calltree": "a profile for KCachegrind",
}


@dataclass(frozen=True)
class Got:
    """One answer. ``file`` is None where it was no profile, or where nothing was asked."""

    format: str
    kind: str = ""
    seconds: float = 0.0
    given_name: str = ""
    file: Optional[Profile] = None


@dataclass(frozen=True)
class CallState:
    """``asked`` is False in check mode."""

    path: str
    asked: bool
    got: Sequence[Got] = ()


class CallProfile(Check[CallState]):
    """``path``: a look, though the node has to work for it and a file is written here."""

    name = "sesam_profile"

    def __init__(self, params: Mapping[str, Any], ask: bool = True) -> None:
        self.path = checked_path(params["path"], params["method"])
        self.formats = tuple(SUFFIX) if params["format"] == "both" else (params["format"],)
        self.limit: int = checked_limit(params["max_bytes"])
        self.dest: Optional[str] = params["dest"]
        if self.dest and not os.path.isabs(self.dest):
            raise SesamError("dest must be an absolute path of a directory, not %r" % self.dest)
        self.journal: str = params["journal_dir"] or default_directory()
        self.asking = ask
        self.node = Node(params)

    def close(self) -> None:
        self.node.close()

    def observe(self) -> CallState:
        if not self.asking:
            return CallState(self.path, False)
        folder = own_directory(self.dest) if self.dest else run_directory(self.journal, "profiles")
        return CallState(self.path, True, [self._get(folder, each) for each in self.formats])

    def _get(self, folder: str, wanted: str) -> Got:
        reply = self.node.text(self.path, headers={HEADER: wanted}, limit=self.limit)
        if reply.truncated:
            text = "the profile of %s is larger than %d bytes, and was not kept: max_bytes" % (self.path, self.limit)
            raise SesamError(text, "too_long", reply.status)
        return self._kept(folder, wanted, reply)

    def _kept(self, folder: str, wanted: str, reply: Reply) -> Got:
        kind = content_kind(reply.body)
        given = disposition_name(reply.headers.get("content-disposition", ""))
        if kind not in (*SUFFIX, "unknown") or (kind == "unknown" and not given):
            return Got(wanted, kind, reply.seconds, given)
        name = safe_name(given or _name_of(self.path) + SUFFIX[wanted], wanted)
        return Got(wanted, kind, reply.seconds, safe_name(given, wanted) if given else "", write(folder, name, reply.body))

    def diagnose(self, state: CallState) -> List[Finding]:
        if not state.asked:
            text = "GET %s would be made with the profiler (%s); in check mode it is not" % (state.path, ", ".join(self.formats))
            return [Finding("sesam.profile.none", "info", state.path, text, {}, None, RUNBOOK)]
        return [_finding(state.path, got) for got in state.got]

    def facts(self, state: CallState) -> Dict[str, Any]:
        files = [dict(got.file.to_dict(), kind=got.kind, given_name=got.given_name, seconds=round(got.seconds, 3)) for got in state.got if got.file is not None]
        return {"profiles": files, "run": None, "pipe": None, "log_folder": None}

    def evidence(self, state: CallState) -> Mapping[str, Any]:
        return {"api_url": self.node.url, "path": state.path, "asked": state.asked}


def _finding(path: str, got: Got) -> Finding:
    detail = {"format": got.format, "kind": got.kind, "seconds": round(got.seconds, 3), "path": got.file.path if got.file else None}
    if got.file is None:
        text = "GET %s with the profiler (%s) was answered with %s" % (path, got.format, _WHAT[got.kind])
        remedy = Remedy("ask the vendor whether this node's version has the profiler; or profile all calls with fieldops.runbooks.sesam_api_profiler")
        return Finding("sesam.profile.no_profile", "warning", path, text, detail, remedy, RUNBOOK)
    if got.kind != got.format:
        text = "GET %s with the profiler (%s) was answered with %s, kept as %s" % (path, got.format, _WHAT[got.kind], got.file.path)
        return Finding("sesam.profile.other_kind", "warning", path, text, detail, Remedy("look at the file before it is opened as a profile"), RUNBOOK)
    text = "GET %s took %.1f s with the profiler; %s of it is %s" % (path, got.seconds, _WHAT[got.kind], got.file.path)
    opened = "a Python of the node's version, and nobody else's file (loading one runs what is in it)" if got.kind == "pstats" else "KCachegrind"
    return Finding("sesam.profile.written", "info", path, text, detail, Remedy("open it with %s" % opened), RUNBOOK)


def _name_of(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", path.partition("?")[0]).strip("-")[:60] or "api"


def checked_limit(limit: int) -> int:
    if not 1024 <= limit <= LARGEST:
        raise SesamError("max_bytes must be 1024 to %d, not %d" % (LARGEST, limit))
    return limit


def checked_path(path: str, method: str = "GET") -> str:
    """A path below /api that only asks."""
    text = path.strip()
    verb = _VERB.match(text)
    if method.upper() != "GET" or (verb is not None and verb.group(1).upper() != "GET"):
        raise SesamError(
            "method: %s is not profiled, only GET: %s, so it would change what it changes at any other time"
            % ((verb.group(1) if verb else method).upper(), _EXECUTED)
        )
    text = text[verb.end() :].strip() if verb is not None else text
    if "://" in text.partition("?")[0] or text.startswith("//"):
        raise SesamError("path: pass what comes after /api, such as /pipes; the rest of the URL is api_url")
    if any(sign <= " " or sign == "\x7f" for sign in text) or "#" in text or not text.isascii():
        raise SesamError("path: there are blanks, # or signs other than ASCII in it: an id is percent-encoded")
    way, _question, query = text.partition("?")
    parts = [part for part in way.split("/") if part]
    if parts and parts[0] == "api":
        parts = parts[1:]
    if not parts:
        raise SesamError("path is empty: pass what comes after /api, such as /pipes")
    _refuse(parts, parse_qsl(query, keep_blank_values=True))
    return "/%s%s" % ("/".join(parts), "?" + query if query else "")


def _refuse(parts: Sequence[str], query: Sequence[Tuple[str, str]]) -> None:
    plain = [unquote(part) for part in parts]
    if any(part in (".", "..") for part in plain):
        raise SesamError("path: it must not lead upwards (%s)" % "/".join(plain))
    # The id of a pipe, system or dataset may be any word: what follows the first part of a path is one.
    acting = [part for position, part in enumerate(plain) if part.lower() in _ACTS and not (position == 1 and plain[0] in ("pipes", "systems", "datasets"))]
    acting += [part for part in plain[1:2] if part.lower() in _ACTS and part.lower().endswith(("pipes", "datasets"))]
    if acting:
        raise SesamError("path: %s does something, or hands the call on: %s. Profile a call that only asks" % (acting[0], _EXECUTED))
    asked = [name for name, _value in query if name.lower() in _ASKS]
    if asked:
        raise SesamError("path: the parameter %s orders something: %s. To profile the run of a pipe, pass pipe" % (asked[0], _EXECUTED))

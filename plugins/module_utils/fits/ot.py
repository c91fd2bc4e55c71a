# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the archive what the OT asks it, and looking at its certificate."""

from __future__ import annotations

import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote, urlsplit

from ..connect.certificate import Certificate, CertificateError, of_server, trusted
from ..connect.http import Answer, ask
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .errors import FitsError
from .ot_verdict import OtState, Search, certificate_facts, diagnose, verdict

_LIMIT = 8 * 1024 * 1024
_PARALLEL = 8
_LONGEST_TIMEOUT = 600.0
_OFFSET = re.compile(r"([+-]\d\d):?(\d\d)$")
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class OtInfo(Check[OtState]):
    """Looks at the archive from this node."""

    name = "archive_ot_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.archive = base_url("archive_url", params["archive_url"])
        self.ca_cert = readable("ca_cert", params["ca_cert"])
        self.timeout = time_limit(params["timeout"])
        self.window = _not_negative("window", params["window"])
        self.min_days = _not_negative("min_days", params["min_days"])
        self.since = parse_time(params["since"], time.time())
        files = [("filename", _filename(name)) for name in params["filename"]]
        self.wanted = list(dict.fromkeys(files + [("program_id", program(name)) for name in params["program_id"]]))
        if not self.wanted:
            raise FitsError("name at least one file (filename) or program (program_id)")
        self.asked: List[str] = []

    def observe(self) -> OtState:
        """Everything at once: a server that hangs costs one time limit, not one for each question."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            certificate = pool.submit(self._certificate)
            page = pool.submit(self._ask, "searchform/" + _selection(*self.wanted[0]), 65536)
            searches = tuple(pool.map(self._search, self.wanted))
        answer = page.result()
        seen, reason, trouble = certificate.result()
        return OtState(
            urlsplit(self.archive).hostname or "",
            searches,
            answer.status,
            _problem(answer),
            seen,
            reason,
            trouble,
            time.time(),
            self.since,
            self.window,
            self.min_days,
        )

    def diagnose(self, state: OtState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: OtState) -> Mapping[str, Any]:
        return {
            "verdict": verdict(state),
            "searches": [search.to_dict() for search in state.searches],
            "search_page": {"status": state.page_status, "error": state.page_error},
            "certificate": certificate_facts(state),
        }

    def evidence(self, state: OtState) -> Mapping[str, Any]:
        return {"node": socket.gethostname(), "asked": sorted(self.asked)}

    def _ask(self, path: str, limit: int = _LIMIT) -> Answer:
        """Without regard to the certificate, which is judged by itself."""
        url = "%s/%s" % (self.archive, path)
        self.asked.append(url)
        return ask(url, timeout=self.timeout, limit=limit, verify=False)

    def _search(self, wanted: Tuple[str, str]) -> Search:
        """With and without engineering data: the JSON list has both unless told otherwise, the page for people only science."""
        kind, name = wanted
        selection = _selection(kind, name)
        page = "%s/searchform/includeengineering/%s" % (self.archive, selection)
        everything = self._ask("jsonfilelist/present/" + selection)
        try:
            count, files = _count(everything)
            visible = count and _count(self._ask("jsonfilelist/present/notengineering/" + selection))[0]
        except ValueError as exc:
            return Search(kind, name, page, error=str(exc))
        pending = None if everything.truncated else any(file.get("pending_ingest") for file in files)
        return Search(kind, name, page, count, everything.truncated, visible, pending)

    def _certificate(self) -> Tuple[Optional[Certificate], str, str]:
        """The certificate, why it is not trusted, and what went wrong in finding that out."""
        parts = urlsplit(self.archive)
        if parts.scheme != "https" or not parts.hostname:
            return None, "", ""
        port = parts.port or 443
        certificate = None
        try:
            certificate = of_server(parts.hostname, port, timeout=self.timeout)
            return certificate, trusted(parts.hostname, port, ca_cert=self.ca_cert, timeout=self.timeout), ""
        except CertificateError as exc:
            return certificate, "", str(exc)


def _count(answer: Answer) -> Tuple[int, Sequence[Mapping[str, Any]]]:
    """How many files an answer lists; ValueError, with a reason for people, when it lists nothing that can be understood."""
    problem = _problem(answer)
    if problem:
        raise ValueError(problem)
    if answer.truncated:
        return answer.body.count(b'"filename"'), ()
    try:
        files = answer.json()
    except ValueError:
        files = None
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise ValueError("%s answers with something else than a list of files (%s)" % (answer.url, answer.headers.get("content-type", "of no type")))
    return len(files), files


def _problem(answer: Answer) -> str:
    if answer.kind:
        return answer.error
    return "" if answer.ok else "%s answers with status %s" % (answer.url, answer.status)


def _selection(kind: str, name: str) -> str:
    return "filename=" + quote(name, safe="") if kind == "filename" else name


# -- options -------------------------------------------------------------------------------------------------------------


def base_url(option: str, url: str) -> str:
    """The URL of a server, to which paths are appended."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and not parts.query and not parts.fragment
        usable = usable and parts.port != 0 and not any(char <= " " or char == "\x7f" for char in url)
    except ValueError:
        usable = False
    if not usable:
        raise FitsError(
            "%s must be the http:// or https:// URL of a server, without user name, query or blanks, for example https://archive.example.org" % option
        )
    return url.rstrip("/")


def readable(option: str, path: Optional[str]) -> Optional[str]:
    if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
        raise FitsError("%s: %s is not a file that can be read" % (option, path))
    return path


def time_limit(seconds: float) -> float:
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise FitsError("timeout must be more than 0 and at most %g seconds, not %s" % (_LONGEST_TIMEOUT, seconds))
    return seconds


def program(name: str) -> str:
    if not _PROGRAM.fullmatch(name):
        raise FitsError("%r is not the id of a program: letters, digits, - and _ make one, for example GN-2019A-FT-211" % name)
    return name


def _filename(name: str) -> str:
    if not name.strip() or "/" in name or any(char < " " or char == "\x7f" for char in name):
        raise FitsError("%r is not the name of a file, for example N20200804S0091.fits" % name)
    return name[:-4] if name.endswith(".bz2") else name  # the archive knows it without


def _not_negative(option: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise FitsError("%s must be 0 or more, not %s" % (option, value))
    return value


def parse_time(text: Optional[str], now: float) -> Optional[float]:
    """Seconds since 1970 of an ISO time; UTC unless it says otherwise."""
    if text is None:
        return None
    plain = _OFFSET.sub(r"\1:\2", re.sub(r"[Zz]$", "+00:00", text.strip())) if "T" in text.upper() or ":" in text else text.strip()
    try:
        moment = datetime.fromisoformat(plain)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise FitsError("since must be a time such as 2026-01-31, 2026-01-31T08:00:00Z or 2026-01-31T08:00:00-10:00, not %r" % text) from None
    if seconds > now + 60:
        raise FitsError("since (%s) lies in the future: it is the time of the first complaint" % text)
    return seconds

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a FITS or archive web site says of some files: asked as upstream's export asks, all at once, within one time limit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence
from urllib.parse import quote

from ..connect.command import redact
from ..connect.http import Answer, ask
from .filestate import Reply

_AT_ONCE = 8
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Site:
    """Where and how to ask."""

    url: str
    timeout: float
    verify: bool = True
    ca_cert: Optional[str] = None


def ask_all(site: Site, stems: Sequence[str]) -> Dict[str, Reply]:
    """A reply for each name, which must be without .bz2: with it, the real site finds nothing."""
    deadline = time.monotonic() + site.timeout
    with ThreadPoolExecutor(max_workers=max(1, min(_AT_ONCE, len(stems)))) as pool:
        return dict(zip(stems, pool.map(lambda stem: _ask(site, stem, deadline), stems)))


def _ask(site: Site, stem: str, deadline: float) -> Reply:
    url = "%s/jsonfilelist/present/filename=%s" % (site.url.rstrip("/"), quote(stem, safe=""))
    left = deadline - time.monotonic()
    shown = redact(url, ())
    if left <= 0:
        return Reply(shown, False, "it was not asked, because the time for all questions was up")
    return read(ask(url, timeout=left, limit=_LONGEST, verify=site.verify, ca_cert=site.ca_cert), stem, shown)


def read(answer: Answer, stem: str, url: str) -> Reply:
    """Make sense of an answer, or say why there is none."""
    if answer.kind:
        return Reply(url, False, answer.error)
    if not answer.ok:
        return Reply(url, False, "it answers with HTTP status %s" % answer.status)
    try:
        listed = answer.json()
    except ValueError as exc:
        return Reply(url, False, "its answer is not JSON: %s" % exc)
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return Reply(url, False, "its answer is JSON, but no list of files")
    return _reply(url, [each for each in listed if _stem(each) == stem])


def _reply(url: str, files: List[Dict[str, Any]]) -> Reply:
    present = [each for each in files if each.get("present", True)]
    sums = tuple(each["data_md5"] for each in present if isinstance(each.get("data_md5"), str) and each["data_md5"])
    return Reply(url, True, "", bool(present), any(bool(each.get("pending_ingest")) for each in files), sums)


def _stem(each: Dict[str, Any]) -> str:
    """The site finds ``filename=X`` whatever ``X`` begins: other files are left out here."""
    name = str(each.get("filename") or each.get("name") or "")
    return name[:-4] if name.endswith(".bz2") else name

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record of an index: what it is like, and what would be done about it. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence

from ..procedure.envelope import Change, Finding, Image, Remedy
from ..procedure.errors import Refusal
from .errors import MotrError
from .ids import Fid

RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
TEXT, HEX, BASE64 = "text", "hex", "base64"
WINDOW = "Motr has no compare-and-set: a writer who comes between the last look and the write is overwritten"


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``value`` is None where the record is to be gone."""

    index: Fid
    key: bytes
    value: Optional[bytes]
    expected: Optional[str] = None
    """Hash of what is expected to be there."""
    shown: int = 1024
    """Bytes of a value that a result may show."""


@dataclass(frozen=True)
class RecordState:
    wish: Wish
    now: Optional[bytes]


def decode(text: str, form: str, option: str) -> bytes:
    """Bytes that were spelt out in YAML."""
    try:
        if form == HEX:
            return bytes.fromhex(text.replace("0x", "").replace(",", " "))
        if form == BASE64:
            return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as exc:
        raise MotrError("%s is no %s: %s" % (option, {HEX: "hexadecimal", BASE64: "base64"}[form], exc)) from None
    return text.encode("utf-8")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def legible(data: bytes) -> bool:
    """Whether bytes can be shown as text without hiding any of them."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\n\t" for char in text)


def image(data: Optional[bytes], limit: int) -> Optional[Image]:
    """A value as results and the journal have it: its length and hash, and no more of it than is allowed."""
    if data is None:
        return None
    head = data[:limit]
    as_text = legible(data)
    value = head.decode("utf-8", "ignore") if as_text else base64.b64encode(head).decode("ascii")
    return {
        "bytes": len(data),
        "sha256": sha256(data),
        "value": value if limit else None,
        "encoding": TEXT if as_text else BASE64,
        "truncated": len(data) > limit,
    }


def spelt(key: bytes) -> str:
    """A key in one line."""
    return key.decode("utf-8") if legible(key) and b"\n" not in key and b"\t" not in key else "0x%s" % key.hex()


def subject(index: Fid, key: bytes) -> str:
    return "record %s of index %s" % (spelt(key), index)


def plan(state: RecordState) -> List[Change]:
    wish = state.wish
    if state.now == wish.value:
        return []
    action = "delete" if wish.value is None else "create" if state.now is None else "replace"
    before, after = image(state.now, wish.shown), image(wish.value, wish.shown)
    return [Change(action, subject(wish.index, wish.key), before, after, "it is asked for; %s" % WINDOW, token=state.now)]


def guards(state: RecordState, plan: Sequence[Change]) -> List[Refusal]:
    wish, now = state.wish, state.now
    if not plan:
        return []
    seen = None if now is None else sha256(now)
    if seen == wish.expected:
        return []
    if wish.expected is None:
        reason = "there is a record already (%d bytes, sha256 %s), and nothing was said of what is expected to be there." % (len(now or b""), seen)
        return [Refusal("expected", reason, "look at it (changes[0].before), then give it as expected, or its hash as expected_sha256.")]
    what = "there is none" if seen is None else "it is another one (%d bytes, sha256 %s)" % (len(now or b""), seen)
    return [Refusal("expected", "the record is not what was expected: %s." % what, "find out who changed it, then give what is there now as expected.")]


def diagnose(state: RecordState) -> List[Finding]:
    wish = state.wish
    name = subject(wish.index, wish.key)
    detail = {"index": str(wish.index), "key": spelt(wish.key)}
    if state.now == wish.value:
        word, text = ("absent", "%s is not there, as asked") if wish.value is None else ("as_asked", "%s is as asked")
        return [Finding("motr.record.%s" % word, "ok", name, text % name, detail, None, RUNBOOK)]
    text = "%s is not there" if state.now is None else "%s has another value than the one asked for" if wish.value is not None else "%s is there"
    return [Finding("motr.record.differs", "info", name, text % name, detail, Remedy("run motr_record without check mode"), RUNBOOK)]


def facts(state: RecordState) -> Mapping[str, object]:
    wish = state.wish
    known = {"index": str(wish.index), "key": spelt(wish.key), "exists": state.now is not None}
    return {"record": dict(known, **(image(state.now, wish.shown) or {}))}

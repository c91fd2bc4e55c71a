# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record of an index is written: read, compared, put, and read back. Its old value is kept beside the journal."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, StoreFactory
from . import ids
from .client.kv import LARGEST, M0kv
from .client.options import client_of
from .client.saved import HEADER, Saved
from .errors import MotrError
from .ids import Fid
from .record_state import RecordState, Wish, decode, diagnose, facts, guards, image, plan, sha256, subject

_CHANGED = "the record was changed since it was looked at: left alone"
_LONGEST_SHOWN = 65536
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Record(Procedure[RecordState]):
    """Whether what is there is what was expected is the first guard."""

    name = "motr_record"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wish = wish_of(params)
        self.client = client_of(params)
        self.kv = M0kv(self.client)
        self.saved = Saved(params["journal_dir"])
        self.names: List[str] = []
        self.before: Optional[bytes] = None

    def observe(self) -> RecordState:
        self.before = self.kv.get(self.wish.index, self.wish.key)
        if self.before is None:
            self.kv.require_index(self.wish.index)
        return RecordState(self.wish, self.before)

    def diagnose(self, state: RecordState) -> List[Finding]:
        return diagnose(state)

    def plan(self, state: RecordState) -> List[Change]:
        return plan(state)

    def guards(self, state: RecordState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan)

    def facts(self, state: RecordState) -> Mapping[str, Any]:
        return facts(state)

    def context(self) -> Mapping[str, Any]:
        """Called when the plan stands and before anything is changed: the values are on disk when their names are."""
        self.saved.sweep()
        self.names = [self.saved.keep(value) for value in (self.before, self.wish.value) if value is not None]
        header: Dict[str, Any] = {"index": str(self.wish.index), "key": self.wish.key.hex(), "shown": self.wish.shown, HEADER: self.names}
        return dict(self.client.to_header(), **header)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [write(self.kv, self.wish.index, self.wish.key, change.token, self.wish.value) for change in changes]


def write(kv: M0kv, index: Fid, key: bytes, before: Optional[bytes], after: Optional[bytes]) -> Outcome:
    """From one value to another, if the first one is still there; read back."""
    if kv.get(index, key) != before:
        return Outcome(False, _CHANGED)
    if after is None:
        kv.delete(index, key)
    else:
        kv.put(index, key, after)
    back = kv.get(index, key)
    if back != after:
        what = "there is none" if back is None else "it has %d bytes, sha256 %s" % (len(back), sha256(back))
        raise MotrError("%s was written and does not read back as it was written: %s; somebody else writes it as well" % (subject(index, key), what))
    return Outcome(True)


def wish_of(params: Mapping[str, Any]) -> Wish:
    index = ids.parse(params["index"])
    if index.type not in (0, ord("x")):
        raise MotrError("index: %s is the fid of a %s; an index has a fid of type x" % (index, index.type_name))
    # m0kv sets the type itself.
    index = ids.make("x", index.container & ((1 << 56) - 1), index.key)
    key = decode(params["key"], params["key_format"], "key")
    if params["state"] == "present" and params["value"] is None:
        raise MotrError("value is required with state: present")
    value = None if params["state"] == "absent" else decode(params["value"], params["value_format"], "value")
    if not key or value == b"":
        raise MotrError("%s is empty, and m0kv takes nothing empty%s" % (("key", "") if not key else ("value", "; a record is removed with state: absent")))
    if value is not None and len(value) > LARGEST:
        raise MotrError("value has %d bytes; at most %d are written" % (len(value), LARGEST))
    if not 0 <= params["shown_bytes"] <= _LONGEST_SHOWN:
        raise MotrError("shown_bytes must be 0 to %d, not %d" % (_LONGEST_SHOWN, params["shown_bytes"]))
    return Wish(index, key, value, _expected(params), params["shown_bytes"])


def _expected(params: Mapping[str, Any]) -> Optional[str]:
    told = params["expected_sha256"]
    if told is not None:
        if not _SHA256.fullmatch(told):
            raise MotrError("expected_sha256 is no SHA-256 (64 hexadecimal digits): %r" % told)
        return str(told).lower()
    return None if params["expected"] is None else sha256(decode(params["expected"], params["value_format"], "expected"))


class RecordStore(Store):
    """The record of one run."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.index, self.key, self.shown = ids.parse(str(header["index"])), bytes.fromhex(str(header["key"])), int(header["shown"])
        self.names = [str(name) for name in header[HEADER]]
        self.kv = M0kv(client_of(header))
        self.saved = Saved(params["journal_dir"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        now = self.kv.get(self.index, self.key)
        return [(image(now, self.shown), now) for _change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        lost = [change for change in plan if change.after is not None and self._value(change) is None]
        if not lost:
            return []
        return [Refusal("saved", "what was saved of %s is gone." % lost[0].subject, "write the value again: motr_record.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [write(self.kv, self.index, self.key, change.token, self._value(change)) for change in changes]

    def _value(self, change: Change) -> Optional[bytes]:
        name = str((change.after or {}).get("sha256") or "")
        return self.saved.load(name) if name in self.names else None


STORES: Dict[str, StoreFactory] = {"motr_record": RecordStore}

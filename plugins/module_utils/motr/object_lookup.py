# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name of an object to what Motr knows it by: along the indices of s3server or RGW, or from a fid in any spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Protocol, Tuple

from . import ids, murmur, rgwnames, s3names
from .client.errors import ToolError
from .errors import MotrError
from .ids import Fid, ObjectId
from .layout import unit_size

S3SERVER, RGW = "s3server", "rgw"
MOST_PARTS = 10_000
"""An S3 object has no more."""


class Records(Protocol):
    """Whatever reads indices."""

    transport: str

    def get(self, index: Fid, key: bytes) -> Optional[bytes]: ...

    def beginning_with(self, index: Fid, prefix: bytes, limit: int) -> Iterator[Tuple[bytes, bytes]]: ...


@dataclass(frozen=True)
class Wanted:
    """An object that is asked for, by name or by fid."""

    bucket: str = ""
    key: str = ""
    account: str = ""
    tenant: str = ""
    version: str = ""
    schema: str = S3SERVER
    fid: str = ""

    @property
    def name(self) -> str:
        return self.fid or "%s/%s" % (self.bucket, self.key)


@dataclass(frozen=True)
class Found:
    """What became of one. ``problem`` is empty where all was well; ``missing`` says what of the chain is not there."""

    wanted: Wanted
    oid: Optional[ObjectId] = None
    pver: Optional[Fid] = None
    layout_id: Optional[int] = None
    size: Optional[int] = None
    parts: Tuple[Mapping[str, Any], ...] = ()
    steps: Tuple[Mapping[str, str], ...] = ()
    missing: str = ""
    problem: str = ""
    murmur: Optional[ObjectId] = None
    """The id that the name gives where s3server makes ids of names."""
    truncated: bool = False


@dataclass
class Lookup:
    """One object. The steps are kept as they are made, so that a person can repeat each of them."""

    records: Optional[Records]
    wanted: Wanted
    steps: List[Dict[str, str]] = field(default_factory=list)

    def run(self) -> Found:
        wanted = self.wanted
        made = murmur.object_id(wanted.name) if not wanted.fid and wanted.schema == S3SERVER else None
        try:
            if wanted.fid:
                return self._by_fid()
            found = self._in_s3server() if wanted.schema == S3SERVER else self._in_rgw()
        except _Missing as exc:
            return Found(wanted, missing=str(exc), steps=tuple(self.steps), murmur=made)
        except ToolError:
            raise
        except MotrError as exc:
            where = "; the record is %s of index %s" % (self.steps[-1]["key"], self.steps[-1]["index"]) if self.steps else ""
            return Found(wanted, problem=str(exc) + where, steps=tuple(self.steps), murmur=made)
        return found

    def _by_fid(self) -> Found:
        fid = ids.parse(self.wanted.fid)
        if fid.type == ord("C"):
            fid = ids.gob_from_cob(fid)
        if fid.type == ord("G"):
            return Found(self.wanted, ObjectId(ids.gob_checked(fid).container & 0xFFFFFFFF, fid.key))
        if fid.type:
            raise MotrError("%s is the fid of a %s; objects have none, a gob's (G) or that of one of their cobs (C)" % (fid, fid.type_name))
        return Found(self.wanted, ObjectId(*fid))

    # -- s3server ------------------------------------------------------------------------------------------------------

    def _in_s3server(self) -> Found:
        wanted = self.wanted
        account = wanted.account or s3names.decode_account(self._get(s3names.BUCKET_LIST, wanted.bucket, "the bucket %s" % wanted.bucket))
        owner = "%s/%s" % (account, wanted.bucket)
        bucket = self._get(s3names.BUCKET_METADATA, owner, "the bucket %s of account %s" % (wanted.bucket, account))
        listing = s3names.decode_bucket(bucket).oid
        if not any(listing):
            raise _Missing("the bucket %s has no index of objects: nothing was ever put into it" % wanted.bucket)
        record = s3names.decode_object(self._get(_index(listing), wanted.key, "the object %s in bucket %s" % (wanted.key, wanted.bucket)))
        parts, truncated = self._pieces(bucket, record)
        defined = record.values.get("System-Defined")
        size = _number(record.values.get("Size"), defined.get("Content-Length") if isinstance(defined, dict) else None)
        return Found(
            wanted,
            record.oid,
            record.pver,
            record.layout_id,
            size,
            parts,
            tuple(self.steps),
            murmur=murmur.object_id(wanted.name),
            truncated=truncated,
        )

    def _pieces(self, bucket: bytes, record: s3names.ObjectRecord) -> Tuple[Tuple[Mapping[str, Any], ...], bool]:
        """Parts and fragments, where the record says that there are any."""
        if not record.values.get("PRTS") and not record.values.get("FNo"):
            return (), False
        extended = s3names.decode_extended(bucket)
        if extended is None:
            return (), False
        name = self.wanted.key
        index = _index(extended.oid)
        self.steps.append({"index": str(index), "key": name + "|"})
        rows = list(self._records().beginning_with(index, (name + "|").encode("utf-8"), MOST_PARTS + 1))
        found = []
        for key, value in rows[:MOST_PARTS]:
            piece = s3names.decode_piece(name, key.decode("utf-8", "replace"), value)
            if piece is not None:
                found.append(piece)
        found.sort(key=lambda piece: (piece.version, piece.part or 0, piece.fragment or 0))
        return tuple(_part(each.part, each.fragment, each.oid, each.pver, each.layout_id, each.size, each.version) for each in found), len(rows) > MOST_PARTS

    # -- RGW -----------------------------------------------------------------------------------------------------------

    def _in_rgw(self) -> Found:
        wanted = self.wanted
        index = rgwnames.index_fid(rgwnames.bucket_index_name(wanted.bucket, wanted.tenant))
        key = "%s[%s]" % (wanted.key, wanted.version) if wanted.version else wanted.key
        value = self._get(index, key, "the object %s in the index of bucket %s" % (key, wanted.bucket))
        entry = rgwnames.decode_entry(value)
        meta = rgwnames.decode_meta(value)
        size = entry.size if entry else None
        if not (entry and entry.multipart) and any(meta.oid):
            return Found(wanted, meta.oid, meta.pver, meta.layout_id, size, (), tuple(self.steps))
        name = rgwnames.parts_index_name(wanted.bucket, wanted.key, wanted.tenant)
        index = rgwnames.index_fid(name)
        self.steps.append({"index": str(index), "key": "part."})
        parts = []
        for number, (_key, part) in enumerate(self._records().beginning_with(index, b"part.", MOST_PARTS), 1):
            told, known = rgwnames.decode_meta(part), rgwnames.decode_part(part)
            parts.append(_part(known[0] if known else number, None, told.oid, told.pver, told.layout_id, known[1] if known else None, ""))
        if not parts:
            raise _Missing("the object %s was uploaded in parts, and their index %s is empty or not there" % (wanted.key, name))
        return Found(wanted, None, None, None, size, tuple(parts), tuple(self.steps))

    # -- both ----------------------------------------------------------------------------------------------------------

    def _get(self, index: Fid, key: str, what: str) -> bytes:
        self.steps.append({"index": str(index), "key": key})
        value = self._records().get(index, key.encode("utf-8"))
        if value is None:
            raise _Missing("%s is not there" % what)
        return value

    def _records(self) -> Records:
        if self.records is None:
            raise MotrError("names need an interface to ask: transport")
        return self.records


class _Missing(Exception):
    """A record of the chain that is not there."""


def _index(oid: ObjectId) -> Fid:
    """m0kv and s3server set the type themselves."""
    return ids.make("x", oid.hi & ((1 << 56) - 1), oid.lo)


def _number(*values: Any) -> Optional[int]:
    return next((int(value) for value in values if isinstance(value, int) or (isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value))), None)


def _part(number: Optional[int], fragment: Optional[int], oid: ObjectId, pver: Fid, layout_id: int, size: Optional[int], version: str) -> Mapping[str, Any]:
    known = describe(oid, pver, layout_id)
    return dict(known, part=number, fragment=fragment, size=size, version=version or None)


def describe(oid: Optional[ObjectId], pver: Optional[Fid], layout_id: Optional[int]) -> Dict[str, Any]:
    """The names of an object, and the size of its units."""
    try:
        unit = None if layout_id is None else unit_size(layout_id)
    except MotrError:
        unit = None
    known_pver = pver if pver is not None and any(pver) else None
    return {
        "oid": str(oid) if oid else None,
        "fid": str(ids.gob_of(oid)) if oid else None,
        "pver": str(known_pver) if known_pver else None,
        "layout_id": layout_id,
        "unit_size": unit,
    }

# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects by their names: what Motr knows them by, or why nobody can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .client.kv import M0kv
from .client.options import client_of
from .client.rest import S3Rest
from .errors import MotrError
from .layout_id import layout_kind, why_not_plain
from .object_lookup import RGW, S3SERVER, Found, Lookup, Records, Wanted, describe

RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
_LOOK_UP = Remedy("check the spelling of bucket and key, and the account; else see the log of the S3 server for when it was deleted")
_LAYERS = Remedy("ask the client that made the object for its layers, and look at each of them as an object of its own")
_DAMAGED = Remedy("the record is damaged: keep it (m0kv index get), compare it with its neighbours, and set it right with fieldops.runbooks.motr_record")


@dataclass(frozen=True)
class ObjectState:
    found: Tuple[Found, ...]
    transport: Optional[str]


class ObjectInfo(Check[ObjectState]):
    """The chain of records from a name to an object, for several at once."""

    name = "motr_object_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wanted = [wanted_of(each, params) for each in params["objects"]]
        if not self.wanted:
            raise MotrError("objects is empty: give a bucket and a key, or a fid")
        self.records: Optional[Records] = None
        if any(not each.fid for each in self.wanted):
            self.records = records_of(params)
            if params["transport"] == "s3" and any(each.schema == RGW for each in self.wanted if not each.fid):
                raise MotrError("transport s3 asks s3server, which knows nothing of RGW's objects: use transport m0kv for schema rgw")

    def observe(self) -> ObjectState:
        found = tuple(Lookup(self.records, each).run() for each in self.wanted)
        return ObjectState(found, self.records.transport if self.records else None)

    def diagnose(self, state: ObjectState) -> List[Finding]:
        return [finding for each in state.found for finding in findings_of(each)]

    def facts(self, state: ObjectState) -> Mapping[str, Any]:
        return {"objects": [shown(each) for each in state.found]}

    def evidence(self, state: ObjectState) -> Mapping[str, Any]:
        return {"transport": state.transport, "lookups": {each.wanted.name: [dict(step) for step in each.steps] for each in state.found}}


def wanted_of(given: Mapping[str, Any], params: Mapping[str, Any]) -> Wanted:
    fid, bucket, key = (str(given.get(name) or "") for name in ("fid", "bucket", "key"))
    if bool(fid) == bool(bucket or key) or (not fid and not (bucket and key)):
        raise MotrError("objects: each one has either a fid, or a bucket and a key")
    schema = str(params["schema"])
    account, tenant, version = (str(given.get(name) or params.get(name) or "") for name in ("account", "tenant", "version"))
    if not fid and schema == S3SERVER and (tenant or version):
        raise MotrError("objects: tenant and version are RGW's; with schema s3server give an account, or nothing")
    return Wanted(bucket, key, account, tenant, version, schema, fid)


def records_of(params: Mapping[str, Any]) -> Records:
    if params["transport"] == "s3":
        client = client_of(params)
        return S3Rest(params["s3_url"], client.timeout, params["ca_cert"], params["validate_certs"])
    return M0kv(client_of(params))


def shown(found: Found) -> Mapping[str, Any]:
    wanted = found.wanted
    return dict(
        describe(found.oid, found.pver, found.layout_id),
        name=wanted.name,
        bucket=wanted.bucket or None,
        key=wanted.key or None,
        found=found.oid is not None or bool(found.parts),
        size=found.size,
        parts=[dict(part) for part in found.parts],
        murmurhash_oid=str(found.murmur) if found.murmur else None,
    )


def findings_of(found: Found) -> Sequence[Finding]:
    name = found.wanted.name
    if found.missing:
        text = "%s cannot be found: %s" % (name, found.missing)
        return [Finding("motr.object.not_found", "warning", name, text, {"missing": found.missing}, _LOOK_UP, RUNBOOK)]
    if found.problem:
        text = "%s cannot be resolved: %s" % (name, found.problem)
        code, remedy = ("motr.object.bad_fid", None) if found.wanted.fid else ("motr.object.unreadable", _DAMAGED)
        return [Finding(code, "critical", name, text, {"problem": found.problem}, remedy, RUNBOOK)]
    made = []
    detail = dict(shown(found), parts=len(found.parts))
    if found.oid is None:
        text = "%s consists of %d objects" % (name, len(found.parts))
    else:
        text = "%s is the object %s%s" % (name, detail["fid"], " in %d parts and fragments" % len(found.parts) if found.parts else "")
    made.append(Finding("motr.object.found", "ok", name, text, detail, None, RUNBOOK))
    made += _odd(found, name)
    return made


def _odd(found: Found, name: str) -> List[Finding]:
    """What is not as it should be about an object that was found."""
    odd = []
    told = describe(found.oid, found.pver, found.layout_id)
    strange = "" if found.layout_id is None else why_not_plain(found.layout_id)
    if strange:
        text = "%s has no map of its own: %s" % (name, strange)
        kind = layout_kind(found.layout_id or 0)
        odd.append(Finding("motr.object.not_plain", "warning", name, text, {"layout_id": found.layout_id, "layout_type": kind}, _LAYERS, RUNBOOK))
    elif found.layout_id is not None and told["unit_size"] is None:
        text = "%s has the layout id %d, and Motr has only 1 to 14" % (name, found.layout_id)
        odd.append(Finding("motr.object.layout_unknown", "critical", name, text, {"layout_id": found.layout_id}, _DAMAGED, RUNBOOK))
    if found.oid is not None and found.oid.loses:
        text = "%s has the id %s, of which its fid holds only the low 32 bits of the first half: another object may have the same fid" % (name, found.oid)
        odd.append(Finding("motr.object.id_cut", "warning", name, text, {"oid": str(found.oid)}, None, RUNBOOK))
    if found.oid is not None and found.oid.reserved:
        text = "%s has the id %s, and those up to 0:100000 are Motr's own" % (name, found.oid)
        odd.append(Finding("motr.object.id_reserved", "critical", name, text, {"oid": str(found.oid)}, _DAMAGED, RUNBOOK))
    if found.truncated:
        text = "%s has more parts than the %d that are shown" % (name, len(found.parts))
        odd.append(Finding("motr.object.parts_truncated", "warning", name, text, {}, None, RUNBOOK))
    return odd

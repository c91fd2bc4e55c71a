# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that mends a parity group: its units as they are on the devices, what they should be, one write of the group by the client.

A write of the wrong unit alone may make the client correct the parity by the difference to what it reads, which is wrong: then the data are right
and all parity is not. A write of a whole group computes all parity anew (``motr/io_pargrp.c``).
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..procedure import evidence
from ..procedure.check import Procedure
from ..procedure.directory import open_regular
from ..procedure.envelope import Change, Finding, Image, Outcome, Remedy
from ..procedure.errors import JournalError, Refusal
from ..procedure.journal import Journal
from ..procedure.undo import Store
from . import conf, ids, layout, repair_plan
from .client.objects import Objects
from .client.options import client_of
from .cob_info import read_conf
from .errors import MotrError
from .object_map import choose_pver, gob_of
from .repair_plan import Group, Judged, Units
from .source import RUNBOOK

LARGEST_GROUP = 32 << 20
"""Bytes that m0cp and m0cat take as one block, and so write at once (``motr/st/utils/helper.c``)."""
_WHAT = "the units as they are now"


class RepairState(NamedTuple):
    """A group, what is to be thought of it, and what the client says."""

    group: Group
    judged: Judged
    client_ok: bool
    """Whether the client, when it verifies the parity, finds it right."""
    mended: bool = False


class BlockRepair(Procedure[RepairState]):
    """Judges the units that were read off the devices; writes through the client."""

    name = "motr_block_repair"

    def __init__(self, params: Mapping[str, Any]) -> None:
        cluster = read_conf(params)
        if cluster is None:
            raise MotrError("the configuration of the cluster is wanted, as conf or conf_text: it tells how many data and parity units a group has")
        self.oid = _oid(params["object"])
        self.pver = choose_pver(cluster, params["pool_version"])
        self.unit_size = layout.unit_size(params["layout_id"])
        self.number: int = params["group"]
        self.shape = _shape(self.pver, self.unit_size, self.number)
        self.files = _files(params["units"]) if params["units_dir"] is None else _found(params["units_dir"])
        self.named = frozenset(params["wrong"])
        self.objects = Objects(client_of(params), params["layout_id"])
        # Not pruned with what other runs keep: an undo wants it.
        self.kept = evidence.place(Journal(params["journal_dir"]).directory) + "-units"
        self.first: Optional[RepairState] = None
        self.seen: Optional[bytes] = None
        """The data as the client had them when they were judged."""
        self.done = False

    @property
    def subject(self) -> str:
        return "object %s group %d" % (self.oid, self.number)

    @property
    def _range(self) -> Tuple[int, int]:
        size = self.shape[0] * self.unit_size
        return self.number * size, size

    # -- looking -------------------------------------------------------------------------------------------------------

    def observe(self) -> RepairState:
        if self.first is not None and self.done:
            return self._again(self.first)
        group = repair_plan.checked(Group(self.subject, *self.shape, self.unit_size, self._units(), self.named))
        judged = repair_plan.judge(group)
        offset, size = self._range
        said = self.objects.read(self.oid, offset, size, verify=True)
        if said is not None and said == b"".join((judged.whole or ())[: group.n]):
            # The units may be of before a repair: what they should be is what there is.
            return self._sound(group, judged)
        data = said if said is not None else self.objects.read(self.oid, offset, size)
        if data is None:
            raise MotrError("the client cannot read %s" % self.subject)
        _compare(group, judged, data, said is not None)
        self.seen = data
        self.first = RepairState(group, judged, said is not None)
        return self.first

    def _again(self, first: RepairState) -> RepairState:
        """After the write what was read off the devices is of the past: the client reads the group and verifies its parity."""
        offset, size = self._range
        data = self.objects.read(self.oid, offset, size, verify=True)
        if data is None or data != b"".join((first.judged.whole or ())[: first.group.n]):
            what = "its parity is still wrong" if data is None else "it does not have what was written"
            raise MotrError("%s was written, and %s. What was there before is kept in %s." % (self.subject, what, self.kept))
        return self._sound(first.group, first.judged)._replace(mended=True)

    def _sound(self, group: Group, judged: Judged) -> RepairState:
        return RepairState(group._replace(units=judged.whole or ()), judged._replace(wrong=(), certain=True), True)

    def _units(self) -> Units:
        n, k = self.shape
        beyond = sorted(number for number in self.files if not 0 <= number < n + k)
        if beyond:
            raise MotrError("units: there is no unit %d in a group of %d data and %d parity units" % (beyond[0], n, k))
        return tuple(_read(self.files[number], self.unit_size) if number in self.files else None for number in range(n + k))

    # -- judging -------------------------------------------------------------------------------------------------------

    def diagnose(self, state: RepairState) -> List[Finding]:
        return [_finding(state)]

    def facts(self, state: RepairState) -> Mapping[str, Any]:
        n, k = self.shape
        shape = {"number": self.number, "n": n, "k": k, "unit_size": self.unit_size, "offset": self._range[0], "length": self._range[1]}
        return {
            "object": str(self.oid),
            "gob": str(ids.gob_of(self.oid)),
            "pool_version": str(self.pver.fid),
            "group": shape,
            "units": repair_plan.told(state.group, state.judged),
            "wrong": list(state.judged.wrong),
            "certain": state.judged.certain,
            "parity_ok": state.client_ok,
            "mended": state.mended,
        }

    def evidence(self, state: RepairState) -> Mapping[str, Any]:
        return {"kept": self.kept if self.done else None, "files": {str(number): path for number, path in sorted(self.files.items())}}

    def plan(self, state: RepairState) -> List[Change]:
        return repair_plan.plan(state.group, state.judged)

    def guards(self, state: RepairState, plan: Sequence[Change]) -> List[Refusal]:
        if state.judged.whole is not None:
            return []
        return [
            Refusal("motr_group", "%s cannot be repaired from its parity: %s." % (self.subject, state.judged.why), "wrong listing the units that are wrong.")
        ]

    # -- mending -------------------------------------------------------------------------------------------------------

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One write mends them all."""
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        state = self.first
        if state is None or state.judged.whole is None:
            raise MotrError("there is nothing that the group should be")
        evidence.make(self.kept, _WHAT)
        for number, unit in enumerate(state.group.units):
            if unit is not None:
                self._keep(self._kept(number), unit)
        for number in state.judged.wrong:
            self._keep(self._kept(number) + "-wanted", state.judged.whole[number])
        if self.objects.read(self.oid, *self._range) != self.seen:
            raise MotrError("%s was written since it was looked at. Nothing was changed: read the units again." % self.subject)
        self.done = True
        self.objects.overwrite(self.oid, self._range[0], b"".join(state.judged.whole[: state.group.n]))
        return [Outcome(True) for _change in changes]

    def _keep(self, path: str, unit: bytes) -> None:
        try:
            evidence.write(self.kept, os.path.basename(path), unit)
        except OSError as exc:
            raise JournalError("%s cannot be kept in %s: %s. Nothing was changed" % (_WHAT, self.kept, exc.strerror)) from exc

    def context(self) -> Mapping[str, Any]:
        offset, size = self._range
        kept = {str(number): self._kept(number) for number in (self.first.judged.wrong if self.first else ())}
        return dict(self.objects.to_header(), object=str(self.oid), offset=offset, length=size, unit_size=self.unit_size, kept=kept)

    def _kept(self, number: int) -> str:
        """Where the unit as it was is kept."""
        return os.path.join(self.kept, evidence.file_name("%s-group-%d-unit-%d" % (self.oid, self.number, number)))


class GroupStore(Store):
    """Puts data units back as they were, by a write of the whole group. Parity units follow the data, whatever they were."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.objects = Objects(client_of(header), int(header["layout_id"]))
        self.oid = ids.parse_object_id(str(header["object"]))
        self.offset, self.length, self.unit_size = (int(header[name]) for name in ("offset", "length", "unit_size"))
        self.kept: Mapping[str, str] = header["kept"]

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        data = self._data()
        fine = self.objects.read(self.oid, self.offset, self.length, verify=True) is not None
        found = []
        for change in changes:
            start = _number(change) * self.unit_size
            whole = change.after if fine else change.before
            found.append((repair_plan.image(data[start : start + self.unit_size]) if start < self.length else whole, None))
        return found

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        data = self._data()
        for change in changes:
            start = _number(change) * self.unit_size
            if repair_plan.image(data[start : start + self.unit_size]) != change.before:
                raise MotrError("%s was written since it was looked at. Nothing was changed." % change.subject)
            unit = _read(self.kept[str(_number(change))], self.unit_size)
            if repair_plan.image(unit) != change.after:
                raise MotrError("%s has not what the unit was" % self.kept[str(_number(change))])
            data = data[:start] + unit + data[start + self.unit_size :]
        self.objects.overwrite(self.oid, self.offset, data)
        return [Outcome(True) for _change in changes]

    def _data(self) -> bytes:
        data = self.objects.read(self.oid, self.offset, self.length)
        if data is None:
            raise MotrError("the client cannot read the group")
        return data


def _number(change: Change) -> int:
    """Of the unit, the last word of the subject."""
    return int(change.subject.rsplit(" ", 1)[1])


STORES = {BlockRepair.name: GroupStore}


def _oid(text: str) -> ids.ObjectId:
    """The id that clients have. A global fid keeps its lower 32 bits only, which is all of it in objects of S3 and RGW."""
    gob, oid = gob_of(text)
    return oid if oid is not None else ids.ObjectId(gob.container & 0xFFFFFFFF, gob.key)


def _shape(pver: conf.Object, unit_size: int, group: int) -> Tuple[int, int]:
    n, k = pver.fields["n"], pver.fields["k"]
    if group < 0:
        raise MotrError("group must be 0 or more, not %d" % group)
    if n * unit_size > LARGEST_GROUP:
        raise MotrError("a group has %d bytes of data, and Motr's tools write at most %d at once" % (n * unit_size, LARGEST_GROUP))
    return n, k


def _files(units: Sequence[Mapping[str, Any]]) -> Dict[int, str]:
    found: Dict[int, str] = {}
    for each in units:
        if found.setdefault(each["unit"], each["path"]) != each["path"]:
            raise MotrError("units: unit %d is there twice" % each["unit"])
    return found


def _found(directory: str) -> Dict[int, str]:
    """The files of a directory that are named as units."""
    try:
        names = os.listdir(directory)
    except OSError as exc:
        raise MotrError("units_dir: %s cannot be read: %s" % (directory, exc.strerror)) from exc
    matches = [re.fullmatch(r"unit-(\d{1,6})", name) for name in names]
    found = {int(match.group(1)): os.path.join(directory, match.group(0)) for match in matches if match}
    if not found:
        raise MotrError("units_dir: %s has no files unit-0, unit-1 and so on" % directory)
    return found


def _read(path: str, size: int) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(size + 1)
    except OSError as exc:
        raise MotrError("the unit in %s cannot be read: %s" % (path, exc.strerror)) from exc


def _compare(group: Group, judged: Judged, data: bytes, parity_ok: bool) -> None:
    """MotrError where what was read off the devices is not what the client has now."""
    size = group.unit_size
    for number in range(group.n):
        unit = group.units[number]
        if unit is not None and unit != data[number * size : (number + 1) * size]:
            text = "unit %d as it was given is not what the client reads of %s: it was written since, or the unit is elsewhere. Read the units again."
            raise MotrError(text % (number, group.subject))
    if parity_ok and judged.wrong:
        raise MotrError(
            "the client finds the parity of %s right, and the units that were given do not: they are of another time. Read them again." % group.subject
        )
    if not parity_ok and judged.whole is not None and not judged.wrong:
        raise MotrError(
            "the client finds the parity of %s wrong, and the units that were given are right: they are of another time. Read them again." % group.subject
        )


def _finding(state: RepairState) -> Finding:
    group, judged = state.group, state.judged
    detail = {"wrong": list(judged.wrong), "certain": judged.certain, "parity_ok": state.client_ok}
    if judged.whole is None:
        text = "%s cannot be repaired from its parity: %s" % (group.subject, judged.why)
        remedy = Remedy("name the units that are wrong, or restore the object from its source")
        return Finding("motr.group.unrepairable", "critical", group.subject, text, detail, remedy, RUNBOOK)
    if not judged.wrong:
        return Finding("motr.group.ok", "ok", group.subject, "data and parity of %s agree" % group.subject, detail, None, RUNBOOK)
    wrong = ", ".join("%s unit %d" % (repair_plan.kind(group, number), number) for number in judged.wrong)
    text = "%s of %s %s not what the other units say" % (wrong, group.subject, "is" if len(judged.wrong) == 1 else "are")
    return Finding("motr.group.wrong", "critical", group.subject, text, detail, Remedy("repair the group with motr_block_repair"), RUNBOOK)

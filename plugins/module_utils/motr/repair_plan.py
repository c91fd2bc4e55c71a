# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in a parity group, what it should be, and how sure that is. Pure.

A group of n data and k parity units has k spare equations. Each unit that is lost or named as wrong uses one up; what is left over checks the others. With
none left nothing can contradict whoever named the wrong unit, and a good one would be replaced by what fits the bad one. So such a repair is planned as a
loss of data, which somebody has to accept by name.

Which unit is wrong is told by the fewest that explain it. A unit that was rewritten alone is a trap: the client may then have corrected the parity by a wrong
difference, and the group looks exactly as if that unit were wrong and should be what it was. So data units can be put back.
"""

from __future__ import annotations

import hashlib
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..procedure.envelope import Change, Image
from . import parity
from .errors import MotrError

Units = Tuple[Optional[bytes], ...]
"""The n data and k parity units of a group as they lie on their devices, None where one could not be read."""


class Group(NamedTuple):
    """A parity group of an object. ``named`` are the units that somebody says are wrong."""

    subject: str
    n: int
    k: int
    unit_size: int
    units: Units
    named: FrozenSet[int] = frozenset()


class Judged(NamedTuple):
    """``whole``: all n + k units as they should be, None where nobody can tell; ``why`` then says why."""

    whole: Optional[Tuple[bytes, ...]]
    wrong: Tuple[int, ...]
    """Units that are not as they should be, lost ones among them."""
    certain: bool
    """Whether other units of the group confirm it."""
    why: str = ""


def checked(group: Group) -> Group:
    """The same; MotrError where it is no group."""
    parity.check_shape(group.n, group.k)
    size = group.n + group.k
    if len(group.units) != size:
        raise MotrError("group of %d + %d units: %d were given" % (group.n, group.k, len(group.units)))
    beyond = sorted(number for number in group.named if not 0 <= number < size)
    if beyond:
        raise MotrError("there is no unit %d: data units are 0 to %d, parity units up to %d" % (beyond[0], group.n - 1, size - 1))
    for number, unit in enumerate(group.units):
        if unit is not None and len(unit) != group.unit_size:
            raise MotrError("unit %d has %d bytes, and units of this layout have %d" % (number, len(unit), group.unit_size))
    return group


def judge(group: Group) -> Judged:
    """What the group should be."""
    lost = {number for number, unit in enumerate(group.units) if unit is None} | group.named
    if len(lost) > group.k:
        why = "units %s are lost or wrong, and %d parity units replace at most %d" % (_listed(lost), group.k, group.k)
        return Judged(None, tuple(sorted(lost)), False, why)
    if not lost:
        return _located(group)
    whole = tuple(parity.recover([None if number in lost else unit for number, unit in enumerate(group.units)], group.n, group.k))
    certain = len(lost) < group.k
    if certain and not parity.verify(whole, group.n, group.k):
        why = "more is wrong than units %s: without them the others do not agree with each other" % _listed(lost)
        return Judged(None, tuple(sorted(lost)), False, why)
    return Judged(whole, _different(group.units, whole), certain)


def _located(group: Group) -> Judged:
    """Nothing is lost, and nobody named anything: the parity itself has to tell."""
    whole = tuple(unit for unit in group.units if unit is not None)
    if group.k == 0:
        return Judged(None, (), False, "a group without parity cannot be checked, nor repaired")
    try:
        wrong = parity.locate(whole, group.n, group.k)
    except MotrError as exc:
        return Judged(None, (), False, str(exc))
    made = parity.recover([None if number in wrong else unit for number, unit in enumerate(whole)], group.n, group.k)
    return Judged(tuple(made), tuple(wrong), True)


def _different(units: Units, whole: Sequence[bytes]) -> Tuple[int, ...]:
    return tuple(number for number, unit in enumerate(units) if unit != whole[number])


def plan(group: Group, judged: Judged) -> List[Change]:
    """One change for each unit that is not as it should be; none where nobody can tell what it should be."""
    if judged.whole is None:
        return []
    return [_change(group, number, judged.whole[number], judged.certain) for number in judged.wrong]


def _change(group: Group, number: int, wanted: bytes, certain: bool) -> Change:
    subject = "%s unit %d" % (group.subject, number)
    reason = "it does not fit the others" if certain else "it was named, or could not be read; no other unit confirms that it is the wrong one"
    loss = "" if certain or group.units[number] is None else subject
    # A write of the group computes its parity anew: what a wrong one was cannot be had again.
    reversible = number < group.n and group.units[number] is not None
    return Change("reconstruct", subject, image(group.units[number]), image(wanted), reason, reversible, loss)


def image(unit: Optional[bytes]) -> Optional[Image]:
    """What is shown and kept of a unit's bytes."""
    return None if unit is None else {"sha256": hashlib.sha256(unit).hexdigest(), "bytes": len(unit)}


def kind(group: Group, number: int) -> str:
    return "data" if number < group.n else "parity"


def told(group: Group, judged: Judged) -> List[Dict[str, object]]:
    """The units for a result: never their bytes."""
    rows: List[Dict[str, object]] = []
    for number, unit in enumerate(group.units):
        found, wanted = image(unit), image(judged.whole[number]) if judged.whole is not None else None
        state = "lost" if unit is None else "wrong" if number in judged.wrong else "unknown" if judged.whole is None else "fine"
        rows.append(
            {"unit": number, "kind": kind(group, number), "state": state, "sha256": (found or {}).get("sha256"), "wanted_sha256": (wanted or {}).get("sha256")}
        )
    return rows


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))

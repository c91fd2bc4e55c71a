# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout ids: how large the units of an object are, and whether it is a plain one. Only those are mapped (``motr/layout.h``, ``motr/obj.c``)."""

from __future__ import annotations

from .errors import MotrError

LAYOUTS = {0: "plain", 1: "composite", 2: "capture"}
"""Kinds of layouts, which the highest 16 bits of a layout id tell (``m0_client_layout_type``, ``M0_OBJ_LAYOUT_TYPE`` in ``motr/layout.h``)."""
_TYPE_AT = 48
UNIT_SIZES = {lid: 4096 << (lid - 1) for lid in range(1, 15)}
"""Bytes of a unit by layout id (``m0_lid_to_unit_map``)."""


def layout_kind(layout_id: int) -> str:
    """What the type in a layout id says that the object is: plain, composite or capture, or the number of one that is not known."""
    number = layout_id >> _TYPE_AT
    return LAYOUTS.get(number, str(number))


def why_not_plain(layout_id: int) -> str:
    """Why an object of this layout id has no map of its own; empty where it is a plain one."""
    kind = layout_kind(layout_id)
    if kind == "composite":
        return "the object is composite (layout id %#x): its bytes are in the objects that are its layers, and each of them has a map of its own" % layout_id
    if kind == "capture":
        return "the object has a captured layout (layout id %#x): its bytes are where another object's were, which is what to ask for" % layout_id
    return "" if kind == "plain" else "the layout id %#x is of the type %s, which Motr does not have" % (layout_id, kind)


def unit_size(layout_id: int) -> int:
    """Bytes of a unit. MotrError for all but plain objects, as no others are mapped by it."""
    strange = why_not_plain(layout_id) if layout_id > 0 else ""
    if strange:
        raise MotrError(strange)
    if layout_id not in UNIT_SIZES:
        raise MotrError("layout id %s is none of Motr's, which are 1 (4 KiB) to 14 (32 MiB)" % (layout_id,))
    return UNIT_SIZES[layout_id]

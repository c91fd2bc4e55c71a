# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identifiers of Motr: fids in every spelling, 128-bit object ids, and the way from an object to its cobs and their storage objects."""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Tuple, Union

from .errors import MotrError

# The top byte of the container, M0_FID_TCONTAINER (fid/fid.h:85).
TYPES: Dict[str, str] = {
    "G": "gob",  # file/file.c:570
    "C": "cob",  # cob/cob.c:118
    "b": "btree",  # be/btree.c:1389
    "i": "cas-index",  # cas/cas.c:161-175
    "T": "component-catalogue",
    "x": "dix",
    "r": "process",
    "s": "service",
    "d": "sdev",
    "k": "drive",
    "j": "objv",
    "v": "pver",
    "o": "pool",
    "p": "profile",
    "n": "node",
    "S": "site",
    "a": "rack",
    "e": "enclosure",
    "c": "controller",
    "t": "root",
    "g": "fdmi",
    "l": "fdmi",
}
AD_STOB = 2
LINUX_STOB = 1
_SPECIAL = {AD_STOB: "ad-stob", LINUX_STOB: "linux-stob"}

_U32 = (1 << 32) - 1
_U56 = (1 << 56) - 1
_U64 = (1 << 64) - 1
_DEVICES = 1 << 24
_EMAP_TREE = 0x6200000000000004
# M0_ID_APP (motr/client.c:92): ids up to it are Motr's own.
LAST_RESERVED_ID = 0x100000

ACCEPTED = "<a:b> or a:b (hexadecimal, 0x allowed), (0xa,0xb), T|a:b, ^T|a:b or ^T|a.b (T one character, numbers decimal unless 0x or octal with a leading 0)"
_MOST_DIGITS = 100
"""Python itself refuses to read decimal numbers of thousands of digits, and no half of a fid has more than 22 but for zeros."""
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)")
_TYPED = re.compile(r"\^?(.)\|([^:.\s]+)[:.]([^:.\s]+)")


class Fid(NamedTuple):
    """``struct m0_fid {u64 f_container, f_key}`` (fid/fid.h:37)."""

    container: int
    key: int

    @property
    def type(self) -> int:
        """The type byte."""
        return self.container >> 56

    @property
    def type_name(self) -> str:
        """What the type byte stands for; hexadecimal when nothing is known of it."""
        return _SPECIAL.get(self.type) or TYPES.get(chr(self.type)) or "0x%02x" % self.type

    def __str__(self) -> str:
        """As FID_F prints it (fid/fid.h:80): hexadecimal without 0x."""
        return "<%x:%x>" % self

    @property
    def plain(self) -> str:
        """As m0_fid_print() has it: no brackets, no 0x."""
        return "%x:%x" % self

    @property
    def hare(self) -> str:
        """As Hare prints it (hax/types.py Fid.__str__): with 0x."""
        return "0x%x:0x%x" % self

    @property
    def pair(self) -> str:
        """As a live dump of the configuration prints it."""
        return "(0x%x,0x%x)" % self

    @property
    def xcode(self) -> str:
        """As conf.xc and the tools that read xcode take it; hexadecimal, for a plain number would be decimal there."""
        letter = chr(self.type)
        # A bar or a blank would not be read back by every tool.
        if not 0x21 <= self.type < 0x7F or letter == "|":
            return self.pair
        return "^%s|0x%x:0x%x" % (letter, self.container & _U56, self.key)


AnyFid = Union[Fid, Tuple[int, int], str]


def make(letter: str, container: int, key: int) -> Fid:
    """The fid of a type: its container without the type byte, and its key."""
    if len(letter) != 1 or ord(letter) > 0xFF:
        raise MotrError("%r is no type of a fid: one character is wanted." % letter)
    if not 0 <= container <= _U56 or not 0 <= key <= _U64:
        raise MotrError("%s|%s:%s is no fid: the container has 56 bits besides its type, the key 64." % (letter, container, key))
    return Fid(ord(letter) << 56 | container, key)


def parse(text: str) -> Fid:
    """A fid in any spelling of Motr, its tools and Hare (fid/fid.c, fid_sscanf)."""
    bare = text.strip()
    typed = _TYPED.fullmatch(bare)
    if typed:
        return make(typed.group(1), _any_base(typed.group(2), text), _any_base(typed.group(3), text))
    separator = ":"
    for opened, closed, between in (("<", ">", ":"), ("(", ")", ",")):
        if bare.startswith(opened) and bare.endswith(closed):
            bare, separator = bare[1:-1], between
            break
    halves = [_HEX.fullmatch(half.strip()) for half in bare.split(separator)]
    if len(halves) != 2:
        raise _refused(text)
    return checked(Fid(*(_hexadecimal(half.group(1) if half else "", text) for half in halves)))


def checked(fid: Fid) -> Fid:
    """The fid, if both of its halves have 64 bits."""
    if not all(0 <= half <= _U64 for half in fid):
        raise MotrError("(%s, %s) is no fid: each half has 64 bits." % fid)
    return fid


def fid_of(value: AnyFid) -> Fid:
    """A fid that came as such, as a pair of numbers or as text."""
    return parse(value) if isinstance(value, str) else checked(Fid(*value))


def _refused(text: str) -> MotrError:
    return MotrError("%r is no fid; accepted are %s." % (text, ACCEPTED))


def _hexadecimal(digits: str, text: str) -> int:
    if not digits or int(digits, 16) > _U64:
        raise _refused(text)
    return int(digits, 16)


def _any_base(digits: str, text: str) -> int:
    """What %i of scanf reads."""
    for pattern, base in ((r"0[xX][0-9a-fA-F]+", 16), (r"0[0-7]*", 8), (r"[1-9][0-9]*", 10)):
        if len(digits) <= _MOST_DIGITS and re.fullmatch(pattern, digits):
            return int(digits, base)
    raise _refused(text)


class ObjectId(NamedTuple):
    """``struct m0_uint128``: what a client calls an object."""

    hi: int
    lo: int

    def __str__(self) -> str:
        return "%x:%x" % self

    @property
    def loses(self) -> int:
        """The bits of ``hi`` that its gob fid does not hold: only the low 32 survive (motr/io.c:605, motr/obj.c:525)."""
        return self.hi & ~_U32

    @property
    def reserved(self) -> bool:
        """Whether it is one of Motr's own."""
        return self.hi == 0 and self.lo <= LAST_RESERVED_ID


def parse_object_id(text: str) -> ObjectId:
    """``hi:lo`` in hexadecimal, with or without 0x, brackets or parentheses. Text of a fid with a type is none: its numbers would be decimal."""
    if "|" in text:
        raise MotrError("%r is no object id; accepted are hi:lo, 0xhi:0xlo, <hi:lo> and (0xhi,0xlo)." % text)
    try:
        return ObjectId(*parse(text))
    except MotrError:
        raise MotrError("%r is no object id; accepted are hi:lo, 0xhi:0xlo, <hi:lo> and (0xhi,0xlo)." % text) from None


def gob_of(oid: ObjectId) -> Fid:
    """The gob fid of an object, m0_fid_gob_make(). ``oid.loses`` tells what of the id it does not hold."""
    if not all(0 <= half <= _U64 for half in oid):
        raise MotrError("(%s, %s) is no object id: each half has 64 bits." % oid)
    return make("G", oid.hi & _U32, oid.lo)


def gob_checked(gob: Fid) -> Fid:
    """The global fid of an object, if it can be one: an object is on no device, so the bits where a cob has its device must be 0."""
    _expect(checked(gob), ord("G"), "gob")
    device = gob.container >> 32 & (_DEVICES - 1)
    if device:
        cob = Fid(ord("C") << 56 | gob.container & _U56, gob.key)
        raise MotrError(
            "%s is the fid of no object: it has 0x%x in the bits of the device, which only a cob has. The object is %s, the cob on device %d is %s."
            % (gob, device, make("G", gob.container & _U32, gob.key), device, cob)
        )
    return gob


def _expect(fid: Fid, type_byte: int, name: str) -> None:
    if fid.type != type_byte:
        raise MotrError("%s is the fid of a %s, not of a %s (type byte 0x%02x)." % (fid, fid.type_name, name, type_byte))


def cob_of(gob: Fid, device: int) -> Fid:
    """The cob of an object on a device, ``device`` being the ``sd_dev_idx`` of the configuration (ioservice/fid_convert.c, pool/pool_machine.c:1244)."""
    _check_device(device)
    return make("C", device << 32 | gob_checked(gob).container & _U32, gob.key)


def gob_from_cob(cob: Fid) -> Fid:
    """The object that a cob belongs to."""
    _expect(cob, ord("C"), "cob")
    return make("G", cob.container & _U32, cob.key)


def device_from_cob(cob: Fid) -> int:
    """The ``sd_dev_idx`` of the device that a cob is on."""
    _expect(cob, ord("C"), "cob")
    return cob.container >> 32 & (_DEVICES - 1)


def ad_stob_of(cob: Fid) -> Fid:
    """The storage object of a cob: the prefix of its keys in the extent map. That of an AD domain itself is taken as it is."""
    if cob.type == AD_STOB:
        return cob
    _expect(cob, ord("C"), "cob")
    return Fid(AD_STOB << 56 | cob.container & _U56, cob.key)


def cob_from_ad_stob(stob: Fid) -> Fid:
    """The cob that a storage object of an AD domain holds."""
    _expect(stob, AD_STOB, "ad-stob")
    return make("C", stob.container & _U56, stob.key)


def ad_domain_of(device: int) -> Fid:
    """The AD storage domain of a device."""
    _check_device(device)
    return Fid(AD_STOB << 56, device)


def emap_tree_of(device: int) -> Fid:
    """The b-tree that holds the extents of a device's storage objects."""
    _check_device(device)
    return Fid(_EMAP_TREE, device)


def device_from_emap_tree(tree: Fid) -> int:
    """The device whose extents a b-tree holds."""
    if tree.container != _EMAP_TREE or tree.key >= _DEVICES:
        raise MotrError("%s is not the tree of a device's extents: <%x:device> is." % (tree, _EMAP_TREE))
    return tree.key


def device_from_disks_conf(number: int) -> int:
    """The ``sd_dev_idx`` of an entry of disks.conf, whose ids begin with 1 (motr/setup.c:873)."""
    _check_device(number - 1)
    return number - 1


def _check_device(device: int) -> None:
    if not 0 <= device < _DEVICES:
        raise MotrError("%s is no index of a device: it has 24 bits." % device)

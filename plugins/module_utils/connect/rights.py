# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with a file: owner, group, other and POSIX access control lists, as the kernel decides it."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass
from typing import FrozenSet, List, Optional, Tuple

from .command import Account

READ, ENTER = 4, 1
"""Bits of one class; to enter a directory is to execute it."""

OWNER, GROUP, OTHER, LISTED = "owner", "group", "other", "listed"
"""The class that decides for a user. ``LISTED``: an entry of an access control list, which no change of mode can mend."""

_ACL = "system.posix_acl_access"
_VERSION = 2
_USER, _GROUP_OBJ, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10


@dataclass(frozen=True)
class Identity:
    """A user with all their groups."""

    name: str
    uid: int
    gids: FrozenSet[int]


@dataclass(frozen=True)
class Acl:
    """What an access control list adds to the mode. ``users`` and ``groups`` are pairs of id and bits."""

    users: Tuple[Tuple[int, int], ...]
    groups: Tuple[Tuple[int, int], ...]
    group: int
    """Bits of the owning group; the group bits of the mode are the mask."""
    mask: int


def identity(user: Account) -> Identity:
    return Identity(user.name, user.uid, frozenset(os.getgrouplist(user.name, user.gid)))


def read_acl(path: str) -> Optional[Acl]:
    """The list of a file that is not a link; ``None`` where its mode says it all."""
    try:
        return parse_acl(os.getxattr(path, _ACL, follow_symlinks=True))
    except OSError as exc:
        if exc.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS):
            return None
        raise


def parse_acl(data: bytes) -> Optional[Acl]:
    """The kernel's form: a version, then entries of tag, bits and id, all little-endian."""
    if len(data) < 4 or (len(data) - 4) % 8 or struct.unpack_from("<I", data)[0] != _VERSION:
        return None
    users: List[Tuple[int, int]] = []
    groups: List[Tuple[int, int]] = []
    group = mask = None
    for tag, bits, number in struct.iter_unpack("<HHI", data[4:]):
        if tag == _USER:
            users.append((number, bits))
        elif tag == _GROUP:
            groups.append((number, bits))
        elif tag == _GROUP_OBJ:
            group = bits
        elif tag == _MASK:
            mask = bits
    if group is None or mask is None:  # owner, group and other alone are the mode
        return None
    return Acl(tuple(users), tuple(groups), group, mask)


def decide(who: Identity, uid: int, gid: int, mode: int, acl: Optional[Acl], need: int) -> Tuple[str, int]:
    """The class that decides whether a user gets ``need``, and the bits that it grants."""
    if who.uid == uid:
        return OWNER, mode >> 6 & 7
    if acl is None:
        return (GROUP, mode >> 3 & 7) if gid in who.gids else (OTHER, mode & 7)
    named = [bits & acl.mask for number, bits in acl.users if number == who.uid]
    if named:
        return LISTED, named[0]
    grants = [bits & acl.mask for number, bits in ((gid, acl.group), *acl.groups) if number in who.gids]
    if grants:  # one group has to grant it all
        return LISTED, next((bits for bits in grants if bits & need == need), grants[0])
    return OTHER, mode & 7

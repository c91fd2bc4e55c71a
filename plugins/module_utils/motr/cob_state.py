# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a cob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from .btree_scan import Root, Scan
from .cob_place import Place
from .conf import Conf
from .emap import Extents
from .errors import MotrError
from .ids import AD_STOB, Fid, ad_stob_of, cob_from_ad_stob, device_from_cob, emap_tree_of, gob_from_cob, parse


@dataclass(frozen=True)
class Cob:
    """A cob and what its fid alone tells."""

    fid: Fid
    gob: Fid
    device: int
    stob: Fid
    tree: Fid


@dataclass(frozen=True)
class Look:
    """What was seen. ``place`` is of the configuration, the rest of the process or segment; None where there is none of that."""

    cob: Cob
    served: Tuple[Place, ...] = ()
    cluster: Optional[Conf] = None
    server: Optional[Fid] = None
    """The process that was looked at."""
    root: Optional[Root] = None
    scanned: Optional[Scan] = None
    extents: Optional[Extents] = None

    @property
    def place(self) -> Optional[Place]:
        return self.served[0] if self.served else None


def cob_of(text: str) -> Cob:
    """The cob of a fid, or of the fid of its storage object."""
    given = parse(text)
    fid = cob_from_ad_stob(given) if given.type == AD_STOB else given
    if fid.type_name != "cob":
        hint = "; motr_layout_info tells the cobs of an object" if fid.type_name == "gob" else ""
        raise MotrError("cob must be the fid of a cob, with the type C or 0x43; %s is of the type %s%s" % (fid, fid.type_name, hint))
    device = device_from_cob(fid)
    return Cob(fid, gob_from_cob(fid), device, ad_stob_of(fid), emap_tree_of(device))

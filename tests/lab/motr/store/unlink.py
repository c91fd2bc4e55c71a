# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for m0unlink of Motr 2.0.0 (motr/st/utils/unlink.c): an object is gone, and the blocks of its cobs are nobody's."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids

from lab.motr.store.cluster import Cluster
from lab.motr.store.tools import known


def main(folder: str, words: Sequence[str]) -> int:
    """Run it."""
    parser = ArgumentParser(prog="m0unlink", add_help=False, allow_abbrev=False)
    for short, long in (("l", "local"), ("H", "ha"), ("p", "profile"), ("P", "process"), ("o", "object")):
        parser.add_argument(f"-{short}", f"--{long}", required=True)
    parser.add_argument("-L", "--layout-id", type=int)
    wanted = parser.parse_args(words)
    cluster = Cluster(Path(folder))
    with cluster.changing() as state:
        oid = known(state, wanted.object)
        if oid is None:
            print(f"Failed to unlink obj id: {ids.parse_object_id(wanted.object).lo}, rc: -2", file=sys.stderr)
            return 254
        gob = ids.gob_of(ids.parse_object_id(oid))
        for cob in [each for each in state["extents"] if ids.gob_from_cob(ids.parse(each)) == gob]:
            del state["extents"][cob]
        del state["objects"][oid]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

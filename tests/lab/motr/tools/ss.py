# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ss` where the kernel may not be asked to end connections: those of the cluster's state, listed, and ended with -K where it is told to."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from lab.motr.tools.cluster import Cluster

_EXACT = re.compile(r"src (\S+) and sport = :(\d+) and dst (\S+) and dport = :(\d+)")


def main(words: Sequence[str]) -> int:
    """The command."""
    cluster = Cluster(words[0])
    with cluster.changing() as state:
        if "-K" not in words:
            for local, peer in state["connections"]:
                print(f'0      0      {local}      {peer} users:(("radosgw",pid=1,fd=7))')
            return 0
        if state["fault"].get("refuses"):
            print("SOCK_DESTROY answers: Operation not supported", file=sys.stderr)
            return 0
        found = _EXACT.fullmatch(words[-1])
        assert found, words
        gone = [f"{found[1]}:{found[2]}", f"{found[3]}:{found[4]}"]
        state["connections"] = [each for each in state["connections"] if each != gone]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

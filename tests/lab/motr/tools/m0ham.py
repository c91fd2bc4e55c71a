# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`m0ham -s LOCAL REMOTE`: delivers a message in xcode to a process, which is kept in the state of the cluster as delivered."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Sequence

from lab.motr.tools.cluster import Cluster, leave_traces
from lab.motr.tools.m0hagen import STATES

_NOTE = re.compile(r"\(\((0x[0-9a-f]+), (0x[0-9a-f]+)\), (\d)\)")


def main(words: Sequence[str]) -> int:
    """The command."""
    cluster = Cluster(words[0])
    if len(words) != 4 or words[1] != "-s":
        print("Remote endpoint is missing\nType `m0ham --help' for usage", file=sys.stderr)
        return errno.EINVAL
    local, remote = words[2:]
    if local == remote:
        print("Remote and local endpoints must differ", file=sys.stderr)
        return errno.EINVAL
    leave_traces()
    notes = _NOTE.findall(sys.stdin.read())
    if not notes:
        return errno.EPROTO
    with cluster.joined(local) as free, cluster.changing() as state:
        if not free:
            return errno.EADDRINUSE
        if remote not in state["clients"] or state["fault"].get("unreachable"):
            print(f"m0ham: cannot connect to {remote}", file=sys.stderr)
            return 1
        for high, low, number in notes:
            state["delivered"].append({"to": remote, "fid": f"<{int(high, 16):x}:{int(low, 16):x}>", "state": STATES[int(number)]})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

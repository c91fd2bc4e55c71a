# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mongods, alone and in replica sets, and each way in which they go wrong.

    with Mongod(tmp_path / "db") as mongod:      # started with --replSet rs0, and not initiated
        mongod.initiate()                        # PRIMARY
        mongod.step_down(60)                     # SECONDARY
        mongod.restart(port=free_port())         # REMOVED: its address is not the one in its configuration

    with Cluster(tmp_path / "set", 3) as cluster:
        cluster.initiate()
        cluster.lose_majority()

The binaries are in `binaries`. No part of this needs root.
"""

from __future__ import annotations

from lab.mongo.binaries import NoBinaries
from lab.mongo.cluster import IN_COPYING, IN_ROLLBACK, Cluster
from lab.mongo.server import TEST_COMMANDS, Mongod, ServerError, free_port, wait_for

__all__ = ["IN_COPYING", "IN_ROLLBACK", "TEST_COMMANDS", "Cluster", "Mongod", "NoBinaries", "ServerError", "free_port", "wait_for"]

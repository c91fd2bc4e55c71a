# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for Motr's command-line tools, which are in no package: they print what the real ones print, and keep their state in a directory.

cluster = Cluster(tmp_path / "cluster").create()
cluster.arguments()                               # a module's options, for a client of the cluster
cluster.put("<7800000000000000:100002>", b"account/bucket", b"{}")
with S3Server(cluster) as server:                 # the same records by HTTP
    server.url
"""

from lab.motr.tools.cluster import Cluster
from lab.motr.tools.s3server import S3Server

__all__ = ["Cluster", "S3Server"]

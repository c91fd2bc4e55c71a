# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab.fits.faults` on the host itself, as the database's owner: the method and its arguments are JSON on standard input.

echo '["failed", ["ingest", "N20260101S0001.fits"], {"error": "no end card"}]' | python3 -m lab.fits.host_rows
"""

from __future__ import annotations

import json
import sys

from lab.fits.faults import Faults
from lab.fits.standin.queues import connect

if __name__ == "__main__":
    method, arguments, options = json.load(sys.stdin)
    print(json.dumps(getattr(Faults(connect("postgresql:///fitsdata")), method)(*arguments, **options)))

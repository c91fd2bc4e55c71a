# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m lab.talus.initiate HOST`: what the database container does once after its start, through the shell of its time.

It does not wait, does not ask, and does not try again: a server that does not listen by now stays as it is. The reconfiguration is forced each time.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError


def main(host: str, port: int = 27017) -> None:
    """Initiate, and force."""
    if os.environ.get("INITIATE") == "no":  # as if it had come too early
        print("connecting to: test\nerror: couldn't connect to server 127.0.0.1:27017", flush=True)
        return
    config = {"_id": "rs0", "version": 1, "members": [{"_id": 0, "host": host}]}
    client: MongoClient[dict[str, Any]] = MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000)
    for command in ({"replSetInitiate": config}, {"replSetReconfig": config, "force": True}):
        try:
            answer = client.admin.command(command)
        except PyMongoError as error:
            answer = {"ok": 0, "errmsg": str(error)}
        print(json.dumps(answer, default=str), flush=True)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1])

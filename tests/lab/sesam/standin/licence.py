# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The licence: a key in the data folder, as text."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

NAME = "license.key"
BEGIN, END = "-----BEGIN SESAM LICENSE-----", "-----END SESAM LICENSE-----"


def key(days: float = 30.0, subscription: str = "laboratory") -> str:
    """A licence that is good for so long; negative: that ran out."""
    content = {"subscription": subscription, "expires": time.time() + days * 86400}
    return f"{BEGIN}\n{base64.b64encode(json.dumps(content).encode()).decode()}\n{END}\n"


def parse(text: str) -> dict[str, Any]:
    """What a key says; ValueError for what is none."""
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != BEGIN or lines[-1] != END:
        raise ValueError("The license key is not valid")
    found: dict[str, Any] = json.loads(base64.b64decode("".join(lines[1:-1])))
    return found


def state(folder: Path) -> dict[str, Any]:
    """What the node answers about it."""
    try:
        content = parse((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"status": "missing", "valid": False}
    valid = content["expires"] > time.time()
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(content["expires"]))
    return {"status": "valid" if valid else "expired", "valid": valid, "expires": expires, "subscription": content["subscription"]}
